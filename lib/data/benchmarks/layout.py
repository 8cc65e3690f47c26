"""How a dataset with a text file of annotations for each video lies on disk, as patterns, and what is found by them.

In a pattern `{seq}` stands for the name of a sequence's folder or file, any other word in braces for one more name that
differs from sequence to sequence, and `*` for anything within one folder level.
"""

import dataclasses
import functools
import glob
import re
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...errors import FrameError, UserError
from ..frames import ImageFrames, VideoFrames, image_names, is_video
from ..sequence import Sequence
from ..textfile import parse_boxes, parse_numbers
from .facts import Facts


@dataclass(frozen=True)
class Layout:
    """Patterns of one way to lay out a dataset.

    boxes: ground truth, one row a frame, `x y w h` or four corners, NaN or zero size where absent.
    frames: alternatives for the frames' images; the first that has any is taken. `{folder}` is that of `facts`.
    video: one video a sequence, without its extension; where there are `frames` too, in the place of those missing.
    name: what a sequence is called, of the words in braces.
    absent: files of flags, 1 = absent; any that exist are combined. cover: file of numbers, 0 = hidden (GOT-10k).
    attributes: alternatives for a file of words; or, where there are `flags`, of a 0 or 1 for each of those words.
    tags, tag_files: words, and alternatives for a file `{tag}` of flags by frame, which may end early (VOT).
    category: the target's class, of the words in braces, up to a number. about: GOT-10k's meta_info.ini, which says it.
    origin: what the files call the first pixel's edge, px: 1 for boxes that count pixels as MATLAB does.
    span: file of the first and the last frame's number. facts: {name: Facts} of sequences that need them.
    windows, candidates: files that pack_crops and pack_candidates write, see Sequence.
    """

    boxes: str
    frames: tuple = ()
    video: str = ""
    name: str = "{seq}"
    absent: tuple = ()
    cover: str = ""
    attributes: tuple = ()
    flags: tuple = ()
    tags: tuple = ()
    tag_files: tuple = ()
    category: str = ""
    about: str = ""
    origin: float = 0.0
    span: str = ""
    facts: dict = field(default_factory=dict)
    windows: str = ""
    candidates: str = ""

    by_text = True  # its sequences are seen by the names of files and read one by one, see ReadAtOnce

    def __str__(self):
        frames = self.frames[0] if self.frames else f"{self.video}.mp4"
        return spelt(f"{self.boxes} with {frames}")

    def entries(self, storage):
        """{name: Entry} of the sequences of a storage (lib/data/storage.py) that lie so. Only names are looked at."""
        found = {}
        for file, fields in _matches(storage, self.boxes):
            name = self.name.format(**fields)
            first = found.setdefault(name, Entry(self, fields, file))
            if first.fields != fields and not first.twin:
                found[name] = dataclasses.replace(first, twin=file)
        if self.frames or not self.video:
            return found
        videos = {}
        for file, fields in _matches(storage, self.video + ".*"):
            if is_video(file):
                name = self.name.format(**fields)
                known = videos.get(name)
                videos[name] = (
                    dataclasses.replace(known, twin=file)
                    if known
                    else dataclasses.replace(found.get(name, Entry(self, fields, None)), video=file)
                )
        return videos

    def read(self, files, dataset, name, entry):
        """The Sequence of an Entry. files: of the storage. Raises UserError that says what is wrong."""
        return _sequence(files, dataset, name, entry)

    def files(self):
        """{pattern: remark} of the files that a drawing of the layout shows."""
        frames = [f"{pattern}.jpg" for pattern in self.frames[:1]]
        video = [f"{self.video}.mp4"] if self.video else []
        tags = [file.replace("{tag}", tag) for file in self.tag_files[:1] for tag in self.tags]
        optional = [*self.absent, self.cover, self.about, *self.attributes[:1], *tags]
        files = dict.fromkeys([self.boxes, *(frames or video), *filter(None, [self.span])], "")
        files.update(dict.fromkeys(video if frames else [], "in place of the images"))
        files.update(dict.fromkeys(filter(None, optional), "where there is one"))
        return {spelt(file): remark for file, remark in files.items()}


@dataclass(frozen=True)
class Together:
    """Layouts that a dataset mixes: their sequences are one set."""

    layouts: tuple

    by_text = True  # its sequences are seen by the names of files and read one by one, see ReadAtOnce

    def __str__(self):
        return ", ".join(map(str, self.layouts))

    def entries(self, storage):
        """As Layout.entries, one layout after the other."""
        return {name: entry for layout in self.layouts for name, entry in layout.entries(storage).items()}

    def files(self):
        """As Layout.files, one layout after the other."""
        return {file: remark for layout in self.layouts for file, remark in layout.files().items()}


@dataclass(frozen=True)
class Entry:
    """A sequence that has been seen and not yet read.

    layout: a Layout or a BallLayout.
    file: its ground truth, None where a `video` lacks one. twin: a second file that claims the same name.
    """

    layout: Any
    fields: dict
    file: str | None
    twin: str = ""
    video: str = ""


def reader(storage, dataset):
    """A function (name, Entry) -> Sequence that reads ground truth, or raises UserError that says what is wrong."""
    return functools.partial(_read, _Files(storage), dataset)


def _read(files, dataset, name, entry):
    return entry.layout.read(files, dataset, name, entry)


def _sequence(files, dataset, name, entry):
    layout, storage = entry.layout, files.storage
    if entry.file is None:
        raise UserError(
            f"no ground truth beside it: expected {layout.boxes.format(**entry.fields)}", storage.place(entry.video)
        )
    place = storage.place(entry.file)
    if entry.twin:
        raise UserError(f"two sequences are called {name!r}; the other is {storage.place(entry.twin)}", place)
    facts = layout.facts.get(name, Facts())
    fields = {**entry.fields, "folder": facts.folder or entry.fields["seq"]}
    opener = _Open(storage, name, fields, layout.frames, layout.video, _span(files, layout, fields, facts))
    boxes = parse_boxes(storage.read(entry.file), place, columns=(4, 8))[facts.skipped :]
    if len(boxes) == 1:  # only the first frame is labelled, as in test sets scored by a server
        boxes = np.concatenate([boxes, np.full((max(len(opener()), 1) - 1, 4), np.nan)])
    boxes[:, :2] -= layout.origin
    return Sequence(
        name,
        dataset,
        boxes,
        opener,
        ~_absent(files, layout, fields, len(boxes)),
        facts.attributes or _attributes(files, layout, fields),
        str(place),
        _windows(files, layout, fields, len(boxes)),
        _candidates(files, layout, fields, len(boxes)),
        _tags(files, layout, fields, len(boxes)),
        _category(files, layout, fields),
        origin=layout.origin,
    )


ABSENT = ("{seq}/absent.txt", "{seq}/absence.label", "{seq}/full_occlusion.txt", "{seq}/out_of_view.txt")

# What a user's own folder may look like; the first layout that matches anything is taken.
FOLDER_LAYOUTS = (
    Layout(
        boxes="{seq}/groundtruth*.txt",
        frames=("{seq}/img/*", "{seq}/imgs/*", "{seq}/color/*", "{seq}/frames/*", "{seq}/*"),
        absent=ABSENT,
        attributes=("{seq}/attributes.txt",),
        windows="{seq}/windows.txt",
        candidates="{seq}/candidates.txt",
    ),
    Layout(boxes="{seq}.txt", video="{seq}"),
    Layout(
        boxes="anno*/{seq}.txt",
        frames=("data_seq/{seq}/*", "sequences/{seq}/*", "frames/{seq}/*", "{seq}/img/*", "{seq}/*"),
    ),
    Layout(boxes="{seq}/{seq}.txt", frames=("{seq}/img/*", "{seq}/imgs/*", "{seq}/*"), absent=ABSENT),
)


@dataclass(frozen=True)
class _Open:
    storage: object
    name: str
    fields: dict
    frames: tuple
    video: str
    span: tuple | None

    def __call__(self):
        for pattern in self.frames:
            names = image_names(self.storage, _fill(pattern, self.fields))
            if self.span:
                first, last = self.span
                names = [name for name in names if first <= _number(name) <= last]
            if names:
                return ImageFrames(self.storage, names)
        for file in self.storage.glob(_fill(f"{self.video}.*", self.fields)) if self.video else ():
            if is_video(file):
                return VideoFrames(self.storage.place(file))
        tried = [f"images as {pattern.format(**self.fields)}" for pattern in self.frames]
        tried += [f"a video as {self.video.format(**self.fields)}.mp4"] if self.video else []
        part = ", numbered {} to {}".format(*self.span) if self.span else ""
        raise FrameError(f"{self.name}: no frames{part}; looked for {', '.join(tried)}", self.storage.path)


class _Files:
    """The files that belong to a sequence, found with one listing of a folder that all sequences share."""

    def __init__(self, storage):
        self.storage, self.listings = storage, {}

    def like(self, pattern, fields):
        """Names of those that a pattern finds."""
        if not pattern:
            return []
        folder, _, file = pattern.rpartition("/")
        if not folder or "{" in folder or "*" in pattern:
            return self.storage.glob(_fill(pattern, fields))
        if folder not in self.listings:
            self.listings[folder] = set(self.storage.glob(f"{folder}/*"))
        name = f"{folder}/{file.format(**fields)}"
        return [name] if name in self.listings[folder] else []

    def first(self, patterns, fields):
        """The name of the first that any of the patterns finds, or None."""
        return next((file for pattern in patterns for file in self.like(pattern, fields)), None)

    def text(self, file):
        return self.storage.read(file).decode(errors="replace")

    def numbers(self, file):
        return parse_numbers(self.storage.read(file), self.storage.place(file))

    def error(self, message, file):
        return UserError(message, self.storage.place(file))


def spelt(pattern):
    """A pattern as messages show it."""
    return re.sub(r"{(\w+)}", r"<\1>", pattern.replace("{folder}", "{seq}"))


def _fill(pattern, fields):
    return pattern.format(**{key: glob.escape(value) for key, value in fields.items()})


def _number(file):
    """The last number in a file's name without its extension, -1 where it has none."""
    digits = re.findall(r"\d+", file.rpartition("/")[2].rpartition(".")[0])
    return int(digits[-1]) if digits else -1


def _matches(storage, pattern):
    """(file, {word in braces: its value}) of all files that match a pattern, in natural order."""
    seen, parts = set(), []
    for part in re.split(r"({\w+}|\*)", pattern):
        if not part.startswith("{"):
            parts.append("[^/]*" if part == "*" else re.escape(part))
            continue
        word = part[1:-1]
        parts.append(f"(?P={word})" if word in seen else f"(?P<{word}>[^/]+)")
        seen.add(word)
    matcher = re.compile("".join(parts))
    for file in storage.glob(re.sub(r"{\w+}", "*", pattern)):
        match = matcher.fullmatch(file)
        if match:
            yield file, match.groupdict()


def _span(files, layout, fields, facts):
    """(first, last) number of the frames that belong to a sequence, or None for all that are there."""
    for file in files.like(layout.span, fields):
        span = files.numbers(file)
        if len(span) != 2 or span[0] > span[1]:
            found = f"{len(span)} numbers: {span}"
            raise files.error(f"expected the first and the last frame's number, found {found}", file)
        return tuple(map(int, span))
    return (facts.first, facts.last) if facts.last else None


def _absent(files, layout, fields, count):
    absent = np.zeros(count, bool)
    for pattern in (*layout.absent, layout.cover):
        for file in files.like(pattern, fields):
            flags = files.numbers(file)
            if len(flags) != count:
                raise files.error(f"{len(flags)} flags for {count} frames", file)
            absent |= flags <= 0 if pattern == layout.cover else flags > 0
    return absent


def _attributes(files, layout, fields):
    file = files.first(layout.attributes, fields)
    if file is None:
        return ()
    if not layout.flags:
        return tuple(re.findall(r"[A-Za-z][\w-]*", files.text(file)))
    values, words = files.numbers(file), layout.flags
    if len(values) != len(words) or not np.isin(values, (0, 1)).all():
        found = len(values) if len(values) != len(words) else "other numbers"
        raise files.error(f"expected {len(words)} flags of 0 or 1 ({' '.join(words)}), found {found}", file)
    return tuple(word for word, value in zip(words, values, strict=True) if value)


def _tags(files, layout, fields, count):
    tags = {}
    for tag in layout.tags:
        file = files.first(layout.tag_files, {**fields, "tag": tag})
        if file is None:
            continue
        flags = files.numbers(file) > 0
        if len(flags) > count:
            raise files.error(f"{len(flags)} flags for {count} frames", file)
        tags[tag] = np.pad(flags, (0, count - len(flags)))
    return tags


def _category(files, layout, fields):
    for file in files.like(layout.about, fields):
        match = re.search(r"^\s*object_class\s*[:=]\s*(.*?)\s*$", files.text(file), re.M)
        return match[1] if match else ""
    return re.match(r"\D*", layout.category.format(**fields))[0].rstrip("-_ ")


def _windows(files, layout, fields, count):
    for file in files.like(layout.windows, fields):
        rows = parse_boxes(files.storage.read(file), files.storage.place(file), allow_nan=False)
        if len(rows) != count:
            raise files.error(f"{len(rows)} windows for {count} frames", file)
        return rows
    return None


def _candidates(files, layout, fields, count):
    for file in files.like(layout.candidates, fields):
        rows = parse_boxes(files.storage.read(file), files.storage.place(file), columns=6, allow_nan=False)
        if not ((rows[:, 0] >= 0) & (rows[:, 0] < count)).all():
            raise files.error(f"a candidate of a crop that is none of the {count}", file)
        if (np.diff(rows[:, 0]) < 0).any():
            raise files.error("expected candidates in the order of their crops", file)
        return rows
    return None
