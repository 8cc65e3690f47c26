"""Published raw results of other projects, read where they lie, so that they stand beside ours in one table."""

import functools
import glob
import os
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ...errors import UserError

MAX_DEPTH = 4  # levels below a tracker's folder at which other projects put results, and no more is looked through
PREFIXES = ("uav_", "nfs_", "tpl_")  # what PyTracking's family puts before names of UAV123, NfS and TC128

# Names of one dataset in different projects, in lower case and without punctuation or a final "test".
SPELLINGS = (
    {"got10k", "got10kval"},
    {"lasotext", "lasotextension", "lasotextensionsubset"},
    {"nfs", "nfs30"},
    {"ntvot211", "nvvot211"},
    {"otb", "otb100", "otb2015", "tb100"},
    {"tc128", "tcolor128", "tpl"},
    {"uav", "uav123"},
)


@dataclass(frozen=True)
class Imported:
    """Raw results of another project, for all that reads a Run's; nothing is written there or unpacked.

    folder: of one tracker with one configuration (pathlib.Path): a folder, a zip, or a folder in a zip, written
        <zip>/<folder>. tracker, config: what to call it.
    Below it `find` knows the layouts of STARK, OSTrack, PyTracking and pysot (<seq>.txt), ODTrack and SUTrack
    (<dataset>/<seq>.txt), AQATrack (<dataset>/<name>/<seq>.txt and <dataset>/<name>/<seq>/<seq>_001.txt) and of
    GOT-10k's toolkit (<seq>/<seq>_001.txt, the first of its repetitions), in any case of the dataset's name.
    """

    folder: Path
    tracker: str
    config: str = ""

    def __post_init__(self):
        object.__setattr__(self, "folder", Path(self.folder))

    def __str__(self):
        return f"{self.tracker} {self.config}".strip()

    @functools.cached_property
    def _listing(self):  # once in a command, not once a sequence
        return _Listing(self.folder)

    def find(self, dataset, sequence):
        """Where the boxes of a sequence are, a Path or Member, or None where they are in none of the layouts.

        Two files that could both be the sequence's and differ are a UserError naming them, and so is a link that leads
        out of the folder.
        """
        return self._listing.find(dataset, sequence)


@dataclass(frozen=True)
class Member:
    """A file in a zip, for those who read a pathlib.Path. storage: see lib/data/storage.py."""

    storage: object = field(repr=False)
    path: PurePosixPath

    name = property(lambda self: self.path.name)
    stem = property(lambda self: self.path.stem)
    parent = property(lambda self: Member(self.storage, self.path.parent))

    def __truediv__(self, name):
        return Member(self.storage, self.path / name)

    def __str__(self):
        return str(self.storage.place(str(self.path)))

    def is_file(self):
        return str(self.path) in self.storage.glob(glob.escape(str(self.path)))

    def read_bytes(self):
        return self.storage.read(str(self.path))


def imported_runs(folder, dataset, names):
    """The trackers below a folder or zip that have results of a dataset: {label: Imported}.

    names: of the dataset's sequences; a tracker is whatever has results of one of them. The folder may be a tracker
    itself, or hold a folder or zip for each, also below a folder of the dataset's name; a label is what the folders on
    the way are called, without that.
    Raises UserError where there are none, naming the places tried, or where two have one label.
    """
    folder = Path(os.path.expanduser(folder))
    files = {f"{each}{end}.txt" for name in names for each in (name, *_other_names(name)) for end in ("", "_001")}
    found = {}
    for run in _trackers(folder, dataset, names, files):
        if str(run) in found:
            raise UserError(f"two trackers are called {str(run)!r}: {found[str(run)].folder} and {run.folder}")
        found[str(run)] = run
    if not found:
        tried = ", ".join(_Listing(folder).places(dataset, names[0])) if names else "nothing: it has no sequences"
        raise UserError(f"no results of {dataset} here or in its folders; looked for {tried}", folder)
    return found


class _Listing:
    """The text files of one tracker's folder, zip, or folder in a zip, by name."""

    def __init__(self, folder):
        self.folder = folder
        self.storage, self.prefix = _open(folder)  # no storage for a folder on disk
        self.names = set(_texts_in(folder) if self.storage is None else _members(self.storage, self.prefix))
        self.folders = {tuple(name.split("/")[:-1]) for name in self.names}
        self._bases = {}

    def find(self, dataset, sequence, deep=True):
        # exact names first: `uav_bike` is another sequence than `bike` where a dataset has both
        for called in ([sequence], _other_names(sequence)):
            there = [name for each in called for name in self._places(dataset, each, deep) if name in self.names]
            if there:
                return self._only(sequence, there)
        return None

    def places(self, dataset, sequence):
        """Every name that `find` tries."""
        return [name for each in (sequence, *_other_names(sequence)) for name in self._places(dataset, each, True)]

    def _places(self, dataset, sequence, deep):
        forms = (f"{sequence}.txt", f"{sequence}/{sequence}_001.txt", f"{sequence}/{sequence}.txt")
        return list(dict.fromkeys(base + form for base in self._folders_of(dataset, deep) for form in forms))

    def _folders_of(self, dataset, deep):
        """Where results of a dataset may lie: "" for the tracker's folder, the dataset's, and if deep those in it."""
        if (dataset, deep) not in self._bases:
            named = [parts for parts in self.folders if parts and _is_called(parts[0], dataset)]
            bases = {()} | {parts[:1] for parts in named} | {parts[:2] for parts in named if deep}
            self._bases[dataset, deep] = ["".join(f"{part}/" for part in base) for base in sorted(bases)]
        return self._bases[dataset, deep]

    def _only(self, sequence, names):
        files = [self._file(name) for name in names]
        other = next((file for file in files[1:] if file.read_bytes() != files[0].read_bytes()), None)
        if other is not None:
            raise UserError(
                f"{sequence}: two different results, {files[0]} and {other}; name the folder of one of them"
            )
        return files[0]

    def _file(self, name):
        if self.storage is not None:
            return Member(self.storage, PurePosixPath(self.prefix + name))
        path = self.folder / name
        if not path.resolve().is_relative_to(self.folder.resolve()):
            raise UserError("leads out of the results folder through a link", path)
        return path


def _open(folder):
    """(None, "") for a folder on disk, else the archive that `folder` is or is in, and how names in it begin."""
    try:
        archive = next((path for path in (folder, *folder.parents) if path.is_file()), None)
        if archive is None and folder.is_dir():
            return None, ""
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", folder) from None
    except ValueError as error:
        raise UserError(f"cannot be read: {error}", folder) from None
    from ...data.storage import open_storage  # and with it OpenCV, which scoring does without

    storage = open_storage(archive or folder)
    return storage, "" if archive == folder else f"{folder.relative_to(archive).as_posix()}/"


def _members(storage, prefix):
    """Names, without `prefix`, of the text files in an archive, to a depth of MAX_DEPTH."""
    patterns = [glob.escape(prefix) + "*/" * depth + "*.txt" for depth in range(MAX_DEPTH)]
    return [name[len(prefix) :] for pattern in patterns for name in storage.glob(pattern)]


def _texts_in(top):
    """As _members, in a folder on disk; links are not followed."""
    names = []
    for folder, below, files in os.walk(top):
        inside = Path(folder).relative_to(top)
        below[:] = [name for name in below if not name.startswith(".") and len(inside.parts) < MAX_DEPTH - 1]
        names += [(inside / name).as_posix() for name in files if name.endswith(".txt")]
    return names


def _trackers(folder, dataset, names, files, parts=(), depth=0):
    """Yield the Imported at and below a folder. files: any tracker has one called so. parts: what to call it."""
    listing = _Listing(folder)
    plausible = not files.isdisjoint(name.rpartition("/")[2] for name in listing.names)
    if plausible and any(listing.find(dataset, name, deep=False) for name in names):
        parts = parts or (folder.stem if folder.is_file() else folder.name,)
        yield Imported(folder, parts[0], " ".join(parts[1:]))
    elif depth < MAX_DEPTH:
        for below in _below(listing):
            called = below.stem if below.is_file() else below.name
            same = _is_called(called, dataset) or called in parts[-1:]
            yield from _trackers(below, dataset, names, files, parts if same else (*parts, called), depth + 1)


def _below(listing):
    """The folders and zips in a folder, or the folders in a zip, sorted."""
    if listing.storage is None:
        return sorted(
            [
                *(path for path in listing.folder.iterdir() if path.is_dir() and not path.name.startswith(".")),
                *listing.folder.glob("*.zip"),
            ]
        )
    return [listing.folder / name for name in sorted({parts[0] for parts in listing.folders if parts})]


def _other_names(sequence):
    """What other projects call a sequence."""
    names = [prefix + sequence for prefix in PREFIXES]
    names += [sequence.removeprefix(prefix) for prefix in PREFIXES if sequence.startswith(prefix)]
    target = re.fullmatch(r"(Jogging|Skating2|Human4)_(\d)", sequence)
    if target:  # OTB's two in one video: pysot writes Jogging-1, GOT-10k's toolkit Jogging.1
        names += ["-".join(target.groups()), ".".join(target.groups())]
    return names + (["Human4"] if sequence == "Human4_2" else [])


def _is_called(folder, dataset):
    """Whether a folder's name is one of a dataset's."""
    folder, dataset = (re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("test") for name in (folder, dataset))
    return folder == dataset or any(folder in names and dataset in names for names in SPELLINGS)
