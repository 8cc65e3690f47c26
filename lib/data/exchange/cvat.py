"""CVAT for video 1.1: an XML file of tracks, with keyframes between which boxes are interpolated.

docs.cvat.ai/docs/manual/advanced/formats/format-cvat: coordinates are continuous px, `outside` says that the target is
not in the frame.
"""

from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce
from .tracks import Clip, between, frames_beside, number, runs, sequences, thinned

SIDES = ("xtl", "ytl", "xbr", "ybr")


@dataclass(frozen=True)
class Cvat(ReadAtOnce):
    """`<seq>.xml` with `<seq>.mp4`, or `annotations.xml` with `images/`, also in a folder for each video."""

    def __str__(self):
        return "annotations.xml with images/*.jpg or <seq>.xml with <seq>.mp4"

    def find(self, storage, dataset):
        found = []
        for file in (*storage.glob("*/annotations.xml"), *storage.glob("*.xml")):
            place, data = storage.place(file), storage.read(file)
            if b"<track" not in data:
                continue
            folder, stem, frames = frames_beside(storage, file)
            name = folder or (dataset if stem == "annotations" else stem)
            found += sequences(storage, dataset, name, place, read(data, place), frames)
        return found


def read(data: bytes, place: object) -> dict:
    """{(id, label): {frame from 0: [x, y, w, h]}} of a file's bytes, interpolated. Raises UserError."""
    try:
        root = ElementTree.fromstring(data)
        tracks = root.iter("track")
        return {(int(one.get("id") or ""), one.get("label") or ""): _boxes(one.findall("box")) for one in tracks}
    except ElementTree.ParseError as error:
        raise UserError(f"not XML: {error}", place) from None
    except (TypeError, ValueError) as error:
        what = "a track without a number, or a box without frame, xtl, ytl, xbr, ybr"
        raise UserError(f"{what}: {error}", place) from None


def _boxes(shapes):
    keys = sorted(
        (int(one.get("frame")), one.get("outside") == "1", [float(one.get(side)) for side in SIDES]) for one in shapes
    )
    boxes = {}
    for (frame, outside, corners), after in zip(keys, [*keys[1:], None], strict=True):
        if outside:
            continue
        boxes[frame] = corners
        if after is None or after[1]:  # until it leaves, the box stays where it was
            last = after[0] if after else frame + 1
            boxes.update(dict.fromkeys(range(frame + 1, last), corners))
            continue
        boxes.update(between(frame, after[0], corners, after[2]))
    return {frame: [x, y, right - x, bottom - y] for frame, (x, y, right, bottom) in boxes.items()}


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """annotations.xml of a clip: keyframes thinned to `tolerance` px, `outside` where the target leaves."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = "1.1"
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(task, "name").text = clip.name
    ElementTree.SubElement(task, "size").text = str(len(clip.files))
    ElementTree.SubElement(task, "mode").text = "interpolation"
    original = ElementTree.SubElement(task, "original_size")
    for side, pixels in zip(("width", "height"), clip.size, strict=True):
        ElementTree.SubElement(original, side).text = str(pixels)
    for track in clip.tracks:
        element = ElementTree.SubElement(root, "track", id=str(track.number), label=track.label, source="auto")
        for first, last in runs(np.isfinite(track.boxes_xywh).all(axis=1)):
            for key in thinned(track.boxes_xywh[first : last + 1], tolerance):
                _shape(element, first + key, track.boxes_xywh[first + key], "0")
            if last + 1 < len(clip.files):
                _shape(element, last + 1, track.boxes_xywh[last], "1")
    ElementTree.indent(root)
    return {"annotations.xml": ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)}


def _shape(track, frame, box, outside):
    x, y, w, h = box
    corners = dict(zip(SIDES, map(number, (x, y, x + w, y + h)), strict=True))
    common = {"keyframe": "1", "outside": outside, "occluded": "0", "z_order": "0"}
    ElementTree.SubElement(track, "box", frame=str(frame), **common, **corners)
