"""A text file that lists videos: a dataset of files that lie anywhere, one a line, each with its first box."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ..frames import open_frames
from ..sequence import Sequence
from ..textfile import decode, read_boxes
from .annotated import ReadAtOnce

ENDINGS = (".txt", ".csv")
BOX = re.compile(r"[\s,;]+".join([r"(.*?)", *4 * [r"([-+]?\d[\d.eE+-]*)"]]))


def is_list(path: Path) -> bool:
    """Whether a path is that of a list and not of a folder, zip or LMDB."""
    return path.suffix.lower() in ENDINGS and path.is_file()


@dataclass(frozen=True)
class VideoList(ReadAtOnce):
    """Lines `VIDEO x y w h`, or `VIDEO` with the boxes in a text file of its name beside it.

    VIDEO is what video_demo.py takes but for streams and cameras; a relative path starts at the list's folder. Between
    the words there are blanks, tabs, commas or semicolons. Empty lines and those that begin with # are left out.
    """

    file: str

    def __str__(self) -> str:
        return f"{self.file} with lines `VIDEO x y w h`"

    def find(self, storage: Any, dataset: str) -> list[Sequence]:
        path = storage.place(self.file)
        lines = enumerate(map(str.strip, decode(storage.read(self.file), path).splitlines()), 1)
        listed = [(number, *_split(line)) for number, line in lines if line and not line.startswith("#")]
        if not listed:
            raise UserError("is empty, expected a line `VIDEO x y w h` for each video", path)
        names = _names([video for _, video, _ in listed])
        return [
            _sequence(path, dataset, number, name, video, box)
            for name, (number, video, box) in zip(names, listed, strict=True)
        ]


def _split(line):
    """(video, box or None) of a line."""
    match = BOX.fullmatch(line)
    return (match[1], np.array([match.groups()[1:]], np.float64)) if match else (line, None)


def _names(videos):
    """What each video is called: as its file, or where two files are called alike, as its folder and its file."""
    paths = [Path(video) for video in videos]
    stems = [path.stem for path in paths]
    return [path.stem if stems.count(path.stem) == 1 else f"{path.parent.name}_{path.stem}" for path in paths]


def _sequence(path, dataset, number, name, video, box):
    source = path.parent / video
    opener = _Open(str(source))
    try:
        count = max(len(opener()), 1)
    except UserError as error:
        raise UserError(f"{video}: {error}", path, number) from None
    if box is None:
        beside = source.with_suffix(".txt")
        if not beside.is_file():
            raise UserError(f"expected `VIDEO x y w h`, or the boxes in {beside}, found {video!r}", path, number)
        box = read_boxes(beside, columns=(4, 8))
    if len(box) == 1:  # of the first frame alone
        box = np.concatenate([box, np.full((count - 1, 4), np.nan)])
    return Sequence(name, dataset, box, opener, place=str(path))


@dataclass(frozen=True)
class _Open:
    source: str

    def __call__(self):
        return open_frames(self.source)
