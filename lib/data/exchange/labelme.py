"""LabelMe: a JSON beside each image, with shapes of points; a box is a rectangle of two corners."""

import json
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce, StillSequences
from ..frames import image_names
from .tracks import Clip

NO_BOX = ("point", "line", "linestrip", "points")  # shapes without an area


@dataclass(frozen=True)
class LabelMe(ReadAtOnce):
    """`*.json` beside `*.jpg`. Polygons become the boxes around them. Each box is a sequence."""

    def __str__(self):
        return "*.json with *.jpg"

    def find(self, storage, dataset):
        files, boxes = [], []
        for folder in ("", "*/"):
            labels = set(storage.glob(f"{folder}*.json"))
            for image in image_names(storage, f"{folder}*") if labels else ():
                label = str(PurePosixPath(image).with_suffix(".json"))
                if label in labels and (found := read(storage.read(label), storage.place(label))) is not None:
                    files.append(image)
                    boxes.append(found)
        return StillSequences(storage, dataset, files, boxes, "") if files else []


def read(data: bytes, place: object) -> np.ndarray | None:
    """Boxes (n, 4) xywh px of a file's bytes, None where it is another kind of JSON. Raises UserError."""
    try:
        table = json.loads(data)
    except ValueError as error:
        raise UserError(f"not JSON: {error}", place) from None
    if not isinstance(table, dict) or "shapes" not in table:
        return None
    boxes = []
    try:
        for shape in table["shapes"]:
            kind = shape.get("shape_type", "polygon")
            if kind in NO_BOX:
                continue
            points = np.array(shape["points"], np.float64).reshape(-1, 2)
            if kind == "circle":  # its centre and a point on it
                radius = np.hypot(*(points[1] - points[0]))
                points = points[0] + radius * np.array([[-1, -1], [1, 1]])
            low, high = points.min(axis=0), points.max(axis=0)
            boxes.append([*low, *(high - low)])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise UserError(f"a shape without points: {error!r}", place) from None
    return np.array(boxes, np.float64).reshape(-1, 4)


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """<image>.json for each frame, its number of the track as group_id."""
    files = {}
    for frame, image in enumerate(clip.files):
        shapes = [
            {
                "label": track.label,
                "points": [[x, y], [x + w, y + h]],
                "group_id": track.number,
                "shape_type": "rectangle",
                "flags": {},
            }
            for track in clip.tracks
            for x, y, w, h in [track.boxes_xywh[frame].round(3).tolist()]
            if x == x
        ]
        table: dict = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": image, "imageData": None,
                 "imageHeight": clip.size[1], "imageWidth": clip.size[0]}  # fmt: skip
        files[str(PurePosixPath(image).with_suffix(".json"))] = json.dumps(table, indent=1).encode()
    return files
