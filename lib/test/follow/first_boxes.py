"""Where the first boxes come from: numbers on the command line, a file, or the mouse."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...data import benchmarks
from ...data.boxes import box_fault
from ...data.textfile import first_row, parse_boxes, parse_rows
from ...errors import UserError
from ...files import atomic_path, check_not_over
from ...vis.draw import draw_grid

Box = tuple[float, ...]
TEXT = (".txt", ".csv")


def numbered(boxes_xywh: Iterable) -> dict[str, Box]:
    """{"1": box, "2": box, ...}."""
    return {str(number): tuple(map(float, box)) for number, box in enumerate(boxes_xywh, 1)}


def read(place: str, frame: int) -> dict[str, Box]:
    """First boxes of a file or folder.

    Args:
        place: a text file (.txt, .csv), or annotations that a dataset may have. A text file has either `x y w h` in
            its first line, as ground truth has, or lines `id x y w h`, one for each target.
        frame: number of the first frame that is tracked. Of annotations those targets count that begin there.

    Returns:
        {id: (x, y, w, h)}, px.

    Raises:
        UserError: the place is neither, or no target begins in that frame.
    """
    path = Path(place)
    if path.suffix.lower() in TEXT and path.is_file():
        return _of_text(path.read_bytes(), path)
    sequences = list(benchmarks.load(place))
    found = {one.name: tuple(map(float, one.first_box)) for one in sequences if one.begins + one.start == frame}
    if not found:
        starts = ", ".join(str(each) for each in sorted({one.begins + one.start for one in sequences})[:5])
        raise UserError(f"no target begins in frame {frame}; they begin in {starts} (--first_frame)", place)
    return found


def _of_text(data, path):
    if len(first_row(data, path)) != 5:
        return numbered(parse_boxes(data, path)[:1])
    found: dict[str, Box] = {}
    for number, (target, *box) in enumerate(parse_rows(data, path, 5), 1):
        if len(box) != 4 or f"{target:g}" in found:
            what = f"found {len(box) + 1} numbers" if len(box) != 4 else f"target {target:g} is there twice"
            raise UserError(f"expected lines `id x y w h`, one for each target: {what}", path, number)
        found[f"{target:g}"] = tuple(box)
    return found


def ask(image: np.ndarray) -> dict[str, Box]:
    """Let the user draw boxes in a window. Raises UserError where none is drawn."""
    picture = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    drawn = [box for box in cv2.selectROIs("lunar", picture, showCrosshair=False) if min(box[2:]) > 0]
    if not drawn:
        raise UserError("no box was drawn")
    return numbered(drawn)


def check(boxes: Mapping[Any, Box], image: np.ndarray) -> None:
    """Raise UserError where a box is not four finite numbers with an area, or lies off the image (H, W, 3)."""
    for name, box in boxes.items():
        if fault := box_fault(box, image.shape[1::-1]):
            raise UserError(f"box{f' of target {name}' if len(boxes) > 1 else ''}: {fault}")


def write_grid(image: np.ndarray, file: str, source: str) -> None:
    """Write a frame with a grid of px, as .png or .jpg, and say so. Raises UserError for other names."""
    path = Path(file)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError("expected a name ending in .png or .jpg", path)
    check_not_over(path, source)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(draw_grid(image), cv2.COLOR_RGB2BGR))
    print(f"wrote {path}: {image.shape[1]} x {image.shape[0]} px; read x y w h off its grid for --optional_box")
