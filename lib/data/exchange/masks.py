"""Masks as DAVIS and YouTube-VOS have them: a PNG for each frame, whose colours are the targets.

Of each target the box around its pixels is taken. A target's number is its index in the palette of Pascal VOC, which
these datasets share, or in a grey mask the value.
"""

from dataclasses import dataclass
from pathlib import PurePosixPath

import cv2
import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce
from ..frames import image_names
from .tracks import sequences


@dataclass(frozen=True)
class Masks(ReadAtOnce):
    """`Annotations/<seq>/*.png` with `JPEGImages/<seq>/*.jpg`, a resolution between them or not."""

    def __str__(self):
        return "Annotations/<seq>/*.png with JPEGImages/<seq>/*.jpg"

    def find(self, storage, dataset):
        folders: dict = {}
        for pattern in ("Annotations/*/*.png", "Annotations/*/*/*.png"):
            for file in storage.glob(pattern):
                folders.setdefault(file.rpartition("/")[0], {})[PurePosixPath(file).stem] = file
        found = []
        for folder, masks in sorted(folders.items()):
            place = storage.place(folder)
            frames = image_names(storage, f"{folder.replace('Annotations', 'JPEGImages', 1)}/*")
            if not frames:
                raise UserError(
                    f"no frames for these masks: expected {folder.replace('Annotations', 'JPEGImages')}", place
                )
            tracks: dict = {}
            for number, frame in enumerate(frames):
                mask = masks.get(PurePosixPath(frame).stem)
                for target, box in (boxes_of(storage.read(mask), storage.place(mask)) if mask else {}).items():
                    tracks.setdefault((target, ""), {})[number] = box
            found += sequences(storage, dataset, folder.rpartition("/")[2], place, tracks, frames)
        return found


def boxes_of(data: bytes, place: object) -> dict[int, list[float]]:
    """{number of a target: [x, y, w, h]} px of a mask's bytes. Raises UserError."""
    mask = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if mask is None or mask.dtype != np.uint8:
        raise UserError("expected a mask, a PNG of 8 bits", place)
    values = mask.astype(np.int64)
    if values.ndim == 3:
        values = values[..., 0] + (values[..., 1] << 8) + (values[..., 2] << 16)  # blue, green, red
    found = {}
    for value in np.unique(values[values > 0]).tolist():
        rows, columns = np.nonzero(values == value)
        x, y = int(columns.min()), int(rows.min())
        target = _index(value) if mask.ndim == 3 else value
        found[target] = [float(x), float(y), float(columns.max() + 1 - x), float(rows.max() + 1 - y)]
    return found


def _index(colour):
    """The index of a colour of Pascal VOC's palette: its bits are spread over red, green and blue from the top."""
    blue, green, red = colour & 255, colour >> 8 & 255, colour >> 16
    bits = [(part >> (7 - place) & 1) << (3 * place + shift)
            for place in range(8) for shift, part in enumerate((red, green, blue))]  # fmt: skip
    return sum(bits)
