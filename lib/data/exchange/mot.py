"""MOTChallenge's text files: frame, id, left, top, width, height, confidence, class, visibility; frames from 1.

Milan et al., MOT16: A Benchmark for Multi-Object Tracking, 2016 (arXiv:1603.00831). Coordinates are taken as they are.
"""

from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce
from ..frames import image_names
from ..textfile import parse_rows
from .tracks import Clip, number, sequences


@dataclass(frozen=True)
class Mot(ReadAtOnce):
    """`<seq>/gt/gt.txt` with `<seq>/img1/*.jpg`, or one video alone without its folder.

    Rows of confidence 0 are left out.
    """

    def __str__(self):
        return "<seq>/gt/gt.txt with <seq>/img1/*.jpg"

    def find(self, storage, dataset):
        found = []
        for file in (*storage.glob("*/gt/gt.txt"), *storage.glob("gt/gt.txt")):
            folder = file.removesuffix("gt/gt.txt")
            frames = image_names(storage, f"{folder}img1/*") or image_names(storage, f"{folder}img/*")
            if frames:  # else it may be a sequence of another layout that is called gt
                place, name = storage.place(file), folder.rstrip("/") or dataset
                found += sequences(storage, dataset, name, place, read(storage.read(file), place), frames)
        return found


def read(data: bytes, place: object) -> dict:
    """{(id, class): {frame from 0: [x, y, w, h]}} of a file's bytes. Raises UserError with file and line."""
    tracks: dict = {}
    for line, row in enumerate(parse_rows(data, place, least=6), 1):
        frame, identity = int(row[0]), int(row[1])
        if frame < 1 or frame != row[0]:
            raise UserError(f"expected a frame's number from 1 on, found {row[0]:g}", place, line)
        if identity < 0:
            raise UserError("id -1: these are detections, which belong to no track", place, line)
        if len(row) > 6 and row[6] == 0:
            continue
        label = f"{row[7]:g}" if len(row) > 7 else ""
        boxes = tracks.setdefault((identity, label), {})
        if frame - 1 in boxes:
            raise UserError(f"id {identity} a second time in frame {frame}", place, line)
        boxes[frame - 1] = row[2:6]
    return tracks


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """gt/gt.txt and seqinfo.ini of a clip; a frame in which a target is absent has no row."""
    rows = [
        (frame + 1, track.number, box)
        for track in clip.tracks
        for frame, box in enumerate(track.boxes_xywh)
        if np.isfinite(box).all()
    ]
    rows.sort(key=lambda row: row[:2])
    lines = [f"{frame},{identity},{','.join(map(number, box))},1,1,1\n" for frame, identity, box in rows]
    width, height = clip.size
    about = {"name": clip.name, "imDir": "img1", "seqLength": len(clip.files), "imWidth": width, "imHeight": height}
    text = "[Sequence]\n" + "".join(f"{key}={value}\n" for key, value in about.items())
    return {"gt/gt.txt": "".join(lines).encode(), "seqinfo.ini": text.encode()}
