"""Videos that compare trackers on one sequence: predicted and true boxes, overlaps, and the target enlarged."""

from typing import NamedTuple

import cv2
import numpy as np

from ..data.crop import Crop
from .draw import draw_box

MIN_WIDTH = 640  # smallest width of a drawn frame, px; the legend needs it
ZOOM = 8.0, 32.0  # side of the enlarged window: in target sizes, and its minimum in px
INK, PAPER = (230, 232, 236), (18, 20, 24)
FONT, TEXT, LINE, SWATCH, GAP = cv2.FONT_HERSHEY_SIMPLEX, 0.5, 24, 12, 22


class Answer(NamedTuple):
    """The boxes of one tracker, or the true boxes.

    Attributes:
        label: name in the legend.
        colour: (r, g, b).
        boxes_xywh (N, 4): px, rows of NaN where the target is absent.
        overlap (N,): in [0, 1], NaN where there is no true box; None for the true boxes themselves.
    """

    label: str
    colour: tuple
    boxes_xywh: np.ndarray
    overlap: np.ndarray | None = None


def pictures(frames, truth, answers, zoom=False, gain=1.0):
    """Yield one picture (H, W, 3) uint8 RGB per frame, all of equal size, with the legend below the frame.

    Args:
        frames: a frame source, see lib/data/frames.py.
        truth: Answer of the true boxes.
        answers: list of Answer, one per tracker.
        zoom: whether the region around the true target is enlarged at the right. If the target is absent, its last
            position is used.
        gain: factor of the brightness.
    """
    sides = np.sqrt(truth.boxes_xywh[:, 2] * truth.boxes_xywh[:, 3])
    window = max(ZOOM[0] * np.nanmedian(sides), ZOOM[1]) if np.isfinite(sides).any() else ZOOM[1]
    centre = None
    for index in range(len(frames)):
        image = cv2.convertScaleAbs(frames[index], alpha=gain)
        height, width = image.shape[:2]
        x, y, w, h = truth.boxes_xywh[index]
        if np.isfinite(x):
            centre = x + w / 2, y + h / 2
        scale = max(1.0, MIN_WIDTH / width)
        picture = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC) if scale > 1 else image
        # The true box is thicker and drawn first, so it stays visible behind an equal box.
        picture = draw_box(picture, truth.boxes_xywh[index] * scale, truth.colour, thickness=2)
        for one in answers:
            picture = draw_box(picture, one.boxes_xywh[index] * scale, one.colour)
        if zoom:
            panel = Crop(*(centre or (width / 2, height / 2)), window, min(picture.shape[0], picture.shape[1] // 2))
            picture = _beside(picture, _enlarged(image, panel, truth, answers, index))
        yield _even(np.vstack([picture, _legend(picture.shape[1], index, len(frames), truth, answers)]))


def rgb(colour):
    """Convert a colour such as `#0072B2` to (r, g, b)."""
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _enlarged(image, panel, truth, answers, index):
    drawn = draw_box(panel.extract(image), panel.to_patch(truth.boxes_xywh[index]), truth.colour, thickness=5)
    for one in answers:
        drawn = draw_box(drawn, panel.to_patch(one.boxes_xywh[index]), one.colour, thickness=2)
    return drawn


def _beside(picture, panel):
    """Attach the panel to the upper right of the picture."""
    column = np.full((picture.shape[0], panel.shape[1] + 2, 3), PAPER, np.uint8)
    column[: len(panel), 2:] = panel
    return np.hstack([picture, column])


def _legend(width, index, count, truth, answers):
    """The legend: the frame number, and each tracker's colour, name and overlap, in as many lines as needed."""
    entries = [(f"frame {index} of {count}", INK, None)]
    for one in (truth, *answers):
        entries.append((f"{one.label} {_overlap_text(one, truth, index)}".rstrip(), INK, one.colour))
    # Positions are computed for the longest possible texts, so that nothing moves between frames.
    places, x, y = [], GAP // 2, 0
    for one, (_, _, colour) in zip((None, truth, *answers), entries, strict=True):
        longest = f"frame {count} of {count}" if one is None else f"{one.label} absent"
        needed = cv2.getTextSize(longest, FONT, TEXT, 1)[0][0] + (SWATCH + 8 if colour else 0) + GAP
        if places and x + needed > width:
            x, y = GAP // 2, y + LINE
        places.append((x, y))
        x += needed
    strip = np.full((y + LINE + 8, width, 3), PAPER, np.uint8)
    for (text, ink, colour), (x, y) in zip(entries, places, strict=True):
        if colour:
            cv2.rectangle(strip, (x, y + 10), (x + SWATCH, y + 10 + SWATCH), colour, -1)
            x += SWATCH + 8
        cv2.putText(strip, text, (x, y + 21), FONT, TEXT, ink, 1, cv2.LINE_AA)
    return strip


def _overlap_text(one, truth, index):
    """The overlap in a frame as text, or "absent"."""
    if not np.isfinite(one.boxes_xywh[index]).all():
        return "absent"
    if one is truth or np.isnan(one.overlap[index]):
        return ""
    return f"{one.overlap[index]:.2f}"


def _even(picture):
    """Pad to even sizes, because not every codec can encode odd ones."""
    height, width = picture.shape[:2]
    return cv2.copyMakeBorder(picture, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT, value=PAPER)
