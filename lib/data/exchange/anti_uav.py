"""Anti-UAV: a JSON of one target, with a box for each frame and whether the target is there.

github.com/ZhaoJ9014/Anti-UAV: `exist` holds 0 or 1 for each frame, `gt_rect` x, y, w, h in px, of an absent target
zeros or nothing. The videos lie beside it (Anti-UAV300: `infrared.json` with `infrared.mp4`), or the images
(Anti-UAV410: `IR_label.json`).
"""

import json
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce
from .tracks import Clip, frames_beside, sequences


@dataclass(frozen=True)
class AntiUav(ReadAtOnce):
    """`<seq>/*.json` with `exist` and `gt_rect`, beside a video of the same name or images."""

    def __str__(self):
        return "<seq>/IR_label.json with <seq>/*.jpg, <seq>/infrared.json with <seq>/infrared.mp4"

    def find(self, storage, dataset):
        found = []
        for file in (*storage.glob("*/*.json"), *storage.glob("*.json")):
            data, place = storage.read(file), storage.place(file)
            if b'"gt_rect"' not in data:
                continue
            folder, stem, frames = frames_beside(storage, file)
            name = folder or dataset
            name = f"{name}_{stem}" if isinstance(frames, str) else name
            found += sequences(storage, dataset, name, place, {(1, ""): read(data, place)}, frames)
        return found


def read(data: bytes, place: object) -> dict:
    """{frame from 0: [x, y, w, h]} of a file's bytes. Raises UserError."""
    try:
        table = json.loads(data)
        there, boxes = list(table["exist"]), list(table["gt_rect"])
        if len(there) != len(boxes):
            raise UserError(f"{len(there)} numbers in exist, {len(boxes)} boxes in gt_rect", place)
        found = {frame: [float(value) for value in box] for frame, box in enumerate(boxes) if there[frame]}
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"expected the lists exist and gt_rect: {error!r}", place) from None
    for frame, box in found.items():
        if len(box) != 4:
            raise UserError(f"gt_rect of frame {frame}: expected x, y, w, h, found {len(box)} numbers", place)
    return found


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """IR_label.json of a clip, for each of its targets; of several, in a folder for each."""
    files = {}
    for track in clip.tracks:
        there = np.isfinite(track.boxes_xywh).all(axis=1)
        boxes = np.where(there[:, None], track.boxes_xywh, 0).round(3)
        text = json.dumps({"exist": there.astype(int).tolist(), "gt_rect": boxes.tolist()})
        folder = f"{track.number}/" if len(clip.tracks) > 1 else ""
        files[f"{folder}IR_label.json"] = text.encode()
    return files
