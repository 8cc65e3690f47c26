"""Pascal VOC's XML: a file for each image. Coordinates are taken as they are, xmax and ymax as the far edges."""

from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce, StillSequences
from ..frames import image_names
from .tracks import Clip, number

FOLDERS = (("Annotations/", "JPEGImages/"), ("annotations/", "images/"), ("", ""))
SIDES = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class Voc(ReadAtOnce):
    """`Annotations/*.xml` with `JPEGImages/*.jpg`, or each beside its image. Each box is a sequence."""

    def __str__(self):
        return "Annotations/*.xml with JPEGImages/*.jpg"

    def find(self, storage, dataset):
        for annotations, images in FOLDERS:
            labels = set(storage.glob(f"{annotations}*.xml"))
            files, boxes = [], []
            for image in image_names(storage, f"{images}*") if labels else ():
                label = f"{annotations}{PurePosixPath(image).stem}.xml"
                if label in labels:
                    files.append(image)
                    boxes.append(read(storage.read(label), storage.place(label)))
            if files:
                return StillSequences(storage, dataset, files, boxes, images)
        return []


def read(data: bytes, place: object) -> np.ndarray:
    """Boxes (n, 4) xywh px of a file's bytes. Raises UserError."""
    try:
        objects = ElementTree.fromstring(data).iter("object")
        corners = [[float(one.findtext(f"bndbox/{side}") or "") for side in SIDES] for one in objects]
    except ElementTree.ParseError as error:
        raise UserError(f"not XML: {error}", place) from None
    except (TypeError, ValueError):
        raise UserError("an object without a bndbox of four numbers", place) from None
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    boxes[:, 2:] -= boxes[:, :2]
    return boxes


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """Annotations/<image>.xml for each frame; one in which no target is has no object."""
    files = {}
    for frame, image in enumerate(clip.files):
        root = ElementTree.Element("annotation")
        ElementTree.SubElement(root, "filename").text = image
        size = ElementTree.SubElement(root, "size")
        for side, pixels in zip(("width", "height", "depth"), (*clip.size, 3), strict=True):
            ElementTree.SubElement(size, side).text = str(pixels)
        for track in clip.tracks:
            if np.isfinite(track.boxes_xywh[frame]).all():
                x, y, w, h = track.boxes_xywh[frame]
                one = ElementTree.SubElement(root, "object")
                ElementTree.SubElement(one, "name").text = track.label
                box = ElementTree.SubElement(one, "bndbox")
                for side, value in zip(SIDES, (x, y, x + w, y + h), strict=True):
                    ElementTree.SubElement(box, side).text = number(value)
        ElementTree.indent(root)
        files[f"Annotations/{PurePosixPath(image).with_suffix('.xml')}"] = ElementTree.tostring(root, encoding="utf-8")
    return files
