"""Following what a user chose through one video, folder or camera: first boxes, targets, results, and a page."""
