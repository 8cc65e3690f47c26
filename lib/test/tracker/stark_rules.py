"""The rules of STARK and STTrack around their networks: crops, clipping, template updates. All functions are pure.

By default crops are cut at sub-pixel positions and boxes keep their size. `faithful` selects the released rules, which
are worse for tiny targets:

- The corner of a crop is rounded to whole pixels and its side is rounded up. A box can be off by half a pixel.
- Boxes have at least 10 px on each side. A box of 4 px then has an IoU of 0.16 at best.
"""

import math
from collections.abc import Sequence

import cv2
import numpy as np

from ...data import boxes
from ...data.crop import Crop, window_side

RELEASED_MARGIN = 10  # smallest width and height of a box in the released trackers, px


def replaces_template(frame: int, score: float, interval: int, threshold: float) -> bool:
    """Whether this frame's target replaces the online template of STARK-ST.

    Args:
        frame: number of the frame; the first frame is 0, the first tracked frame is 1.
        score: score of the classification head, in [0, 1].
        interval: frames between two updates.
        threshold: the score must be above this; 0.5 in the release.
    """
    return frame % interval == 0 and score > threshold


def window(
    box_xywh: Sequence[float] | np.ndarray,
    factor: float,
    size: int,
    min_side: float,
    image_size: tuple[int, int],
    faithful: bool = False,
) -> Crop:
    """The square window around a box.

    Args:
        box_xywh (4): px.
        factor: side of the window / sqrt(w h); 2 for templates and 5 for the search in the releases.
        size: side of the patch, px.
        min_side: smallest side of the window, px. Ignored with `faithful`: the releases have no limit.
        image_size: width and height of the image, px.
        faithful: round the side up to whole pixels.
    """
    cx, cy, w, h = boxes.xywh_to_cxcywh(box_xywh).tolist()
    if faithful:
        side = float(max(math.ceil(factor * math.sqrt(w * h)), 1))
    else:
        side = window_side(w, h, factor, min_side, image_size)
    return Crop(cx, cy, side, size)


def extract(crop: Crop, image: np.ndarray, faithful: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Cut a window out of an image.

    Args:
        crop: result of `window` with the same `faithful`.
        image (H, W, 3): uint8 RGB.
        faithful: round the window's corner to whole pixels (half to even), and leave out the last row and column of the
            image. Boxes are still mapped back by the unrounded `crop`.

    Returns:
        Patch (size, size, 3) uint8, black outside the image, and padding (size, size) bool, true outside the image.
    """
    if faithful:
        return _extract_rounded(crop, image)
    shown = crop.side * ((np.arange(crop.size) + 0.5) / crop.size - 0.5)
    x, y = crop.cx + shown, crop.cy + shown  # centres of the patch's pixels, in the image
    height, width = image.shape[:2]
    outside = (y < 0) | (y > height), (x < 0) | (x > width)
    return crop.extract(image), outside[0][:, None] | outside[1]


def _extract_rounded(crop: Crop, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side, limits = round(crop.side), image.shape[1::-1]
    corner = [round(centre - side / 2) for centre in (crop.cx, crop.cy)]
    before = [min(max(-low, 0), side) for low in corner]
    # The released code pads as if the image had one column and one row less.
    end = [min(low + side, limit - 1) for low, limit in zip(corner, limits, strict=True)]
    shown = [max(last - max(low, 0), 0) for low, last in zip(corner, end, strict=True)]
    patch = np.zeros((side, side, 3), np.uint8)
    padding = np.ones((side, side), np.float64)
    inside = tuple(slice(before[axis], before[axis] + shown[axis]) for axis in (1, 0))
    source = tuple(slice(max(corner[axis], 0), max(corner[axis], 0) + shown[axis]) for axis in (1, 0))
    if all(shown):
        patch[inside], padding[inside] = image[source], 0
    shape = (crop.size, crop.size)
    return cv2.resize(patch, shape), cv2.resize(padding, shape) > 0


def next_box(
    crop: Crop,
    found_xyxy: Sequence[float],
    image_size: tuple[int, int],
    min_box: float,
    faithful: bool = False,
) -> np.ndarray:
    """The box that the tracker reports. The next search window is centred on it.

    Args:
        crop: the search window.
        found_xyxy (4): corners that the network predicted, in crop sides.
        image_size: width and height of the image, px.
        min_box: smallest side of a box, px. With `faithful` it is always RELEASED_MARGIN.
        faithful: clip as `clip_released` does.

    Returns:
        (4,) xywh, px.
    """
    low, high = np.asarray(found_xyxy, np.float64).reshape(2, 2) * crop.size
    box = crop.to_image(np.concatenate([low, high - low]))
    if faithful:
        return clip_released(box, *image_size)
    return boxes.clip(box, *image_size, min_box)


def clip_released(
    box_xywh: Sequence[float], width: float, height: float, margin: float = RELEASED_MARGIN
) -> np.ndarray:
    """Clip a box to the image as the released trackers do. A box that must grow keeps its upper left corner.

    Args:
        box_xywh (4): px.
        width, height: of the image, px.
        margin: smallest width and height of a box, and smallest distance of its upper left corner from the right and
            lower border, px.

    Returns:
        (4,) xywh, px.
    """
    box, limits = np.asarray(box_xywh, np.float64), np.array([width, height], np.float64)
    low = np.clip(box[:2], 0, limits - margin)
    high = np.clip(box[:2] + box[2:], margin, limits)
    return np.concatenate([low, np.maximum(high - low, margin)])
