"""Result files: every name, format and layout, in one place.

    <output>/test/tracking_results/<tracker>/<config>[_%03d]/<dataset>/<sequence>.txt          x y w h, a row a frame
                                                                       <sequence>_time.txt     seconds, a row a frame
                                                                       <sequence>_score.txt    confidence, a row a frame
                                                                       <sequence>.csv          in place of boxes: points
                                                                       _source.json            where the dataset was

That is the layout of ODTrack and SUTrack; the flat one of STARK and OSTrack, without the dataset's folder, is read as
well and written on request. It is not the default because sequences of different benchmarks share names. Files are
written whole or not at all, the boxes last: a sequence is finished when its boxes are there, or its points.

Trackers that find a ball write points, on datasets of points: Frame,Visibility,X,Y,Score.

Published raw results of other projects are read where they lie, see imported.py.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...data.sequence import squares
from ...data.textfile import parse_boxes, parse_numbers, read_number
from ...errors import UserError
from ...files import write_text

SOURCE = "_source.json"
POINTS = ".csv"
POINTS_HEAD = "Frame,Visibility,X,Y,Score"
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


def written(run, dataset, sequence, flat=False):
    """The file (Path) of the sequence's boxes or points, None where there is none. It is written last and whole."""
    path = boxes_path(run, dataset, sequence, flat)
    return next((each for each in (path, path.with_suffix(POINTS)) if each.is_file()), None)


def finished(run, dataset, sequence, flat=False):
    """Whether the sequence's boxes or points are there; they are written last and whole, so then all of it is."""
    return written(run, dataset, sequence, flat) is not None


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
            _write_companion(path, suffix, values, len(boxes), form)
    row = "\t".join(["%.3f"] * 4) + "\n"
    path.with_suffix(POINTS).unlink(missing_ok=True)  # of an earlier tracker of this name
    write_text(path, "".join(row % tuple(box) for box in boxes.tolist()))
    return path


def write_points(run, dataset, sequence, points, scores, times=None, flat=False):
    """Write one finished sequence of points.

    points: (N, 2) px, rows of NaN where no ball is reported. scores: (N,) confidence. times: (N,) seconds a frame.
    Returns the points' Path. Raises UserError for names that do not stay inside the results folder.
    """
    path = boxes_path(run, dataset, sequence, flat)
    _check_inside(run, path)
    points, seen = np.asarray(points, np.float64), np.isfinite(points).all(axis=1)
    if times is not None:
        _write_companion(path, "_time", times, len(points), "%f")
    rows = [
        f"{number},1,{x:.3f},{y:.3f},{score:.4f}" if there else f"{number},0,0,0,{score:.4f}"
        for number, ((x, y), there, score) in enumerate(zip(points.tolist(), seen, scores, strict=True))
    ]
    path.unlink(missing_ok=True)  # boxes of an earlier tracker of this name
    write_text(path.with_suffix(POINTS), "\n".join([POINTS_HEAD, *rows]) + "\n")
    return path.with_suffix(POINTS)


def read_points(path, frames):
    """The points of a result file that ends in POINTS.

    Returns ((frames, 2) float64 px, rows of NaN where none is reported; (frames,) confidence; number of surplus rows).
    Raises UserError naming file and line where a row is malformed, or where there are fewer rows than frames.
    """
    lines = _bytes(path).decode("utf-8-sig", errors="replace").splitlines()
    if not lines or lines[0].strip() != POINTS_HEAD:
        raise UserError(f"expected {POINTS_HEAD}", str(path), 1)
    points, scores = np.full((len(lines) - 1, 2), np.nan), np.zeros(len(lines) - 1)
    for line, text in enumerate(lines[1:], 2):
        fields = text.split(",")
        if len(fields) != 5:
            raise UserError(f"expected 5 fields, found {len(fields)}", str(path), line)
        number, seen, *point, scores[line - 2] = (read_number(field, str(path), line) for field in fields)
        if number != line - 2 or seen not in (0, 1):
            raise UserError(f"expected frame {line - 2} and a visibility of 0 or 1", str(path), line)
        if seen:
            points[line - 2] = point
    if len(points) < frames:
        raise UserError(f"expected {frames} rows, one a frame, found {len(points)}", str(path))
    return points[:frames], scores[:frames], len(points) - frames


def boxes_of(path, sequence):
    """The boxes of a result file found by `find`, (N, 4) px as a Sequence has them; points as squares like its own.

    Raises UserError as `read`.
    """
    if is_points(path):
        side = np.median(sequence.boxes_xywh[sequence.visible, 2]) if sequence.visible.any() else 1.0
        return squares(read_points(path, len(sequence))[0], side)
    return sequence.from_file(read(path, len(sequence))[0])


def is_points(path):
    """Whether a result file found by `find` holds points."""
    return isinstance(path, Path) and path.suffix == POINTS


def _write_companion(path, suffix, values, count, form):
    if len(values) != count:
        raise ValueError(f"{path.stem}: {len(values)} values of {suffix[1:]} for {count} frames")
    if not np.isfinite(values).all():
        raise ValueError(f"{path.stem}: {suffix[1:]} with nan or inf")
    write_text(path.with_name(f"{path.stem}{suffix}.txt"), "".join(f"{form}\n" % value for value in values))


def find(run, dataset, sequence):
    """Where a sequence's boxes or points are: a Path or what is read like one, or None where there are none.

    A Run that has no folder of the dataset's name is taken to be in the flat layout; the two are never mixed, since
    sequences of different benchmarks share names. Results of other projects (imported.py) find their own.
    """
    if not isinstance(run, Run):
        return run.find(dataset, check_name(sequence, "sequence"))
    return written(run, dataset, sequence, flat=not (run.folder / dataset).is_dir())


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
    files = [path for path in folder.iterdir() if path.suffix in (".txt", POINTS) and not path.name.startswith(".")]
    names = {path.name.removesuffix(path.suffix) for path in files if path.is_file()}
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
