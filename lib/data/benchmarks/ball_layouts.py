"""Datasets of balls: where the ball is in every frame of a clip, as TrackNet's and WASB's readers expect them on disk.

    badminton100k, shuttlecock   [<part>/]<match>/[corrected_]csv/<rally>_ball.csv with frame/<rally>/<number>.png or
                                 video/<rally>.mp4                       Frame,Visibility,X,Y
    tennis, table_tennis         <game>/<clip>/Label.csv with the images beside it; table tennis also as shuttlecock
                                 file name,visibility,x-coordinate,y-coordinate,status
    volleyball                   volleyball_ball_annotation/<match>/<clip>.txt with videos/<match>/<clip>/*.jpg
                                 `x y` on each line, 0 0 where there is no ball
    soccer                       annos/<clip>.xml with frames/<clip>/*.png or videos/<clip>.avi      CVAT
    basketball                   ball-annos/<match>/*_<clip>.xml with videos/<match>/<clip>/*.jpg    CVAT

A clip keeps the frames before the ball is first seen; trackers that need a first box start where it is. Splits are by
match, never by frame, so each clip knows its match. Positions are as in the files, which count px from the first one's
edge or middle as their annotators did; a px there is one of the original resolution.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np

from ...errors import UserError
from ..frames import VIDEO_EXTENSIONS, ImageFrames, VideoFrames, image_names
from ..sequence import Sequence, squares
from ..textfile import LIMIT, read_number
from .layout import Entry, spelt

log = logging.getLogger(__name__)

UNLABELLED = -1  # visibility of a frame that no row of the table is about
_MOST = 10**7  # frames; a table is as long as its largest number
_COLUMNS = {
    "frame": ("frame", "filename", "frameid", "framenumber", "image", "num"),
    "visibility": ("visibility", "visible", "vis"),
    "x": ("x", "xcoordinate", "xcoord", "ballx"),
    "y": ("y", "ycoordinate", "ycoord", "bally"),
}


class Labels(NamedTuple):
    """What a file says. numbers (M,): of frames, rising. points (M, 2): px, NaN where the ball is not seen.

    visibility (M,): the code of the file, whatever counts as seen.
    """

    numbers: np.ndarray
    points: np.ndarray
    visibility: np.ndarray


@dataclass(frozen=True)
class BallClip:
    """A clip with its labels.

    name; match: what splits must not divide. points (N, 2): px of the frames, NaN where the ball is not seen.
    visibility (N,): the file's code, UNLABELLED where it has none. opener: called without arguments, returns the N
    frames. place: of the labels, for errors.
    """

    name: str
    match: str
    points: np.ndarray
    visibility: np.ndarray
    opener: Callable
    place: str

    def __len__(self):
        return len(self.points)


def parse_table(data: bytes, place: str, visible: tuple = (1,)) -> Labels:
    """Read a table with a head, in any order and spelling of its columns.

    A ball that is seen at exactly (0, 0) counts as not seen: three rows of the corrected shuttlecock labels are so.

    Args:
        data: of the file; UTF-8, comma or semicolon between fields; further columns are ignored.
        place: what to call the file in errors.
        visible: codes of visibility that count as seen.

    Returns:
        The labels. Frames may be named by number or by file (`0012.jpg`).

    Raises:
        UserError: with file and line, where a row is not as expected or a frame comes twice.
    """
    lines = _text(data, place).splitlines()
    if not lines or not lines[0].strip():
        raise UserError("is empty, expected a table with Frame, Visibility, X and Y", place)
    mark = ";" if ";" in lines[0] else ","
    columns = _columns(lines[0].split(mark), place)
    rows = {}
    for line, text in enumerate(lines[1:], 2):
        if not text.strip():
            continue
        fields = [field.strip().strip('"') for field in text.split(mark)]
        if len(fields) <= max(columns.values()):
            raise UserError(f"expected at least {max(columns.values()) + 1} fields, found {len(fields)}", place, line)
        number = _frame_number(fields[columns["frame"]], place, line)
        if number in rows:
            raise UserError(f"frame {number} a second time", place, line)
        code = int(read_number(fields[columns["visibility"]] or "0", place, line))
        point = np.full(2, np.nan)
        if code in visible:
            point[:] = [read_number(fields[columns[axis]], place, line) for axis in "xy"]
            if not point.any():
                point[:] = np.nan
        rows[number] = (point, code)
    return _labels(rows, place)


def parse_lines(data: bytes, place: str) -> Labels:
    """Read volleyball's list of positions: `x y` for each frame in turn, 0 0 where no ball is seen.

    Args:
        data: of the file.
        place: what to call the file in errors.

    Returns:
        The labels, visibility 0 or 1. As in WASB, on whose results the published scores rest, reading ends at the first
        blank line; a warning says how many lines that leaves out.

    Raises:
        UserError: with file and line, where a line is not two numbers.
    """
    rows = {}
    lines = _text(data, place).splitlines()
    for line, text in enumerate(lines, 1):
        if not text.strip():
            left = sum(bool(rest.strip()) for rest in lines[line:])
            if left:
                log.warning("%s:%d: blank; %d lines below it are not read", place, line, left)
            break
        fields = text.split()
        if len(fields) != 2:
            raise UserError(f"expected x and y, found {len(fields)} fields", place, line)
        point = np.array([read_number(field, place, line) for field in fields])
        rows[line - 1] = (point if point.any() else np.full(2, np.nan), int(point.any()))
    return _labels(rows, place)


def parse_cvat(data: bytes, place: str, in_play: bool) -> Labels:
    """Read CVAT's XML of tracks of points, as the soccer and basketball sets have it.

    Args:
        data: of the file.
        place: what to call the file in errors.
        in_play: soccer's rule: seen are balls that are not occluded, not outside, and whose attribute `used_in_game`
            is 1. Else basketball's: not occluded; `outside` is ignored there.

    Returns:
        The labels, visibility 0 or 1. Of several points of one shape the first.

    Raises:
        UserError: where the XML is not as expected, or two balls are in play in one frame.
    """
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise UserError("has a DOCTYPE, which annotations have no use for", place)
    try:
        root = ElementTree.fromstring(data)
    except ElementTree.ParseError as error:
        raise UserError(f"not XML: {error}", place) from None
    rows: dict = {}
    for shape in root.iter("points"):
        number, point, seen = _shape(shape, place, in_play)
        if number in rows and rows[number][1] and seen:
            raise UserError(f"two balls in frame {number}", place)
        if number not in rows or seen:
            rows[number] = (point if seen else np.full(2, np.nan), int(seen))
    return _labels(rows, place)


def _shape(shape, place, in_play):
    try:
        number = int(shape.attrib["frame"])
        x, y = map(float, shape.attrib["points"].split(";")[0].split(","))
        seen = int(shape.attrib["occluded"]) == 0
        if in_play:
            used = [child.text for child in shape.iter("attribute") if child.attrib.get("name") == "used_in_game"]
            seen = seen and int(shape.attrib["outside"]) == 0 and int(used[0]) == 1
    except (KeyError, ValueError, IndexError, TypeError):
        words = "frame, points, occluded" + (", outside and a used_in_game of 0 or 1" if in_play else "")
        raise UserError(f"expected points with {words}, found {_spelt(shape)}", place) from None
    if not 0 <= number < _MOST or not max(abs(x), abs(y)) < LIMIT:
        raise UserError(f"a frame or a position out of range in {_spelt(shape)}", place)
    return number, np.array([x, y]), seen


def parse_spans(data: bytes, place: str) -> dict:
    """Read TrackNetV3's drop_frame.json: the frames of each rally that its published scores are of.

    Args:
        data: of the file, {"map": [names], "start": {name: first}, "end": {name: behind the last}}.
        place: what to call the file in errors.

    Returns:
        {<match>_<rally>: slice of positions}.

    Raises:
        UserError: where it is anything else.
    """
    try:
        table = json.loads(data)
        return {name: slice(int(table["start"][name]), int(table["end"][name])) for name in table["map"]}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"not TrackNetV3's list of frames: {error!r}", place) from None


@dataclass(frozen=True)
class BallLayout:
    """How one dataset lies on disk; used as layout.Layout is.

    labels: alternatives of a pattern; the first that has a clip is taken for that clip. `{word}` is a name within one
    folder level. images, video: patterns of the same words; the video without its extension. match: of the words.
    parse: function (data, place) -> Labels. width: of the frames that the dataset is known for, px. Labels of radius
    2.5 px at a width of 512 are as wide as the squares that stand for balls.
    """

    labels: tuple
    images: str
    parse: Callable
    width: int
    video: str = ""
    match: str = "{match}"
    name: str = "{match}_{clip}"

    by_text = True

    def __str__(self):
        return spelt(f"{self.labels[0]} with {self.images}")

    def files(self) -> dict:
        """As Layout.files."""
        files = {self.labels[0]: "", f"{self.images}.jpg": ""}
        if self.video:
            files[f"{self.video}.mp4"] = "in place of the images"
        return {spelt(file): remark for file, remark in files.items()}

    def entries(self, storage) -> dict:
        """As Layout.entries, in natural order of the names."""
        found: dict = {}
        for pattern in self.labels:
            for file, words in _matches(storage, pattern):
                if "*" in pattern:
                    words = self._shorten(storage, words)
                found.setdefault(self.name.format(**words), Entry(self, words, file))
        return {name: found[name] for name in sorted(found, key=_natural)}

    def read(self, files, dataset: str, name: str, entry: Entry) -> Sequence:
        """As Layout.read: a sequence of task "point".

        Raises:
            UserError: labels are malformed, or frames and labels do not fit together.
        """
        clip = self.clip(files.storage, name, entry)
        boxes = squares(clip.points, 5 * self.width / 512)
        return Sequence(name, dataset, boxes, clip.opener, place=clip.place, task="point")

    def _shorten(self, storage, words):
        """Of `<game>_<clip>` the longest ending that is a clip with images: either name may hold underscores."""
        whole = words["clip"]
        endings = [whole, *(whole[match.end() :] for match in re.finditer("_", whole))]
        known = (ending for ending in endings if image_names(storage, _fill(self.images, {**words, "clip": ending})))
        return {**words, "clip": next(known, endings[-1])}

    def clip(self, storage, name: str, entry: Entry) -> BallClip:
        """Read one clip of `entries`. Raises as `read`."""
        words, place = entry.fields, str(storage.place(entry.file))
        labels = self.parse(storage.read(entry.file), place)
        images = image_names(storage, _fill(self.images, words))
        if images:
            names, rows = _pair(images, labels.numbers, place)
            opener: Callable = _Images(storage, tuple(names))
        else:
            video = self._video(storage, words)
            if video is None:
                looked = self.images.format(**words) + (f" or {self.video.format(**words)}.mp4" if self.video else "")
                raise UserError(f"no frames to these labels; looked for {looked}", place)
            rows = labels.numbers - (0 if labels.numbers[0] == 0 else 1)
            names = range(rows[-1] + 1)
            opener = _Video(storage, video, len(names))
        points = np.full((len(names), 2), np.nan)
        visibility = np.full(len(names), UNLABELLED)
        points[rows], visibility[rows] = labels.points, labels.visibility
        return BallClip(name, self.match.format(**words), points, visibility, opener, place)

    def _video(self, storage, words):
        patterns = [_fill(self.video, words) + extension for extension in VIDEO_EXTENSIONS] if self.video else []
        return next((file for pattern in patterns for file in storage.glob(pattern)), None)


@dataclass(frozen=True)
class _Images:
    storage: object
    names: tuple

    def __call__(self):
        return ImageFrames(self.storage, self.names)


@dataclass(frozen=True)
class _Video:
    """The first `count` frames of a video: labels may end before it does."""

    storage: object
    file: str
    count: int

    def __call__(self):
        place = self.storage.place(self.file)
        frames = VideoFrames(place)
        if len(frames) < self.count:
            raise UserError(f"has {len(frames)} frames, and labels for {self.count}", place)
        return _First(frames, self.count)


class _First:
    """The first frames of a frame source."""

    def __init__(self, frames, count):
        self.frames, self.count, self.fps = frames, count, frames.fps

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.frames[range(self.count)[index]]


def _pair(images, numbers, place):
    """Which images make the clip, and the row of each label among them.

    By the number in the image's name, where every label has one; else by position, where there are as many images as
    labelled frames: then only the counting starts at another number.
    """
    by_number = {}
    for name in images:
        digits = re.findall(r"\d+", name.rpartition("/")[2].rpartition(".")[0])
        if digits:
            by_number.setdefault(int(digits[-1]), name)
    if len(by_number) == len(images) and all(int(number) in by_number for number in numbers):
        wanted = [number for number in sorted(by_number) if numbers[0] <= number <= numbers[-1]]
        row = {number: k for k, number in enumerate(wanted)}
        return [by_number[number] for number in wanted], np.array([row[int(number)] for number in numbers])
    rows = numbers - numbers[0]
    if rows[-1] + 1 != len(images):
        found = f"found {len(images)} images, such as {images[0]}"
        raise UserError(f"labels of frames {numbers[0]} to {numbers[-1]}, {found}", place)
    return images, rows


def _columns(head, place):
    names = [re.sub(r"[^a-z]", "", name.lower()) for name in head]
    columns = {}
    for what, spellings in _COLUMNS.items():
        columns[what] = next((number for number, name in enumerate(names) if name in spellings), None)
        if columns[what] is None:
            expected = "a head such as Frame,Visibility,X,Y"
            raise UserError(f"expected {expected}; found {','.join(head)[:60]!r}, without {what}", place, 1)
    return columns


def _frame_number(text, place, line):
    match = re.fullmatch(r"(\d{1,7})(?:\.0*)?", text) or re.fullmatch(r"(?:.*\D)?(\d{1,7})(?:\.[A-Za-z]\w*)?", text)
    if not match:
        raise UserError(f"expected a frame's number or file, found {text[:40]!r}", place, line)
    return int(match[1])


def _labels(rows, place):
    if not rows:
        raise UserError("has no labels", place)
    numbers = sorted(rows)
    points = np.array([rows[number][0] for number in numbers])
    return Labels(np.array(numbers), points, np.array([rows[number][1] for number in numbers]))


def _text(data, place):
    try:
        return data.decode("utf-8-sig").rstrip()
    except UnicodeDecodeError:
        raise UserError("is not a text file", place) from None


def _spelt(shape):
    return ElementTree.tostring(shape, encoding="unicode").strip()[:80]


def _matches(storage, pattern):
    """(file, {word: its value}) of the files that match a pattern."""
    regex = "".join(
        f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else "[^/]*?" if part == "*" else re.escape(part)
        for part in re.split(r"({\w+}|\*)", pattern)
    )
    for file in storage.glob(re.sub(r"{\w+}", "*", pattern)):
        match = re.fullmatch(regex, file)
        if match:
            yield file, match.groupdict()


def _fill(pattern, words):
    return pattern.format(**{word: re.sub(r"([*?\[])", r"[\1]", value) for word, value in words.items()})


def _natural(name):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _shuttlecock(width):
    return tuple(
        BallLayout(
            labels=tuple(f"{folder}/{csv}/{{clip}}_ball.csv" for csv in ("corrected_csv", "csv")),
            images=f"{folder}/frame/{{clip}}/*",
            video=f"{folder}/video/{{clip}}",
            parse=parse_table,
            width=width,
            match=folder,
            name=f"{folder.replace('/', '_')}_{{clip}}",
        )
        for folder in ("{match}", "{part}/{match}")
    )


def _label_csv(visible, width):
    return BallLayout(
        labels=("{match}/{clip}/Label.csv", "{match}/{clip}/label.csv"),
        images="{match}/{clip}/*",
        parse=_Table(visible),
        width=width,
    )


@dataclass(frozen=True)
class _Table:
    """parse_table with its codes; unlike a lambda it can be sent to another process."""

    visible: tuple

    def __call__(self, data, place):
        return parse_table(data, place, self.visible)


@dataclass(frozen=True)
class _Cvat:
    in_play: bool

    def __call__(self, data, place):
        return parse_cvat(data, place, self.in_play)


LAYOUTS = {
    "badminton100k": _shuttlecock(1920),
    "shuttlecock": _shuttlecock(1280),
    # 0 none, 1 clear, 2 hard to see, 3 occluded; WASB takes 1 and 2 for seen, the port of TrackNet V1 also 3.
    "tennis": (_label_csv((1, 2), 1280),),
    "tennis_v1": (_label_csv((1, 2, 3), 1280),),
    "table_tennis": (_label_csv((1, 2), 1920), *_shuttlecock(1920)),
    "volleyball": (
        BallLayout(("volleyball_ball_annotation/{match}/{clip}.txt",), "videos/{match}/{clip}/*", parse_lines, 1280),
    ),
    "soccer": (
        BallLayout(("annos/{clip}.xml",), "frames/{clip}/*", _Cvat(True), 1920, "videos/{clip}", "{clip}", "{clip}"),
    ),
    "basketball": (BallLayout(("ball-annos/{match}/*_{clip}.xml",), "videos/{match}/{clip}/*", _Cvat(False), 1280),),
}
