"""Result files: every name, format and layout, in one place.

    <output>/test/tracking_results/<tracker>/<config>[_%03d]/<dataset>/<sequence>.txt          x y w h, a row a frame
                                                                       <sequence>_time.txt     seconds, a row a frame
                                                                       <sequence>_score.txt    confidence, a row a frame
                                                                       _source.json            where the dataset was

That is the layout of ODTrack and SUTrack; the flat one of STARK and OSTrack, without the dataset's folder, is read as
well and written on request. It is not the default because sequences of different benchmarks share names. Files are
written whole or not at all, the boxes last: a sequence is finished when its boxes are there.

Published raw results of other projects are read where they lie, see imported.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.textfile import parse_boxes, parse_numbers
from ...errors import UserError
from ...files import write_text

SOURCE = "_source.json"
COMPANIONS = ("_time", "_score", "_all_boxes", "_all_scores", "_object_presence_scores")  # ours and other projects'
SAME_AS = {"_score": ("_object_presence_scores",)}  # what other projects call a companion of ours
MAX_NAME_BYTES = 200  # what file systems allow is 255, and suffixes are added


@dataclass(frozen=True)
class Run:
    """One tracker with one configuration: the folder <root>/<tracker>/<config>, config as `run_name` has it.

    root: the tracking_results folder (pathlib.Path). Raises UserError for names that are no plain file names.
    """

    root: Path
    tracker: str
    config: str

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))
        check_name(self.tracker, "tracker")
        check_name(self.config, "configuration")

    @property
    def folder(self):
        return self.root / self.tracker / self.config

    def __str__(self):
        return f"{self.tracker} {self.config}"


def results_root(output):
    """The tracking_results folder (Path) under an output folder."""
    return Path(output) / "test" / "tracking_results"


def run_name(config, runid=None, enhancer=None):
    """A configuration's folder name: `baseline`, `baseline_003` for runid 3, `baseline+gamma` behind that enhancer.

    enhancer: a name, or a file, which is called by its stem.
    """
    config = config if enhancer is None else f"{config}+{Path(enhancer).stem}"
    return config if runid is None else f"{config}_{runid:03d}"


def check_name(name, kind):
    """Return `name` if it can name a file or folder of ours, else raise UserError. kind: what it would name."""
    if (
        not name
        or name.startswith(".")
        or any(letter in "/\\" or not letter.isprintable() for letter in name)
        or len(name.encode(errors="surrogateescape")) > MAX_NAME_BYTES
    ):
        shown = name if len(name) <= 40 else name[:40] + "..."
        rule = f"at most {MAX_NAME_BYTES} bytes, no slash, no control character, not beginning with a point"
        raise UserError(f"{shown!r} cannot name a {kind}: expected {rule}")
    return name


def boxes_path(run, dataset, sequence, flat=False):
    """Where the boxes of a sequence belong (Path). Raises UserError for names that are no plain file names."""
    check_name(sequence, "sequence")
    return (run.folder if flat else run.folder / check_name(dataset, "dataset")) / f"{sequence}.txt"


def finished(run, dataset, sequence, flat=False):
    """Whether the sequence's boxes are there; they are written last and whole, so then all of it is."""
    return boxes_path(run, dataset, sequence, flat).is_file()


def write(run, dataset, sequence, boxes_xywh, times=None, scores=None, flat=False):
    """Write one finished sequence.

    boxes_xywh: (N, 4) px, the first row the box the tracker was given; rows of NaN where it says the target is absent.
    times: (N,) seconds a frame, the first that of initialisation. scores: (N,) confidence.
    flat: in the layout of STARK and OSTrack, without the dataset's folder.
    Returns the boxes' Path. Raises UserError for names that do not stay inside the results folder.
    """
    path = boxes_path(run, dataset, sequence, flat)
    _check_inside(run, path)
    boxes = np.asarray(boxes_xywh, dtype=np.float64)
    absent = np.isnan(boxes)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or np.isinf(boxes).any() or (absent.any(1) != absent.all(1)).any():
        raise ValueError(f"{sequence}: expected (N, 4) boxes, finite or with rows of nan, found {boxes.shape}")
    for values, suffix, form in ((times, "_time", "%f"), (scores, "_score", "%.4f")):
        if values is not None:
            if len(values) != len(boxes):
                raise ValueError(f"{sequence}: {len(values)} values of {suffix[1:]} for {len(boxes)} boxes")
            if not np.isfinite(values).all():
                raise ValueError(f"{sequence}: {suffix[1:]} with nan or inf")
            write_text(path.with_name(f"{sequence}{suffix}.txt"), "".join(f"{form}\n" % value for value in values))
    row = "\t".join(["%.3f"] * 4) + "\n"
    write_text(path, "".join(row % tuple(box) for box in boxes.tolist()))
    return path


def find(run, dataset, sequence):
    """Where a sequence's boxes are, for `read`: a Path or what is read like one, or None where there are none.

    A Run that has no folder of the dataset's name is taken to be in the flat layout; the two are never mixed, since
    sequences of different benchmarks share names. Results of other projects (imported.py) find their own.
    """
    if not isinstance(run, Run):
        return run.find(dataset, check_name(sequence, "sequence"))
    path = boxes_path(run, dataset, sequence, flat=not (run.folder / dataset).is_dir())
    return path if path.is_file() else None


def read(path, frames=None):
    """The boxes of a result file found by `find`, for a sequence of `frames` frames; None takes every row.

    Returns ((frames, 4) float64 xywh px, rows of NaN where the tracker said absent; number of surplus rows left out).
    Raises UserError naming file and line where a row is malformed, or where there are fewer rows than frames.
    """
    boxes = parse_boxes(_bytes(path), str(path))
    frames = len(boxes) if frames is None else frames
    if len(boxes) < frames:
        raise UserError(f"expected {frames} rows, one a frame, found {len(boxes)}", str(path))
    return boxes[:frames], len(boxes) - frames


def read_companion(path, suffix, frames):
    """The (frames,) values beside a boxes file, suffix "_time" [s] or "_score", or None where there are none.

    Other projects' are found under their names. Of several columns, GOT-10k's repetitions, the first is read.
    """
    path = next((each for each in _companions(path, suffix) if each.is_file()), None)
    if path is None:
        return None
    data = _bytes(path)
    values = parse_numbers(data, str(path))
    rows = len(data.rstrip().splitlines())
    if rows > 1 and len(values) % rows == 0:
        values = values.reshape(rows, -1)[:, 0]
    if len(values) < frames:
        raise UserError(f"expected {frames} rows, one a frame, found {len(values)}", str(path))
    return values[:frames]


def discover(root):
    """What a tracking_results folder holds: {(Run, dataset, or None for the flat layout): [sequence, ...]}, sorted."""
    found = {}
    for folder in _folders(root):
        for run_folder in _folders(folder):
            run = Run(root, folder.name, run_folder.name)
            found[run, None] = _sequences(run_folder)
            found.update({(run, dataset.name): _sequences(dataset) for dataset in _folders(run_folder)})
    return {key: names for key, names in found.items() if names}


def sequences(run, dataset):
    """Names of the sequences that a Run has results of, sorted: in the dataset's folder, else in the flat layout."""
    folder = run.folder / check_name(dataset, "dataset")
    return _sequences(folder if folder.is_dir() else run.folder)


def write_source(run, dataset, path=None):
    """Note where a dataset was, so that analysis finds it again. path: its folder, None for a registered benchmark."""
    place = boxes_path(run, dataset, "x").with_name(SOURCE)
    _check_inside(run, place)
    path = None if path is None else str(Path(path).resolve())
    write_text(place, json.dumps({"dataset": dataset, "path": path}, indent=1) + "\n")


def read_source(run, dataset):
    """The folder (str) that `write_source` noted, or None. Raises UserError where the note is malformed."""
    place = boxes_path(run, dataset, "x").with_name(SOURCE)
    if not place.is_file():
        return None
    try:
        path = json.loads(place.read_text())["path"]
    except (ValueError, KeyError, TypeError):
        path = 0
    if not isinstance(path, str | None):
        raise UserError('expected {"dataset": NAME, "path": FOLDER or null}', place)
    return path


def _check_inside(run, path):
    if not path.resolve().is_relative_to(run.root.resolve()):
        raise UserError("leads out of the results folder through a link", path)


def _folders(folder):
    try:
        return sorted(path for path in Path(folder).iterdir() if path.is_dir() and not path.name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise UserError(f"cannot be listed: {error.strerror}", folder) from None


def _sequences(folder):
    names = {path.name.removesuffix(".txt") for path in folder.glob("*.txt") if not path.name.startswith(".")}
    companions = {name + suffix for name in names for suffix in COMPANIONS}
    return sorted(names - companions)


def _bytes(path):
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path) from None


def _companions(path, suffix):
    """Where the companion of a boxes file may lie: beside it, or (OTB's toolkit) in a folder of times."""
    stems = [path.stem]
    if path.stem == f"{path.parent.name}_001":  # GOT-10k's toolkit numbers the repetitions of the boxes alone
        stems.append(path.parent.name)
    names = [f"{stem}{called}.txt" for stem in stems for called in (suffix, *SAME_AS.get(suffix, ()))]
    return [folder / name for folder in (path.parent, path.parent / "times") for name in names]
