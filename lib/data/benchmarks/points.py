"""Tables of points, as TrackNet's datasets label a ball: a row a frame that says whether it is seen, and where.

Frame,Visibility,X,Y                                          TrackNetV2, V3 (badminton)
file name,visibility,x-coordinate,y-coordinate,status         TrackNetV1 (tennis)
"""

import re
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..textfile import LIMIT

COLUMNS = {"frame": ("frame", "filename"), "visibility": ("visibility",), "x": ("x", "xcoordinate"),
           "y": ("y", "ycoordinate")}  # fmt: skip


@dataclass(frozen=True)
class Points:
    """side: of the square that stands for a target of which only the centre is labelled, px.
    visible: values of Visibility that say that it is seen.
    """

    side: float
    visible: tuple = (1,)


def parse_points(data, path, points):
    """Squares about the labelled points, from the bytes of a table; `path` only names the place in errors.

    The columns are found by their names, in any order and spelling of COLUMNS. Frames are counted from 0 where there
    is a frame 0, else from 1; those left out are without a label. Returns (N, 4) float64 xywh px, rows of NaN where the
    target is not seen. Raises UserError with file and line, also where it never is.
    """
    try:
        lines = data.decode("utf-8-sig").rstrip().splitlines()
    except UnicodeDecodeError:
        raise UserError("is not a text file", path) from None
    if not lines:
        raise UserError("is empty, expected a table with Frame, Visibility, X and Y", path)
    columns = _columns(lines[0], path)
    rows = {}
    for line, text in enumerate(lines[1:], 2):
        fields = [field.strip() for field in text.split(",")]
        if len(fields) <= max(columns.values()):
            raise UserError(f"expected at least {max(columns.values()) + 1} fields, found {len(fields)}", path, line)
        frame = _frame(fields[columns["frame"]], path, line)
        if frame in rows:
            raise UserError(f"frame {frame} a second time", path, line)
        seen = number(fields[columns["visibility"]], path, line) in points.visible
        rows[frame] = [number(fields[columns[axis]], path, line) for axis in "xy"] if seen else (np.nan, np.nan)
    if not rows:
        raise UserError("has no row below its head", path)
    start = min(min(rows), 1)
    centres = np.full((max(rows) - start + 1, 2), np.nan)
    for frame, centre in rows.items():
        centres[frame - start] = centre
    if np.isnan(centres).all():
        raise UserError(f"no row with Visibility {' or '.join(map(str, points.visible))}: nothing to track", path)
    side = np.where(np.isnan(centres), np.nan, points.side)
    return np.concatenate([centres - side / 2, side], axis=1)


def _columns(head, path):
    """{what: number of its column}."""
    names = [re.sub(r"[^a-z]", "", name.lower()) for name in head.split(",")]
    columns = {}
    for what, spellings in COLUMNS.items():
        columns[what] = next((number for number, name in enumerate(names) if name in spellings), None)
        if columns[what] is None:
            raise UserError(f"expected a head such as Frame,Visibility,X,Y; found {head[:60]!r}", path, 1)
    return columns


def _frame(text, path, line):
    """A frame's number, also from its file's name. Bounded: a table is as long as its largest number."""
    match = re.fullmatch(r"\D*(\d{1,7})(\.\w+)?", text)
    if not match:
        raise UserError(f"expected a frame's number or file, found {text[:40]!r}", path, line)
    return int(match[1])


def number(text, path, line):
    """The number that a field holds, below LIMIT. Raises UserError."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) < LIMIT:
        raise UserError(f"expected a number, found {text[:40]!r}", path, line)
    return value
