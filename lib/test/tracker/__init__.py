"""Online trackers. Each is built as Tracker(config, weights, device) and has

    initialize(image, info) -> result     image (H, W, 3) uint8 RGB, info["init_bbox"] = x, y, w, h of the target, px
    track(image, info=None) -> result     the next frame; info never holds ground truth

with result = {"target_bbox": [x, y, w, h] floats in px, "score": float in [0, 1], "present": bool}.
`initialize` forgets everything that came before.

A tracker that only cuts parts out of its images may say so by an attribute `partial = True`: the runner then hands it a
lib.data.frames.PartialFrame where that saves decoding. Of an image it may use `shape`, image[a:b, c:d] with integer
bounds from 0 on, and lib.data.crop.Crop.extract, nothing else; each use decodes anew, with the pixels of the array.
A damaged frame fails its sequence as it does elsewhere, wherever the damage is, when the first part is cut out.
"""
