"""Boxes in continuous image pixels: pixel i spans [i, i+1), so a box is a region of the plane and is never rounded.

Arrays are (..., 4) float; `xywh` is top-left corner, width and height, `cxcywh` centre, width and height.
"""

import math

import numpy as np


def xywh_to_cxcywh(boxes):
    """(..., 4) xywh -> (..., 4) cxcywh."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[..., :2] + boxes[..., 2:] / 2, boxes[..., 2:]], axis=-1)


def cxcywh_to_xywh(boxes):
    """(..., 4) cxcywh -> (..., 4) xywh."""
    boxes = np.asarray(boxes, dtype=np.float64)
    return np.concatenate([boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., 2:]], axis=-1)


def iou(first_xywh, second_xywh):
    """Intersection over union, box by box: (..., 4) and (..., 4) xywh -> (...) in [0, 1], NaN where a box is NaN.

    Boxes without area overlap nothing.
    """
    first, second = np.asarray(first_xywh, np.float64), np.asarray(second_xywh, np.float64)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., :2] + first[..., 2:], second[..., :2] + second[..., 2:])
    overlap = np.maximum(high - low, 0)
    intersection = overlap[..., 0] * overlap[..., 1]
    union = first[..., 2] * first[..., 3] + second[..., 2] * second[..., 3] - intersection
    return intersection / np.where(union == 0, 1, union)


def box_fault(box_xywh, size=None):
    """What is wrong with the first box of a tracker, in words; "" where nothing is.

    box_xywh: four floats, px. size: (width, height) px of the frame it is in, None where that is not known yet.
    """
    x, y, w, h = box_xywh
    written = " ".join(f"{value:g}" for value in box_xywh)
    if not all(map(math.isfinite, box_xywh)):
        return f"expected four finite numbers x y w h in px, found {written}"
    if w <= 0 or h <= 0:
        return f"expected a width and height above 0, found {written}"
    if size and (x + w <= 0 or y + h <= 0 or x >= size[0] or y >= size[1]):
        return f"{written} lies off the frame of {size[0]} x {size[1]} px"
    return ""


def clip(boxes_xywh, width, height, min_side=1.0):
    """Boxes cut to an image of width x height px; sides below `min_side` px grow about their centre, inside the image.

    (..., 4) xywh -> (..., 4) xywh. A box off the image becomes the smallest box at the nearest border.
    """
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    bounds = np.array([width, height], dtype=np.float64)
    low = np.clip(boxes[..., :2], 0, bounds)
    high = np.clip(boxes[..., :2] + boxes[..., 2:], 0, bounds)
    sides = np.minimum(np.maximum(high - low, min_side), bounds)
    low = np.clip((low + high - sides) / 2, 0, bounds - sides)
    return np.concatenate([low, sides], axis=-1)
