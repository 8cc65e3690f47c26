"""Datasets whose boxes lie in JSON or XML: still images, COCO, ImageNet-VID, SHIFT. Each layout finds its sequences.

Every box of a still image is a sequence of one frame.
"""

import collections.abc
import json
import logging
import re
import zlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree import ElementTree

import numpy as np

from ...errors import UserError
from ..frames import ImageFrames, image_names
from ..image import image_size, natural_key
from ..sequence import Sequence
from ..textfile import LIMIT

log = logging.getLogger(__name__)

PHOTO = "photo"  # attribute of a target that nobody labelled: a patch of a photograph, chosen blindly
PATCHES = 4  # of each photograph
PATCH_SIDES = (8.0, 64.0)  # px


class ReadAtOnce:
    """A layout whose `find(storage, dataset)` gives the sequences themselves of a storage (lib/data/storage.py).

    It gives an empty list where there are none, and raises UserError where annotations are not as expected.
    """

    by_text = False  # unlike those of layout.py

    def files(self):
        """{pattern: remark} of the files that a drawing of the layout shows."""
        return dict.fromkeys(re.split(r" with |, ", str(self)), "")


@dataclass(frozen=True)
class Stills(ReadAtOnce):
    """`boxes.json`, {file: [[x, y, w, h], ...]} of images in one of `images`; and photographs without any box.

    Of each photograph PATCHES boxes are taken as targets of no class, by chance but always the same: their place is
    drawn from the file's name and the picture's size. Whether such a patch has any texture is for the reader of the
    pixels to judge; these sequences have the attribute PHOTO.
    """

    boxes: str = "boxes.json"
    images: tuple = ("img/", "images/", "")
    photos: str = "photos/"

    def __str__(self):
        return f"{self.boxes} with {self.images[0]}*.jpg, {self.photos}*.jpg"

    def find(self, storage, dataset):
        files, boxes, folder = [], [], ""
        if storage.glob(self.boxes):
            place = storage.place(self.boxes)
            table = _json(storage, self.boxes, dict)
            folder = next((folder for folder in self.images if image_names(storage, f"{folder}*")), self.images[0])
            for name in sorted(table, key=natural_key):
                files.append(f"{folder}{name}")
                boxes.append(_boxes(table[name], place, name))
            _check_images(storage, folder, files, place)
        labelled = len(files)
        for file in image_names(storage, f"{self.photos}*"):
            files.append(file)
            boxes.append(_patches(file, *image_size(storage.read(file), storage.place(file))))
        return StillSequences(storage, dataset, files, boxes, folder, labelled) if files else []


@dataclass(frozen=True)
class Photographs(ReadAtOnce):
    """Images alone, in a folder or in folders below it, each a sequence of one frame without a box, called like it."""

    def __str__(self):
        return "*.jpg"

    def find(self, storage, dataset):
        return [
            Sequence(
                file.rpartition(".")[0],
                dataset,
                np.full((1, 4), np.nan),
                OpenFiles(storage, (file,)),
                place=str(storage.place(file)),
            )
            for pattern in ("*", "*/*")
            for file in image_names(storage, pattern)
        ]


@dataclass(frozen=True)
class Coco(ReadAtOnce):
    """COCO's annotations and the folder of its images. Crowds and boxes without area are left out."""

    boxes: str
    images: str

    def __str__(self):
        return f"{self.boxes} with {self.images}*.jpg"

    def find(self, storage, dataset):
        if not storage.glob(self.boxes):
            return []
        place = storage.place(self.boxes)
        table = _json(storage, self.boxes, dict)
        try:
            names = {image["id"]: str(image["file_name"]) for image in table["images"]}
            boxes = {}
            for annotation in table["annotations"]:
                if not annotation.get("iscrowd"):
                    boxes.setdefault(names[annotation["image_id"]], []).append(annotation["bbox"])
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(f"not annotations as COCO's: {error!r}", place) from None
        boxes = {name: _boxes(boxes[name], place, name) for name in sorted(boxes, key=natural_key)}
        files = [f"{self.images}{name}" for name in boxes]
        _check_images(storage, self.images, files, place)
        return StillSequences(storage, dataset, files, list(boxes.values()), self.images)


class StillSequences(collections.abc.Sequence):
    """A list of one-frame sequences, one for each box of many images, each made when it is asked for.

    COCO has 860,000 boxes, which as that many objects would fill the memory of every worker.
    files: names in the storage. boxes_xywh: for each file (n, 4) px. folder: left out of the sequences' names.
    labelled: from the file of this number on they are photographs.
    """

    def __init__(self, storage, dataset, files, boxes_xywh, folder, labelled=None):
        self.storage, self.dataset, self.files, self.folder = storage, dataset, files, folder
        counts = np.array([len(boxes) for boxes in boxes_xywh], int)
        self.boxes_xywh = np.concatenate([np.empty((0, 4)), *boxes_xywh])
        self.owner = np.repeat(np.arange(len(files)), counts)
        self.first = np.concatenate([[0], np.cumsum(counts)])
        self.labelled = len(files) if labelled is None else labelled

    def __len__(self):
        return len(self.boxes_xywh)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        owner = self.owner[index]
        file = self.files[owner]
        name = PurePosixPath(self.short_name(owner)).stem
        return Sequence(
            f"{name}_{index - self.first[owner]}",
            self.dataset,
            self.boxes_xywh[index : index + 1],
            OpenFiles(self.storage, (file,)),
            attributes=(PHOTO,) if owner >= self.labelled else (),
            place=str(self.storage.place(file)),
        )

    def boxes_of(self, owner):
        """(n, 4) xywh px of the file of this number."""
        return self.boxes_xywh[self.first[owner] : self.first[owner + 1]]

    def short_name(self, owner):
        """What the file of this number is called in one flat folder of all of them."""
        return self.files[owner].removeprefix(self.folder).replace("/", "_")


@dataclass(frozen=True)
class ImageNetVid(ReadAtOnce):
    """ImageNet-VID: one XML file a frame, and in it every object with its track. Each track is a sequence.

    Its frames are the whole video's, from the track's first to its last; in between it may be absent.
    """

    boxes: str = "Annotations/VID/train/*/*/*.xml"
    images: str = "Data/VID/train/"

    def __str__(self):
        return f"{self.boxes} with {self.images}*/*/*.JPEG"

    def find(self, storage, dataset):
        videos = {}
        for file in storage.glob(self.boxes):
            videos.setdefault(PurePosixPath(file).parent, []).append(file)
        if sum(map(len, videos.values())) > 100_000:
            log.info("%s: reading the XML of %d videos; an LMDB opens faster", storage.path, len(videos))
        sequences = []
        for video, files in videos.items():
            tracks = {}
            for number, file in enumerate(files):
                for track, box in _xml_boxes(storage.read(file), storage.place(file)):
                    tracks.setdefault(track, {})[number] = box
            folder = f"{self.images}{video.parent.name}/{video.name}"
            frames = [f"{folder}/{PurePosixPath(file).stem}.JPEG" for file in files]
            for track, boxes in sorted(tracks.items(), key=lambda item: natural_key(item[0])):
                first, last = min(boxes), max(boxes)
                table = np.full((last - first + 1, 4), np.nan)
                table[np.array(list(boxes)) - first] = list(boxes.values())
                opener = OpenFiles(storage, tuple(frames[first : last + 1]))
                place = str(storage.place(video.as_posix()))
                sequences.append(Sequence(f"{video.name}_{track}", dataset, table, opener, place=place))
        return sequences


@dataclass(frozen=True)
class Shift(ReadAtOnce):
    """SHIFT's night videos as DCPT takes them: a JSON {<video>/<object>: {frame: [file], box2d: [{x1, y1, x2, y2}]}}.

    Boxes with a side of 50 px or less count as not visible, as there.
    """

    boxes: str = "shift_info_1fps.json"
    min_side: float = 50.0

    def __str__(self):
        return f"{self.boxes} with <video>/*.jpg"

    def find(self, storage, dataset):
        if not storage.glob(self.boxes):
            return []
        place = storage.place(self.boxes)
        sequences = []
        for name, clip in _json(storage, self.boxes, dict).items():
            try:
                corners = [[float(box[side]) for side in ("x1", "y1", "x2", "y2")] for box in clip["box2d"]]
                files = tuple(f"{name.split('/')[0]}/{frame}" for frame in clip["frame"])
            except (KeyError, TypeError, ValueError) as error:
                raise UserError(f"{name}: expected frame and box2d with x1, y1, x2, y2: {error!r}", place) from None
            boxes = np.array(corners).reshape(-1, 4)
            boxes[:, 2:] -= boxes[:, :2]
            if len(boxes) != len(files) or not len(boxes):
                raise UserError(f"{name}: {len(boxes)} boxes for {len(files)} frames", place)
            visible = (boxes[:, 2:] > self.min_side).all(axis=1)
            sequences.append(
                Sequence(name.replace("/", "_"), dataset, boxes, OpenFiles(storage, files), visible, place=str(place))
            )
        return sequences


@dataclass(frozen=True)
class OpenFiles:
    """Opens the named images of a storage."""

    storage: object
    files: tuple

    def __call__(self):
        return ImageFrames(self.storage, self.files)


def _json(storage, name, kind):
    try:
        table = json.loads(storage.read(name))
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", storage.place(name), error.lineno) from None
    except (UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"not JSON: {error}", storage.place(name)) from None
    if not isinstance(table, kind):
        raise UserError("expected a JSON object, {...}", storage.place(name))
    return table


def _boxes(rows, place, name):
    """(n, 4) float64 xywh of JSON rows, without those that have no area."""
    try:
        boxes = np.array(rows, np.float64).reshape(-1, 4) if len(rows) else np.empty((0, 4))
    except (TypeError, ValueError):
        boxes = np.array([np.nan])
    if not (np.abs(boxes) < LIMIT).all():
        raise UserError(f"{name}: expected rows of four finite numbers, [x, y, w, h]", place)
    return boxes[(boxes[:, 2:] > 0).all(axis=1)]


def _check_images(storage, folder, files, place):
    there = set(storage.glob(f"{folder}*"))
    missing = [file for file in files if file not in there]
    if missing:
        raise UserError(f"{len(missing)} of its {len(files)} images are missing, such as {missing[0]}", place)


def _patches(file, width, height):
    """(PATCHES, 4) xywh px inside a picture of width x height px: sides even in their logarithm, aspect 1/2 to 2."""
    random = np.random.default_rng(zlib.crc32(file.encode()))
    side = np.exp(random.uniform(*np.log(PATCH_SIDES), PATCHES))
    aspect = np.exp(random.uniform(-np.log(2), np.log(2), PATCHES) / 2)
    sizes = np.minimum(np.stack([side * aspect, side / aspect], axis=1), (width, height))
    return np.concatenate([random.uniform(0, 1, (PATCHES, 2)) * ((width, height) - sizes), sizes], axis=1)


def _xml_boxes(data, place):
    """[(track, [x, y, w, h])] of the objects in one frame."""
    try:
        objects = ElementTree.fromstring(data).iter("object")
        found = []
        for one in objects:
            x0, y0, x1, y1 = (float(one.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
            found.append((one.findtext("trackid"), [x0, y0, x1 - x0, y1 - y0]))
    except ElementTree.ParseError as error:
        raise UserError(f"not XML: {error}", place) from None
    except (TypeError, ValueError):
        raise UserError("an object without a bndbox of four numbers", place) from None
    if any(track is None for track, _ in found):
        raise UserError("an object without a trackid", place)
    return found
