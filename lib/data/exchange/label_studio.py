"""Label Studio's `videorectangle`: a JSON of tasks, with keyframes in percent of the picture.

labelstud.io/tags/videorectangle: frames count from 1. From a keyframe on which `enabled` is true the box is
interpolated to the next one, or stays to the end of the video; after one on which it is false the target is away.
"""

import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from ...errors import UserError
from ..attributes import frame_size
from ..benchmarks.annotated import OpenFiles, ReadAtOnce
from ..frames import VideoFrames
from .tracks import Clip, between, frames_near, runs, sequences, thinned

KIND = b'"videorectangle"'
PREFIX = re.compile(r"^[0-9a-f]{8}-")  # that an upload gives to a file's name


@dataclass(frozen=True)
class LabelStudio(ReadAtOnce):
    """An export (`*.json`) with the videos that it names, or a folder of images called like each."""

    def __str__(self):
        return "*.json of Label Studio with <video>.mp4"

    def find(self, storage, dataset):
        found = []
        for file in storage.glob("*.json"):
            data, place = storage.read(file), storage.place(file)
            if KIND not in data:
                continue
            for name, results in _tasks(data, place):
                frames = _frames(storage, name)
                if frames is None:
                    raise UserError(f"no frames of {name} beside it: expected that video, or images in {name}/", place)
                opened = VideoFrames(storage.place(frames)) if isinstance(frames, str) else OpenFiles(storage, frames)()
                tracks = _tracks(results, frame_size(opened), len(opened), place)
                found += sequences(storage, dataset, PurePosixPath(name).stem, place, tracks, frames)
        return found


def _frames(storage, name):
    """The video of a task, or its images; also where the upload's prefix was taken off its name."""
    for each in dict.fromkeys((name, PREFIX.sub("", name))):
        stem = PurePosixPath(each).stem
        if storage.glob(each):
            return each
        found = frames_near(storage, f"{stem}/", stem)
        if found is not None:
            return found if isinstance(found, str) else tuple(found)
    return None


def _tasks(data, place):
    """[(name of the video, its results)] of an export."""
    try:
        tasks = json.loads(data)
        found = []
        for task in tasks if isinstance(tasks, list) else [tasks]:
            video = next(str(value) for value in task["data"].values() if isinstance(value, str))
            results = [one for each in task["annotations"] for one in each["result"] if one["type"] == "videorectangle"]
            found.append((PurePosixPath(video).name, results))
        return found
    except (KeyError, TypeError, ValueError, AttributeError, StopIteration) as error:
        raise UserError(f"not an export of Label Studio: {error!r}", place) from None


def _tracks(results, size, count, place):
    tracks = {}
    try:
        for number, result in enumerate(results, 1):
            value = result["value"]
            label = str((value.get("labels") or ["target"])[0])
            tracks[number, label] = _boxes(value["sequence"], size, count)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"a videorectangle without keyframes: {error!r}", place) from None
    return tracks


def _boxes(keyframes, size, count):
    """{frame from 0: [x, y, w, h]} px of the keyframes of a video of `count` frames and (width, height) px."""
    scale = np.array([*size, *size]) / 100
    keys = sorted(
        (int(one["frame"]) - 1, bool(one.get("enabled", True)),
         (scale * [float(one[side]) for side in ("x", "y", "width", "height")]).tolist())
        for one in keyframes
    )  # fmt: skip
    boxes = {}
    for (frame, enabled, box), after in zip(keys, [*keys[1:], None], strict=True):
        boxes[frame] = box
        if enabled and after:
            boxes.update(between(frame, after[0], box, after[2]))
        elif enabled:
            boxes.update(dict.fromkeys(range(frame + 1, count), box))
    return boxes


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """annotations.json of a clip: keyframes thinned to `tolerance` px; a target that leaves has `enabled` false."""
    scale = 100 / np.array([*clip.size, *clip.size])
    results = []
    for track in clip.tracks:
        keyframes = []
        for first, last in runs(np.isfinite(track.boxes_xywh).all(axis=1)):
            for key in thinned(track.boxes_xywh[first : last + 1], tolerance):
                sides = zip(("x", "y", "width", "height"), scale * track.boxes_xywh[first + key], strict=True)
                keyframes.append({"frame": first + key + 1, "enabled": first + key < last, "rotation": 0,
                                  **{side: round(float(value), 6) for side, value in sides}})  # fmt: skip
        value = {"framesCount": len(clip.files), "sequence": keyframes, "labels": [track.label]}
        results.append({"id": str(track.number), "type": "videorectangle", "from_name": "box", "to_name": "video",
                        "value": value})  # fmt: skip
    tasks = [{"data": {"video": f"{clip.name}.mp4"}, "annotations": [{"result": results}]}]
    return {"annotations.json": json.dumps(tasks, indent=1).encode()}
