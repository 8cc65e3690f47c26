"""What the packers share: results in, complete and checked; one reproducible file out; what was packed stays there."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ... import cli, registry
from ...config.paths import paths
from ...data import benchmarks
from ...data.image import natural_key
from ...errors import UserError
from ...files import atomic_path
from ..evaluation import results

DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold: equal results give equal bytes
SHOWN = 5  # sequences that are named before "and more"


@dataclass(frozen=True)
class Server:
    """What the server of a benchmark expects.

    benchmark: its name here. filed: folders that its results may be in, beside the flat layout. sequences: how many it
    has. names: which, where they are known without the dataset. times: whether it wants the seconds of every frame.
    """

    benchmark: str
    filed: tuple
    sequences: int
    names: tuple = ()
    times: bool = False


@dataclass(frozen=True)
class Track:
    """Results of a sequence. boxes_xywh: (N, 4) px, zeros where the tracker said absent. times: (N,) s, or None."""

    name: str
    boxes_xywh: np.ndarray
    times: np.ndarray | None


def arguments(doc, examples):
    """The parser of a packer, with the flags that STARK's family has, and ours."""
    parser = cli.parser(doc, examples)
    add = parser.add_argument
    add("--tracker_name", default=registry.DEFAULT, help="name of the tracker")
    add("--cfg_name", default="baseline", help="its configuration, with the suffix of a run: baseline_001")
    add("--save_dir", help="where test.py wrote (default: ./output, see local.yaml)")
    add("--data_root", help="where the benchmarks are; the dataset's frames are counted (default: ./data, if there)")
    add("--out", metavar="FILE", help="what to write (default: <benchmark>_submit beside the results)")
    add("--allow_missing", action="store_true", help="pack what there is, though the server may refuse it")
    add("--debug", nargs="?", type=int, const=1, default=0, help="1: the traceback of an error")
    return parser


def collect(options, server):
    """The results that are to be packed, checked: (results.Run, [Track, ...] in natural order of their names).

    There must be as many sequences as the benchmark has, and where it is on this disk as many rows as frames.
    Raises UserError where results are malformed or, unless --allow_missing, where any is missing.
    """
    root = results.results_root(paths(output=options.save_dir).output)
    run = results.Run(root, options.tracker_name, options.cfg_name)
    if not run.folder.is_dir():
        raise UserError("no such results; track first, or say with --save_dir where they are", run.folder)
    dataset = next((name for name in server.filed if (run.folder / name).is_dir()), server.benchmark)
    frames = _frames(server.benchmark, options.data_root)
    names = sorted({*(frames or ()), *server.names} or results.sequences(run, dataset), key=natural_key)
    tracks, missing = [], {}
    for name in names:
        path = results.find(run, dataset, name)
        if path is None:
            missing[name] = "no results"
            continue
        track = _read(path, name, frames and frames.get(name))
        if server.times and track.times is None:
            missing[name] = f"no times, expected {name}_time.txt"
        tracks.append(track)
    if not tracks:
        raise UserError(f"no results of {server.benchmark}; looked here and in {', '.join(server.filed)}", run.folder)
    if len(names) != server.sequences:
        missing[server.benchmark] = f"expected {server.sequences} sequences, found {len(names)}"
    if missing:
        _report(missing, run, server, options.allow_missing)
    return run, tracks


def _frames(benchmark, data_root):
    """{sequence: frames} of a benchmark, or None, which is said, where it is not on this disk."""
    try:
        return {sequence.name: len(sequence) for sequence in benchmarks.load(benchmark, data_root)}
    except UserError as error:
        if data_root is not None:
            raise
        print(f"lunar: the rows are not compared with the frames of {benchmark}: {error}")
        return None


def _read(path, name, frames):
    boxes, surplus = results.read(path, frames)
    if surplus:
        raise UserError(f"{surplus} rows more than the {frames} frames of {name}: not results of this dataset", path)
    times = results.read_companion(path, "_time", len(boxes))
    return Track(name, np.where(np.isnan(boxes), 0.0, boxes), times)


def _report(missing, run, server, allowed):
    listed = "; ".join(f"{name}: {reason}" for name, reason in list(missing.items())[:SHOWN])
    more = f"; and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    problem = f"{run} on {server.benchmark} is incomplete: {listed}{more}"
    if not allowed:
        raise UserError(f"{problem}. Nothing was packed; --allow_missing packs what there is")
    print(f"lunar: warning: {problem}")


def out_path(options, run, name):
    """Where to write (Path): --out, or `name` in the folder of the run."""
    return Path(os.path.expanduser(options.out)) if options.out else run.folder / name


def rows(values, form):
    """Lines of text, comma separated. values: (N,) or (N, M) floats; form: how one is written, such as "%.3f"."""
    columns = np.asarray(values, np.float64).reshape(len(values), -1)
    line = ",".join([form] * columns.shape[1]) + "\n"
    return "".join(line % tuple(row) for row in columns.tolist())


def write_zip(path, members):
    """Write {name: text} as a zip, whole or not at all: the same bytes for the same members, whenever and wherever.

    Raises UserError for a name that would unpack outside a folder, MachineError where the disk is full.
    """
    for name in members:
        for part in name.split("/"):
            results.check_name(part, "member of a zip")
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name, text in members.items():
            member = zipfile.ZipInfo(name, DATE)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.create_system = 3  # Unix, whatever this is, for the permissions
            member.external_attr = 0o100644 << 16
            archive.writestr(member, text, compresslevel=9)
