"""Whether boxes can be of the frames that they are said to be of: not corners, not shares of the frame, not outside.

Numbers alone do not tell `x y w h` from `x1 y1 x2 y2`; with the frame's size beside them they mostly do.
"""

from dataclasses import dataclass

import numpy as np

from ..errors import UserError
from .sequence import Sequence

BEYOND = 2.0  # px that a box in another form reaches beyond the frame; annotators' own boxes do so by less, or rarely
OFTEN = 0.1  # share of the boxes that do
HUGE = 1.5  # sides of a frame that no box has


@dataclass(frozen=True)
class Doubt:
    """What is strange about the boxes of a sequence.

    Attributes:
        row: number of the first such frame, from 1.
        text: what is seen there.
        grave: whether tracking with these boxes would be nonsense.
    """

    row: int
    text: str
    grave: bool


def doubts(boxes_xywh: np.ndarray, visible: np.ndarray, size: tuple[int, int]) -> list[Doubt]:
    """What is strange about boxes in frames of a size.

    Args:
        boxes_xywh (N, 4): px.
        visible (N,): bool; the others are not looked at.
        size: (width, height) px of the frames.
    """
    rows = np.flatnonzero(visible)
    if not len(rows):
        return []
    boxes, frame = np.asarray(boxes_xywh, np.float64)[rows], np.asarray(size, np.float64)
    low, sides, high = boxes[:, :2], boxes[:, 2:], boxes[:, :2] + boxes[:, 2:]
    of = f"a frame of {size[0]} x {size[1]} px"

    def said(number, what, grave):
        return Doubt(int(rows[number]) + 1, f"{' '.join(f'{value:g}' for value in boxes[number])} {what}", grave)

    if (boxes >= 0).all() and (boxes <= 1).all() and frame.min() > 8:
        return [said(0, f"looks like shares of {of}: expected x y w h in px", True)]
    beyond = (high > frame + BEYOND).any(axis=1)
    if beyond.mean() > OFTEN and _are_corners(low, sides, frame):
        return [said(beyond.argmax(), f"looks like the corners x1 y1 x2 y2 in {of}: expected x y w h", True)]
    outside = np.asarray(((low >= frame) | (high <= 0)).any(axis=1))
    found = []
    if outside.any():
        grave = bool(outside.mean() > 0.5 or (outside[0] and rows[0] == 0))
        others = f" and {outside.sum() - 1} more" if outside.sum() > 1 else ""
        found.append(said(outside.argmax(), f"lies off {of}{others}", grave))
    huge = (sides > HUGE * frame).any(axis=1) & ~outside
    if huge.any():
        found.append(said(huge.argmax(), f"is larger than {of}", False))
    reach = high == frame + 1
    if reach.any() and (high <= frame + 1).all() and (low >= 1).all() and (boxes == boxes.round()).all():
        number = reach.any(axis=1).argmax()
        found.append(said(number, f"ends one pixel beyond {of}: the boxes look counted from 1, as in MATLAB", False))
    return found


def check(sequence: Sequence, size: tuple[int, int]) -> list[str]:
    """The doubts about a sequence's boxes that are not grave, one line each, with file and row.

    Raises:
        UserError: a grave one.
    """
    lines = []
    for doubt in doubts(sequence.boxes_xywh, sequence.visible, size):
        if doubt.grave:
            raise UserError(doubt.text, sequence.place, doubt.row)
        lines.append(str(UserError(doubt.text, sequence.place, doubt.row)))
    return lines


def _are_corners(first, second, frame):
    """Whether the second pair of numbers is rather the opposite corner: inside the frame, and then steadier sides."""
    inside = (second > first).all() and (second <= frame + 1).all()
    return bool(inside and np.var(second - first, axis=0).sum() < 0.5 * np.var(second, axis=0).sum())
