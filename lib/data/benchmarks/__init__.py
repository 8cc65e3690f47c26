"""From the name of a benchmark, or any folder, to its sequences."""

import dataclasses
import fnmatch
import functools
import logging
import os
from pathlib import Path

from ...cli import invocation
from ...config.paths import paths
from ...errors import UserError, nearest
from .. import starts, video_night
from ..render import RenderedClip, demo_clips
from ..render.rally import rendered_rallies
from ..render.training import crossing_clips, day_clips, night_clips, training_clips
from ..sequence import Sequence
from ..storage import open_storage
from .annotated import Photographs
from .entries import ALIASES, BENCHMARKS, OWN_FOLDER
from .layout import reader
from .video_list import VideoList, is_list

log = logging.getLogger(__name__)

STARTS = "starts"
DEMO, DAY = "lunar_demo", "lunar_day"
RENDERED = {
    DEMO: demo_clips,
    "lunar_rendered": training_clips,
    DAY: day_clips,
    "lunar_night": night_clips,
    "lunar_crossing": crossing_clips,
    "lunar_crossing_train": functools.partial(crossing_clips, 400, seed=5),
}
# Rallies of balls. Those to train from are as small as networks take them.
RALLIES = {
    "ball_rendered": functools.partial(rendered_rallies, 16, frames=48),
    "ball_rendered_train": functools.partial(rendered_rallies, 400, seed=1, size=(640, 360), frames=24),
}


def names():
    """Every name that `load` knows."""
    return [*RENDERED, *RALLIES, *BENCHMARKS]


def canonical(name_or_folder):
    """Our name of a benchmark, also where it is written as OSTrack's configurations write it; anything else as it is.

    In any case, but for LASOT and TRACKINGNET: in capitals they are the training sets, else the test sets.
    """
    name = str(name_or_folder)
    known = ALIASES.get(name) or ALIASES.get(name.lower(), name.lower())
    return known if known in names() else name


def load(name_or_folder, data_root=None, use_lmdb=False, cache=None, boxes_needed=True):
    """The sequences of a benchmark, or of a folder, zip, LMDB or list of the user's, in natural order of their names.

    Returns a list, or for still images something that is read like one. A folder's dataset is called by the folder's
    own name, an LMDB's without `.lmdb`. Three suffixes, in this order, choose what is seen of it. `NAME#PATTERN` takes
    the sequences whose names match, as many as are there: `lasot#bird-*` some, `lasot#*` all, where `lasot` is refused
    unless it is whole. `NAME@mild`, `@moderate` or `@heavy` shows them at night (see night.py); `NAME@video_moderate`
    and `@video_heavy` show a night as a video camera records it (see video_night.py). `NAME@starts` makes several runs
    of each, from frames spread over it (see starts.py).
    use_lmdb: read the LMDB made by tracking/make_lmdb.py, see `lmdb_path`.
    cache: folder of crops made by tracking/make_crops.py, read instead of the whole frames.
    boxes_needed: False for those who look at pictures alone; then a folder may hold nothing but photographs.
    Raises UserError that says what was looked for, what it should hold and how to get it.
    """
    whole, pattern, views = split_name(name_or_folder)
    sequences = _load(whole, pattern, data_root, use_lmdb, cache, boxes_needed)
    for view in views:
        seen = (part for each in sequences for part in _seen(each, view))
        sequences = [dataclasses.replace(each, dataset=f"{each.dataset}@{view}") for each in seen]
    return sequences


def split_name(name_or_folder):
    """(benchmark or folder, pattern or "", views) of a dataset's name with its suffixes.

    views: tuple of a night's strength, if any, and STARTS, if it is there. What exists under the whole name has no
    suffix, nor have the folders above it. Raises UserError for an unknown one.
    """
    name = str(name_or_folder)
    if os.path.exists(os.path.expanduser(name)):
        return name, "", ()
    folder, slash, last = name.rpartition("/")
    last, *views = last.split("@")
    last, _, pattern = last.partition("#")
    end = "".join(f"@{view}" for view in views)
    if "#" in end:
        end, _, pattern = end.partition("#")
        raise UserError(f"{name}: # comes before @, as in {folder}{slash}{last}#{pattern}{end}")
    nights = views[:-1] if views[-1:] == [STARTS] else views
    if nights and "@".join(nights) not in video_night.NIGHTS:
        expected = ", ".join(f"@{each}" for each in (*video_night.NIGHTS, STARTS))
        raise UserError(f"{name}: expected one of {expected} at its end, or a night and then @{STARTS}")
    return f"{folder}{slash}{last}", pattern, tuple(views)


def _seen(sequence, view):
    if view == STARTS:
        return starts.runs(sequence)
    return [dataclasses.replace(sequence, opener=_Night(sequence.opener, view, sequence.name))]


@dataclasses.dataclass(frozen=True)
class _Night:
    opener: object
    strength: str
    name: str

    def __call__(self):
        return video_night.night_frames(self.opener(), self.strength, self.name)


def _load(name_or_folder, pattern, data_root, use_lmdb, cache, boxes_needed):
    name = canonical(name_or_folder)
    if name in RENDERED and not cache:
        return _like(pattern or "*", name, _rendered(name))
    if name in RALLIES and not cache:
        return _like(pattern or "*", name, [_rally(name, one) for one in RALLIES[name](like=pattern or "*")])
    if cache or use_lmdb:
        path = crops_path(dataset_name(name), cache) if cache else lmdb_path(name, data_root)
        if not path.exists():
            command, out = ("make_crops", cache) if cache else ("make_lmdb", path)
            other = " (or mine_candidates, for a family trained on candidates)" if cache else ""
            raise UserError(f"no such LMDB; make it with: {invocation(command)} {name} {out}{other}", path)
        return _look(path, dataset_name(name), OWN_FOLDER).part(pattern).load()
    found = find(name, data_root, boxes_needed)
    if found.missing and not (pattern and found.seen):
        benchmark, count = BENCHMARKS[name], len(found.missing)
        part = f"; --dataset '{name}#*' takes those that are there" if found.seen else ""
        raise NotThereError(
            f"{count} of the {count + len(found.seen)} sequences of {name} are missing, such as {found.missing[0]}"
            f"{_or_training(benchmark)}{part}",
            found.storage.path,
        )
    return found.part(pattern).load()


def _like(pattern, dataset, sequences):
    """Those of a list of sequences, or of {name: Entry}, whose names match. Raises UserError where none does."""
    by_name = isinstance(sequences, dict)
    names = list(sequences) if by_name else [each.name for each in sequences]
    chosen = {name for name in names if fnmatch.fnmatchcase(name, pattern)}
    if not chosen:
        some = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise UserError(f"{dataset}#{pattern}: no sequence is called like that; there are {some}")
    if by_name:
        return {name: sequences[name] for name in names if name in chosen}
    return [each for each in sequences if each.name in chosen]


class NotThereError(UserError):
    """A dataset, or the sequences that it should have, is not where it was looked for."""


@dataclasses.dataclass
class Found:
    """A dataset on disk.

    seen: {name: Entry} of a layout that is `by_text`, not yet read; of any other the sequences.
    missing: names of sequences that belong to it and are not there.
    """

    storage: object
    layout: object
    dataset: str
    seen: object
    missing: tuple = ()

    def part(self, pattern):
        """Of it the sequences whose names match, as many as are there; all for "". Raises UserError where none does."""
        if not pattern:
            return self
        seen = _like(pattern, self.dataset, self.seen)
        gone = sum(fnmatch.fnmatchcase(name, pattern) for name in self.missing)
        if gone:
            log.info("%s#%s: %d there, %d that belong to it are not", self.dataset, pattern, len(seen), gone)
        return dataclasses.replace(self, seen=seen, missing=())

    def load(self):
        """Its sequences. Raises UserError."""
        if not self.layout.by_text:
            return self.seen
        read = reader(self.storage, self.dataset)
        return [read(name, entry) for name, entry in self.seen.items()]


def find(name_or_folder, data_root=None, boxes_needed=True):
    """Where the dataset of a benchmark's name or of a folder, zip, LMDB or list is and how it lies there: Found.

    Raises NotThereError that says what was looked for.
    """
    name = canonical(name_or_folder)
    if name in BENCHMARKS:
        return _benchmark(name, BENCHMARKS[name], paths(data=data_root).data)
    path = Path(os.path.expanduser(name))
    if not path.exists():
        hint = nearest(name, names())
        raise NotThereError(f"no benchmark or folder {name!r}{hint}; the benchmarks are: {', '.join(names())}")
    if is_list(path):
        path = path.resolve()
        return _look(path.parent, dataset_name(name), (VideoList(path.name),))
    layouts = any_folder() if boxes_needed else (*any_folder(), Photographs())
    return _look(path.resolve(), dataset_name(name), layouts)


def any_folder():
    """The layouts that a user's folder may have: our own, and those of annotation programs."""
    from ..exchange import FORMATS  # which builds on this package

    layouts = {name: one.layout for name, one in FORMATS.items()}
    # ours would take MOT's gt/gt.txt for a sequence called gt, and miss a text beside the videos of the others
    first = [layouts.pop(name) for name in ("mot", "cvat", "label_studio", "anti_uav")]
    return (*first, *OWN_FOLDER, *layouts.values())


def dataset_name(name_or_folder):
    """What the dataset of a benchmark's name or of a folder, zip or LMDB is called."""
    name = canonical(name_or_folder)
    if name in names():
        return name
    path = Path(os.path.expanduser(name)).resolve()
    return path.stem if path.is_file() else path.name.removesuffix(".lmdb")


def lmdb_path(name_or_folder, data_root=None):
    """Where the LMDB of a dataset is looked for: <data root>/<name>.lmdb, or <folder>.lmdb beside a folder."""
    name = canonical(name_or_folder)
    if name in names():
        return paths(data=data_root).data / f"{name}.lmdb"
    path = Path(os.path.expanduser(name)).resolve()
    return path if path.suffix == ".lmdb" else path.with_name(f"{dataset_name(name)}.lmdb")


def crops_path(dataset, cache):
    """Where the crops of a dataset of that name lie in a crop cache: <cache>/<dataset>.lmdb."""
    return Path(os.path.expanduser(cache)) / f"{dataset}.lmdb"


def load_all(text, data_root=None):
    """The datasets of a comma list of names and folders.

    Returns {dataset name: (its sequences, its folder or None for a benchmark)}. The folder is the whole, without its
    #PATTERN: results of its other sequences lie beside. Raises UserError, also where two datasets have one name.
    """
    datasets = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        sequences = load(part, data_root)
        name = sequences[0].dataset
        if name in datasets:
            raise UserError(f"two datasets are called {name!r}: their results would overwrite each other")
        whole, _, views = split_name(part)
        folder = None if canonical(whole) in names() else str(Path(os.path.expanduser(whole)).resolve())
        datasets[name] = sequences, folder and "@".join((folder, *views))
    if not datasets:
        raise UserError(f"no dataset in {text!r}; the benchmarks are: {', '.join(names())}")
    return datasets


def _benchmark(name, benchmark, root):
    for folder in (*benchmark.whole, *benchmark.folders):
        if (root / folder).exists():
            hint = f"; it should hold {benchmark.source}{_or_training(benchmark)}"
            found = _look(root / folder, name, benchmark.layouts, hint)
            return found if folder in benchmark.whole else _select(found, benchmark, root / folder, root)
    raise NotThereError(
        f"no such folder. It should hold {benchmark.source}; laid out as {benchmark.layouts[0]}. "
        f"--data_root DIR looks in DIR/{benchmark.folders[-1]} instead; --dataset {DEMO} needs no download",
        root / benchmark.folders[-1],
    )


def _or_training(benchmark):
    return f" (did you mean {benchmark.training}, the training set?)" if benchmark.training else ""


def _look(path, dataset, layouts, hint=""):
    """Found at a path in the first layout that matches anything."""
    storage = open_storage(path)
    for layout in layouts:
        seen = layout.entries(storage) if layout.by_text else layout.find(storage, dataset)
        if len(seen):
            log.info("%s: %d sequences in %s, laid out as %s", dataset, len(seen), path, layout)
            return Found(storage, layout, dataset, seen)
    raise NotThereError(f"no sequences here; looked for {'; '.join(map(str, layouts))}{hint}", path)


def _select(found, benchmark, folder, root):
    """Found, with those of its sequences that belong to the benchmark, in the order of its list."""
    if benchmark.splits:
        chosen = _split(found.seen, benchmark.splits, folder, root)
    elif benchmark.official:
        chosen = benchmark.official
    else:
        return found
    seen = {name: found.seen[name] for name in chosen if name in found.seen}
    return dataclasses.replace(found, seen=seen, missing=tuple(name for name in chosen if name not in found.seen))


def _split(entries, splits, folder, root):
    """The names that a split file lists, in its order."""
    places = [place / split for split in splits for place in (folder, folder.parent, root / "data_specs")]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise NotThereError(f"the list of its sequences is missing; looked for {', '.join(map(str, places))}", folder)
    listing = folder / "list.txt"
    order = _words(listing) if listing.is_file() else list(entries)
    chosen = []
    for line, word in enumerate(_words(file), 1):
        name = order[int(word)] if word.isdecimal() and int(word) < len(order) else word.removesuffix(".txt")
        if name not in entries:
            raise UserError(f"{word}: none of the {len(entries)} sequences in {folder}", file, line)
        chosen.append(name)
    if not chosen:
        raise UserError("is empty, expected a sequence on each line", file)
    return chosen


def _words(path):
    try:
        return path.read_text().split()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot be read as a list of names: {error}", path) from error


def _rendered(name):
    sequences = []
    for clip in RENDERED[name]():
        opener = functools.partial(RenderedClip, clip.spec, clip.seed)
        sequences.append(Sequence(clip.name, name, clip.boxes_xywh, opener, clip.visible, clip.attributes, name))
    return sequences


def _rally(dataset, rally):
    return Sequence(rally.name, dataset, rally.boxes_xywh, _Same(rally), place=dataset, task="point")


@dataclasses.dataclass(frozen=True)
class _Same:
    """An opener of what is a frame source already."""

    frames: object

    def __call__(self):
        return self.frames
