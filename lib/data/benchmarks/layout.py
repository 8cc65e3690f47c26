"""How a dataset with a text file of annotations for each video lies on disk, as patterns, and what is found by them.

In a pattern `{seq}` stands for the name of a sequence's folder or file, any other word in braces for one more name that
differs from sequence to sequence, and `*` for anything within one folder level.
"""

import glob
import re
from dataclasses import dataclass, field

import numpy as np

from lib.data.benchmarks.facts import Facts
from lib.data.benchmarks.points import Points, parse_points
from lib.data.frames import VIDEO_EXTENSIONS, ImageFrames, VideoFrames, image_names
from lib.data.sequence import Sequence
from lib.data.textfile import parse_boxes, parse_numbers
from lib.errors import FrameError, UserError


@dataclass(frozen=True)
class Layout:
    """Patterns of one way to lay out a dataset.

    boxes: ground truth, one row a frame, `x y w h` or four corners, NaN or zero size where absent. points: says how to
        read a table of points in its place.
    frames: alternatives for the frames' images; the first that has any is taken. `{folder}` is that of `facts`.
    video: one video a sequence, without its extension; where there are `frames` too, in the place of those missing.
    name: what a sequence is called, of the words in braces.
    absent: files of flags, 1 = absent; any that exist are combined. cover: file of numbers, 0 = hidden (GOT-10k).
    attributes: alternatives for a file of words; or, where there are `flags`, of a 0 or 1 for each of those words.
    tags, tag_files: words, and alternatives for a file `{tag}` of flags by frame, which may end early (VOT).
    category: the target's class, of the words in braces, up to a number. about: GOT-10k's meta_info.ini, which says it.
    origin: what the files call the first pixel's edge, px: 1 for boxes that count pixels as MATLAB does.
    span: file of the first and the last frame's number. facts: {name: Facts} of sequences that need them.
    windows: file that pack_crops writes, see Sequence.
    """

    boxes: str
    frames: tuple = ()
    video: str = ""
    name: str = "{seq}"
    points: Points | None = None
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

    def __str__(self):
        frames = self.frames[0] if self.frames else f"{self.video}.mp4"
        return re.sub(r"{(\w+)}", r"<\1>", f"{self.boxes} with {frames}".replace("{folder}", "{seq}"))

    def entries(self, storage):
        """{name: Entry} of the sequences of a storage (lib/data/storage.py) that lie so. Only names are looked at."""
        found = {}
        for file, fields in _matches(storage, self.boxes):
            name = self.name.format(**fields)
            first = found.setdefault(name, Entry(self, fields, file))
            if first.fields != fields and not first.twin:
                found[name] = Entry(self, first.fields, first.file, file)
        if self.frames or not self.video:
            return found
        videos = {}
        for extension in VIDEO_EXTENSIONS:
            for file, fields in _matches(storage, self.video + extension):
                name = self.name.format(**fields)
                videos[name] = found.get(name, Entry(self, fields, None, file))
        return videos


@dataclass(frozen=True)
class Together:
    """Layouts that a dataset mixes: their sequences are one set."""

    layouts: tuple

    def __str__(self):
        return ", ".join(map(str, self.layouts))

    def entries(self, storage):
        """As Layout.entries, one layout after the other."""
        return {name: entry for layout in self.layouts for name, entry in layout.entries(storage).items()}


@dataclass(frozen=True)
class Entry:
    """A sequence that has been seen and not yet read. twin: a second file that claims the same name; without a `file`
    (the ground truth), the video that lacks one.
    """

    layout: Layout
    fields: dict
    file: str | None
    twin: str = ""


def read(storage, dataset, entries):
    """Read the ground truth of {name: Entry}: yields (name, Sequence, or the UserError that says what is wrong)."""
    beside = _Beside(storage)
    for name, entry in entries.items():
        try:
            yield name, _sequence(storage, beside, dataset, name, entry)
        except UserError as error:
            yield name, error


def loaded(pairs):
    """The sequences of pairs as `read` yields them. Raises the first UserError among them."""
    sequences = []
    for _, sequence in pairs:
        if isinstance(sequence, UserError):
            raise sequence
        sequences.append(sequence)
    return sequences


def _sequence(storage, beside, dataset, name, entry):
    layout = entry.layout
    if entry.file is None:
        raise UserError(
            f"no ground truth beside it: expected {layout.boxes.format(**entry.fields)}", storage.place(entry.twin)
        )
    place = storage.place(entry.file)
    if entry.twin:
        raise UserError(f"two sequences are called {name!r}; the other is {storage.place(entry.twin)}", place)
    facts = layout.facts.get(name, Facts())
    fields = {**entry.fields, "folder": facts.folder or entry.fields["seq"]}
    opener = _Open(storage, name, fields, layout.frames, layout.video, _span(storage, beside, layout, fields, facts))
    data = storage.read(entry.file)
    boxes = parse_points(data, place, layout.points) if layout.points else parse_boxes(data, place, columns=(4, 8))
    boxes = boxes[facts.skipped :]
    if len(boxes) == 1:  # only the first frame is labelled, as in test sets scored by a server
        boxes = np.concatenate([boxes, np.full((max(len(opener()), 1) - 1, 4), np.nan)])
    boxes[:, :2] -= layout.origin
    return Sequence(
        name,
        dataset,
        boxes,
        opener,
        ~_absent(storage, beside, layout, fields, len(boxes)),
        facts.attributes or _attributes(storage, beside, layout, fields),
        str(place),
        _windows(storage, beside, layout, fields, len(boxes)),
        _tags(storage, beside, layout, fields, len(boxes)),
        _category(storage, beside, layout, fields),
        "point" if layout.points else "box",
        layout.origin,
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
        for extension in VIDEO_EXTENSIONS if self.video else ():
            for file in self.storage.glob(_fill(self.video + extension, self.fields)):
                return VideoFrames(self.storage.place(file))
        tried = [f"images as {pattern.format(**self.fields)}" for pattern in self.frames]
        tried += [f"a video as {self.video.format(**self.fields)}.mp4"] if self.video else []
        part = ", numbered {} to {}".format(*self.span) if self.span else ""
        raise FrameError(f"{self.name}: no frames{part}; looked for {', '.join(tried)}", self.storage.path)


class _Beside:
    """Looks for the files that belong to a sequence, with one listing of a folder that all sequences share."""

    def __init__(self, storage):
        self.storage, self.listings = storage, {}

    def files(self, pattern, fields):
        if not pattern:
            return []
        folder, _, file = pattern.rpartition("/")
        if not folder or "{" in folder or "*" in pattern:
            return self.storage.glob(_fill(pattern, fields))
        if folder not in self.listings:
            self.listings[folder] = set(self.storage.glob(f"{folder}/*"))
        name = f"{folder}/{file.format(**fields)}"
        return [name] if name in self.listings[folder] else []


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


def _span(storage, beside, layout, fields, facts):
    """(first, last) number of the frames that belong to a sequence, or None for all that are there."""
    for file in beside.files(layout.span, fields):
        span = parse_numbers(storage.read(file), storage.place(file))
        if len(span) != 2 or span[0] > span[1]:
            raise UserError(f"expected the first and the last frame's number, found {len(span)} numbers: {span}",
                            storage.place(file))  # fmt: skip
        return tuple(map(int, span))
    return (facts.first, facts.last) if facts.last else None


def _absent(storage, beside, layout, fields, count):
    absent = np.zeros(count, bool)
    for pattern in (*layout.absent, layout.cover):
        for file in beside.files(pattern, fields):
            flags = parse_numbers(storage.read(file), storage.place(file))
            if len(flags) != count:
                raise UserError(f"{len(flags)} flags for {count} frames", storage.place(file))
            absent |= flags <= 0 if pattern == layout.cover else flags > 0
    return absent


def _attributes(storage, beside, layout, fields):
    file = next((file for pattern in layout.attributes for file in beside.files(pattern, fields)), None)
    if file is None:
        return ()
    if not layout.flags:
        return tuple(re.findall(r"[A-Za-z][\w-]*", storage.read(file).decode(errors="replace")))
    values = parse_numbers(storage.read(file), storage.place(file))
    if len(values) != len(layout.flags) or not np.isin(values, (0, 1)).all():
        found = len(values) if len(values) != len(layout.flags) else "other numbers"
        raise UserError(f"expected {len(layout.flags)} flags of 0 or 1 ({' '.join(layout.flags)}), found {found}",
                        storage.place(file))  # fmt: skip
    return tuple(word for word, value in zip(layout.flags, values, strict=True) if value)


def _tags(storage, beside, layout, fields, count):
    tags = {}
    for tag in layout.tags:
        file = next((f for p in layout.tag_files for f in beside.files(p, {**fields, "tag": tag})), None)
        if file is None:
            continue
        flags = parse_numbers(storage.read(file), storage.place(file)) > 0
        if len(flags) > count:
            raise UserError(f"{len(flags)} flags for {count} frames", storage.place(file))
        tags[tag] = np.pad(flags, (0, count - len(flags)))
    return tags


def _category(storage, beside, layout, fields):
    for file in beside.files(layout.about, fields):
        match = re.search(r"^\s*object_class\s*[:=]\s*(.*?)\s*$", storage.read(file).decode(errors="replace"), re.M)
        return match[1] if match else ""
    return re.match(r"\D*", layout.category.format(**fields))[0].rstrip("-_ ")


def _windows(storage, beside, layout, fields, count):
    for file in beside.files(layout.windows, fields):
        rows = parse_boxes(storage.read(file), storage.place(file), allow_nan=False)
        if len(rows) != count:
            raise UserError(f"{len(rows)} windows for {count} frames", storage.place(file))
        return rows
    return None
