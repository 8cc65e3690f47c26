"""What all families share between two frames: where to look, a Hann window on scores, and how a size may change.

Every function is pure. Boxes are xywh in image px, never rounded.
"""

from collections.abc import Sequence

import numpy as np

from ...data import boxes
from ...data.crop import Crop, window_side

VIEWS = ((0.0, 0.0), (0.1, 0.07), (-0.1, 0.07), (0.07, -0.1), (-0.07, -0.1))  # shifts x, y of `correction_of_sizes`
HELD = 0.4  # overlap with the given box from which such a view counts
LARGEST_CORRECTION = np.log(1.5)
MOST_LOST = 1000  # frames in a row that count as lost; a power of more may overflow


def size(box_xywh: np.ndarray) -> float:
    """sqrt(w h) of a box (px)."""
    return float(np.sqrt(box_xywh[2] * box_xywh[3]))


def centre_size(box_xywh: np.ndarray) -> tuple[float, float, float]:
    """Centre x, y and sqrt(w h) of a box (px)."""
    return *boxes.xywh_to_cxcywh(box_xywh)[:2], size(box_xywh)


def lost_growth(low_confidence_frames: int, lost_frames: int, growth: float, most: float) -> float:
    """By how much the search window of a lost target is enlarged.

    Args:
        low_confidence_frames: frames in a row without confidence.
        lost_frames: number of them from which the target counts as lost.
        growth: factor per lost frame, at least 1.
        most: greatest factor.

    Returns:
        A factor, 1 while the target is held.
    """
    if low_confidence_frames < lost_frames:
        return 1.0
    return min(growth ** min(low_confidence_frames - lost_frames + 1, MOST_LOST), most)


def search_crop(
    box_xywh: np.ndarray,
    centre: Sequence[float],
    image_size: tuple[int, int],
    *,
    factor: float,
    min_side: float,
    crop_size: int,
    grid: float = 0.0,
) -> Crop:
    """The crop in which the target is searched.

    Args:
        box_xywh: the last box (px).
        centre: x, y where the target is expected (px); it is clamped to the image, as a prediction may leave it.
        image_size: width and height (px).
        factor: side of the window / sqrt(w h).
        min_side: least side of the window (px).
        crop_size: side of the crop that the network takes (px).
        grid: centre and side of the window are multiples of it (px); 0 for any. Engines that differ in the last bits
            then see the same pixels, so that their differences do not grow from frame to frame. Boxes stay exact.
    """
    side = window_side(box_xywh[2], box_xywh[3], factor, min_side, image_size)
    (cx, cy), (width, height) = centre, image_size
    cx, cy = min(max(cx, 0.0), width), min(max(cy, 0.0), height)
    if grid:
        cx, cy, side = (round(value / grid) * grid for value in (cx, cy, side))
    return Crop(cx, cy, max(side, grid), crop_size)


def hann(cells: int, centres: np.ndarray) -> np.ndarray:
    """Hann windows over a square of cells, each around its own centre; in the middle it is OSTrack's window.

    Args:
        cells: cells a side.
        centres (B, 2): x, y in cells from the left and upper border.

    Returns:
        (B, 1, cells, cells) float32 in [0, 1].
    """
    distance = np.minimum(np.abs(np.arange(0.5, cells) - centres[:, :, None]) / (cells + 1), 0.5)
    line = (0.5 + 0.5 * np.cos(2 * np.pi * distance)).astype(np.float32)
    return line[:, 1, None, :, None] * line[:, 0, None, None, :]


def blended(window: np.ndarray, influence: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A Hann window as (factor, addend) of a score map: (1 - g) * score + g * window.

    Args:
        window (B, 1, H, H): of `hann`.
        influence (B): g in [0, 1].
    """
    weight = influence.astype(np.float32).reshape(-1, 1, 1, 1)
    factor, addend = np.broadcast_arrays(1 - weight, weight * window)
    return factor, addend


def mixed(found, before, step: float):
    """Sides, numbers or arrays (px), of which share `step` (in the logarithm) is `found` and the rest `before`."""
    return before ** (1 - step) * found**step


def smoothed(found_xywh: np.ndarray, before_xywh: np.ndarray, step: float) -> np.ndarray:
    """The found box with a smoothed size about the same centre; sizes are mixed in the logarithm.

    Args:
        found_xywh: the box of this frame (px).
        before_xywh: the last reported box (px).
        step: share of the found size in [0, 1]; 0 keeps the size of the last box.

    Returns:
        (4) xywh.
    """
    sides = mixed(found_xywh[2:], before_xywh[2:], step)
    return np.concatenate([found_xywh[:2] + (found_xywh[2:] - sides) / 2, sides])


def correction_of_sizes(given_xywh: np.ndarray, found_xywh: Sequence[np.ndarray], strength: float) -> np.ndarray:
    """Factors of the width and height that a tracker finds in later frames, measured in the first one.

    People disagree on how tight a box is, and which parts of a target it holds. The box of the first frame shows it: a
    tracker searches the target in views of that frame, shifted by VIEWS (in window sides), and the mean logarithm of
    given over found sides is kept.

    Args:
        given_xywh: the box of the first frame (px).
        found_xywh: the boxes that were found in the views (px of the same image). Those off the target do not count.
        strength: power in [0, 1] of the mean ratio.

    Returns:
        (2) factors of the width and height, 1 if no box counts.
    """
    ratios = [np.log(given_xywh[2:] / box[2:]) for box in found_xywh if boxes.iou(box, given_xywh) > HELD]
    if not ratios:
        return np.ones(2)
    return np.exp(strength * np.clip(np.mean(ratios, axis=0), -LARGEST_CORRECTION, LARGEST_CORRECTION))
