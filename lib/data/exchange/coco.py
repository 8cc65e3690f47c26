"""COCO's JSON in any folder with its images: tracks where it has `track_id`, as TAO and CVAT write it, else stills."""

import json
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import ReadAtOnce, StillSequences
from ..frames import image_names
from ..image import natural_key
from .tracks import Clip, sequences

PATTERNS = ("annotations/*.json", "*.json", "*/_annotations.coco.json")
FOLDERS = ("", "images/", "img/", "images/default/", "train/", "val/", "data/")


@dataclass(frozen=True)
class CocoFolder(ReadAtOnce):
    """A JSON with `images` and `annotations`, alone or in annotations/; its images in one of FOLDERS or beside it."""

    def __str__(self):
        return "annotations/*.json with images/*.jpg"

    def find(self, storage, dataset):
        files, boxes, found = [], [], []
        for file in (file for pattern in PATTERNS for file in storage.glob(pattern)):
            place = storage.place(file)
            table = read(storage.read(file), place)
            if table is None:
                continue
            names = _located(storage, file, [image["file_name"] for image in table["images"].values()], place)
            if table["tracks"]:
                found += _tracks(storage, dataset, table, names, place)
            else:
                for key, rows in table["boxes"].items():
                    files.append(names[table["images"][key]["file_name"]])
                    boxes.append(np.array(rows, np.float64).reshape(-1, 4))
        if found:
            return found
        return StillSequences(storage, dataset, files, boxes, "") if files else []


def read(data: bytes, place: object) -> dict | None:
    """What a file's bytes say, None where it is another kind of JSON.

    Returns:
        {"images": {id: image}, "boxes": {image id: [xywh]}, "tracks": {(track id, class): {image id: xywh}}}. Crowds
        and boxes without area are left out.

    Raises:
        UserError: no JSON, or not as COCO's.
    """
    try:
        table = json.loads(data)
    except ValueError as error:
        raise UserError(f"not JSON: {error}", place) from None
    if not isinstance(table, dict) or not {"images", "annotations"} <= table.keys():
        return None
    try:
        images = {image["id"]: {**image, "file_name": str(image["file_name"])} for image in table["images"]}
        labels = {one["id"]: str(one["name"]) for one in table.get("categories", ())}
        boxes: dict = {}
        tracks: dict = {}
        for one in table["annotations"]:
            box = [float(value) for value in one["bbox"]] if not one.get("iscrowd") and one.get("bbox") else None
            if box is None or len(box) != 4 or min(box[2:]) <= 0:
                continue
            image = one["image_id"]
            boxes.setdefault(images[image]["id"], []).append(box)
            track = one.get("track_id", one.get("instance_id", (one.get("attributes") or {}).get("track_id")))
            if track is not None:
                tracks.setdefault((track, labels.get(one.get("category_id"), "")), {})[image] = box
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"not annotations as COCO's: {error!r}", place) from None
    return {"images": images, "boxes": boxes, "tracks": tracks}


def _located(storage, file, names, place):
    """{file name in the JSON: name in the storage}."""
    beside = file.rpartition("/")[0]
    folders = [*FOLDERS, f"{beside}/" if beside else "", f"images/{file.rpartition('_')[2].removesuffix('.json')}/"]
    for folder in folders:
        depth = names[0].count("/") if names else 0
        there = set(image_names(storage, folder + "*/" * depth + "*"))
        if names and folder + names[0] in there:
            missing = [name for name in names if folder + name not in there]
            if missing:
                raise UserError(f"{len(missing)} of its {len(names)} images are missing, such as {missing[0]}", place)
            return {name: folder + name for name in names}
    first = names[0] if names else "any"
    raise UserError(f"its images are not there: looked for {first} in {', '.join(filter(None, folders))}", place)


def _tracks(storage, dataset, table, names, place):
    """A sequence for each track of each video; the images of a video are in the order of their frame_id or names."""
    videos = {}
    for key, image in table["images"].items():
        order = image.get("frame_id", image.get("frame_index"))
        rank = (0, order) if order is not None else (1, natural_key(image["file_name"]))
        videos.setdefault(image.get("video_id", ""), []).append((rank, key))
    found = []
    for video, ranked in videos.items():
        keys = [key for _, key in sorted(ranked)]
        numbers = {key: number for number, key in enumerate(keys)}
        tracks = {
            who: {numbers[key]: box for key, box in boxes.items() if key in numbers}
            for who, boxes in table["tracks"].items()
        }
        frames = [names[table["images"][key]["file_name"]] for key in keys]
        name = f"{dataset}_{video}" if len(videos) > 1 else dataset
        found += sequences(storage, dataset, name, place, tracks, frames)
    return found


def write(clip: Clip, tolerance: float = 0.0) -> dict[str, bytes]:
    """annotations.json of a clip, with the track's number as track_id and the order of frames as frame_id."""
    labels = list(dict.fromkeys(track.label for track in clip.tracks))
    width, height = clip.size
    images = [
        {"id": frame + 1, "file_name": name, "width": width, "height": height, "video_id": 1, "frame_id": frame}
        for frame, name in enumerate(clip.files)
    ]
    annotations: list = []
    for track in clip.tracks:
        for frame, box in enumerate(track.boxes_xywh.round(3).tolist()):
            if box[0] == box[0]:
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": frame + 1, "category_id": labels.index(track.label) + 1,
                     "bbox": box, "area": box[2] * box[3], "iscrowd": 0, "track_id": track.number}
                )  # fmt: skip
    categories = [{"id": number, "name": label} for number, label in enumerate(labels, 1)]
    videos = [{"id": 1, "name": clip.name}]
    table = {"images": images, "annotations": annotations, "categories": categories, "videos": videos}
    return {"annotations.json": json.dumps(table, indent=1).encode()}
