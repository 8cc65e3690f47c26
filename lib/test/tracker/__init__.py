"""Online trackers. Each is built as Tracker(config, weights, device) and has

    initialize(image, info) -> result     image (H, W, 3) uint8 RGB, info["init_bbox"] = x, y, w, h of the target, px
    track(image, info=None) -> result     the next frame; info never holds ground truth

with result = {"target_bbox": [x, y, w, h] floats in px, "score": float in [0, 1], "present": bool}.
`initialize` forgets everything that came before.
"""
