"""YOLO's text files: `class cx cy w h` for each object, in shares of the image; a file for each image."""

from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce, StillSequences
from ..boxes import cxcywh_to_xywh, xywh_to_cxcywh
from ..frames import image_names
from ..image import image_size
from ..textfile import parse_rows
from .tracks import Clip


@dataclass(frozen=True)
class Yolo(ReadAtOnce):
    """`labels/*.txt` with `images/*.jpg`, also in train/ and val/ below both or above both. Each box is a sequence."""

    def __str__(self):
        return "labels/*.txt with images/*.jpg"

    def find(self, storage, dataset):
        files, boxes = [], []
        for pattern in ("labels/*", "labels/*/*", "*/labels/*"):
            labels = set(storage.glob(f"{pattern}.txt"))
            for image in image_names(storage, pattern.replace("labels", "images")) if labels else ():
                head, _, tail = image.rpartition("images/")
                label = f"{head}labels/{PurePosixPath(tail).with_suffix('.txt')}"
                if label not in labels:  # an image without an object
                    continue
                size = image_size(storage.read(image), storage.place(image))
                files.append(image)
                boxes.append(read(storage.read(label), storage.place(label), size))
        return StillSequences(storage, dataset, files, boxes, "images/") if files else []


def read(data: bytes, place: object, size: tuple[int, int]) -> np.ndarray:
    """Boxes (n, 4) xywh px of a file's bytes, for an image of `size` (width, height). Raises UserError."""
    if not data.strip():
        return np.empty((0, 4))
    found = []
    for line, row in enumerate(parse_rows(data, place, least=5), 1):
        values = np.array(row[1:], np.float64)
        if len(values) > 6 and len(values) % 2 == 0:  # the corners of an outline
            corners = values.reshape(-1, 2)
            low, high = corners.min(axis=0), corners.max(axis=0)
            values = np.concatenate([(low + high) / 2, high - low])
        if not (np.abs(values[:4]) <= 1.5).all():
            raise UserError("expected `class cx cy w h` in shares of the image, from 0 to 1", place, line)
        found.append(values[:4])
    return cxcywh_to_xywh(np.array(found)) * np.tile(np.asarray(size, np.float64), 2)


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """labels/<image>.txt for each frame, empty where no target is there, and classes.txt."""
    classes = list(dict.fromkeys(track.label for track in clip.tracks))
    files = {"classes.txt": "".join(f"{name}\n" for name in classes).encode()}
    for frame, image in enumerate(clip.files):
        lines = []
        for track in clip.tracks:
            box = track.boxes_xywh[frame]
            if np.isfinite(box).all():
                shares = xywh_to_cxcywh(box) / np.tile(np.asarray(clip.size, np.float64), 2)
                lines.append(f"{classes.index(track.label)} {' '.join(f'{value:.7f}' for value in shares)}\n")
        files[f"labels/{PurePosixPath(image).with_suffix('.txt')}"] = "".join(lines).encode()
    return files
