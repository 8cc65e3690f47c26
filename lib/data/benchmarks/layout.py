"""How a dataset with a text file of boxes for each video lies on disk, as patterns, and the sequences found by them.

In a pattern `{seq}` stands for the name of a sequence and `*` for anything within one folder level.
"""

import glob
import re
from dataclasses import dataclass

import numpy as np

from lib.data.frames import VIDEO_EXTENSIONS, ImageFrames, VideoFrames, image_names
from lib.data.sequence import Sequence
from lib.data.textfile import parse_boxes, parse_numbers
from lib.errors import FrameError, UserError


@dataclass(frozen=True)
class Layout:
    """Patterns of one way to lay out a dataset.

    boxes: ground truth, one row a frame, `x y w h` or four corners, NaN or zero size where absent.
    frames: alternatives for the frames' images; the first that has any is taken.
    video: instead of frames, one video a sequence, without its extension.
    absent: files of flags, 1 = absent; any that exist are combined. cover: file of numbers, 0 = hidden (GOT-10k).
    attributes: file of words. windows: file that pack_crops writes, see Sequence.
    """

    boxes: str
    frames: tuple = ()
    video: str = ""
    absent: tuple = ()
    cover: str = ""
    attributes: str = ""
    windows: str = ""

    def __str__(self):
        frames = self.frames[0] if self.frames else f"{self.video}.mp4"
        return f"{self.boxes} with {frames}".replace("{seq}", "<seq>")

    def find(self, storage, dataset):
        """The sequences of a storage (lib/data/storage.py) that lie so, by name; an empty list where none do.

        Raises UserError with file and line for ground truth that cannot be read, and for a video or its text missing.
        """
        names = _names(storage, self.boxes)
        if self.video:
            videos = {}
            for extension in VIDEO_EXTENSIONS:
                videos.update(_names(storage, self.video + extension))
            if not videos:
                return []
            lacking = next((name for name in videos if name not in names), None)
            if lacking is not None:
                raise UserError(
                    f"no ground truth beside it: expected {self.boxes.format(seq=lacking)}",
                    storage.place(videos[lacking]),
                )
            names = {name: names[name] for name in videos}
        sequences = []
        for name, boxes_file in names.items():
            opener = _OpenVideo(storage.place(videos[name])) if self.video else _OpenImages(storage, self.frames, name)
            place = storage.place(boxes_file)
            boxes = parse_boxes(storage.read(boxes_file), place, columns=(4, 8))
            if len(boxes) == 1:  # only the first frame is labelled, as in test sets scored by a server
                boxes = np.concatenate([boxes, np.full((len(opener()) - 1, 4), np.nan)])
            visible = ~_absent(storage, self, name, len(boxes))
            facts = _attributes(storage, self, name), str(place), _windows(storage, self, name, len(boxes))
            sequences.append(Sequence(name, dataset, boxes, opener, visible, *facts))
        return sequences


ABSENT = ("{seq}/absent.txt", "{seq}/absence.label", "{seq}/full_occlusion.txt", "{seq}/out_of_view.txt")

# What a user's own folder may look like; the first layout that matches anything is taken.
FOLDER_LAYOUTS = (
    Layout(
        boxes="{seq}/groundtruth*.txt",
        frames=("{seq}/img/*", "{seq}/imgs/*", "{seq}/color/*", "{seq}/frames/*", "{seq}/*"),
        absent=ABSENT,
        attributes="{seq}/attributes.txt",
        windows="{seq}/windows.txt",
    ),
    Layout(boxes="{seq}.txt", video="{seq}"),
    Layout(
        boxes="anno*/{seq}.txt",
        frames=("data_seq/{seq}/*", "sequences/{seq}/*", "frames/{seq}/*", "{seq}/img/*", "{seq}/*"),
    ),
    Layout(boxes="{seq}/{seq}.txt", frames=("{seq}/img/*", "{seq}/imgs/*", "{seq}/*"), absent=ABSENT),
)


@dataclass(frozen=True)
class _OpenVideo:
    path: object

    def __call__(self):
        return VideoFrames(self.path)


@dataclass(frozen=True)
class _OpenImages:
    storage: object
    patterns: tuple
    name: str

    def __call__(self):
        for pattern in self.patterns:
            names = image_names(self.storage, _fill(pattern, self.name))
            if names:
                return ImageFrames(self.storage, names)
        tried = ", ".join(pattern.format(seq=self.name) for pattern in self.patterns)
        raise FrameError(f"{self.name}: no frames; looked for images as {tried}", self.storage.path)


def _fill(pattern, name):
    return pattern.format(seq=glob.escape(name))


def _names(storage, pattern):
    """{sequence name: file} of all files that match a pattern, the first file where several belong to one name."""
    parts = [re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split("{seq}")]
    matcher = re.compile(parts[0] + "(?P<seq>[^/]+)" + "(?P=seq)".join(parts[1:]))
    found = {}
    for file in storage.glob(pattern.replace("{seq}", "*")):
        match = matcher.fullmatch(file)
        if match:
            found.setdefault(match["seq"], file)
    return found


def _absent(storage, layout, name, count):
    absent = np.zeros(count, bool)
    for pattern in filter(None, (*layout.absent, layout.cover)):
        for file in storage.glob(_fill(pattern, name)):
            flags = parse_numbers(storage.read(file), storage.place(file))
            if len(flags) != count:
                raise UserError(f"{len(flags)} flags for {count} frames", storage.place(file))
            absent |= flags <= 0 if pattern == layout.cover else flags > 0
    return absent


def _attributes(storage, layout, name):
    files = storage.glob(_fill(layout.attributes, name)) if layout.attributes else []
    words = storage.read(files[0]).decode(errors="replace") if files else ""
    return tuple(re.findall(r"[A-Za-z][\w-]*", words))


def _windows(storage, layout, name, count):
    files = storage.glob(_fill(layout.windows, name)) if layout.windows else []
    if not files:
        return None
    rows = parse_boxes(storage.read(files[0]), storage.place(files[0]), allow_nan=False)
    if len(rows) != count:
        raise UserError(f"{len(rows)} windows for {count} frames", storage.place(files[0]))
    return rows
