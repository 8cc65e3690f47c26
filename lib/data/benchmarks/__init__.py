"""From the name of a benchmark, or any folder, to its sequences."""

import difflib
import functools
import logging
from pathlib import Path

from lib.config.paths import paths
from lib.data.benchmarks.entries import BENCHMARKS
from lib.data.benchmarks.layout import FOLDER_LAYOUTS, find_sequences
from lib.data.sequence import Sequence
from lib.data.storage import open_storage
from lib.errors import UserError

log = logging.getLogger(__name__)

DEMO = "lunar_demo"


def names():
    """Every name that `load` knows."""
    return [DEMO, *BENCHMARKS]


def load(name_or_folder, data_root=None):
    """The sequences of a benchmark, or of a folder, zip or LMDB of the user's, in natural order of their names.

    A folder's dataset is called by the folder's own name.
    Raises UserError that says what was looked for, what it should hold and how to get it.
    """
    name = str(name_or_folder)
    if name == DEMO:
        return _demo()
    if name in BENCHMARKS:
        return _benchmark(name, BENCHMARKS[name], paths(data=data_root).data)
    path = Path(name).expanduser()
    if not path.exists():
        close = difflib.get_close_matches(name, names(), 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"no benchmark or folder {name!r}{hint}; the benchmarks are: {', '.join(names())}")
    return _read(path.resolve(), path.resolve().stem if path.is_file() else path.resolve().name, FOLDER_LAYOUTS, "")


def load_all(text, data_root=None):
    """The datasets of a comma list of names and folders.

    Returns {dataset name: (its sequences, its folder or None for a benchmark)}. Raises UserError, also where two
    datasets have one name.
    """
    datasets = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        sequences = load(part, data_root)
        name = sequences[0].dataset
        if name in datasets:
            raise UserError(f"two datasets are called {name!r}: their results would overwrite each other")
        datasets[name] = sequences, None if part in names() else Path(part).expanduser().resolve()
    if not datasets:
        raise UserError(f"no dataset in {text!r}; the benchmarks are: {', '.join(names())}")
    return datasets


def _benchmark(name, benchmark, root):
    for folder in benchmark.folders:
        if (root / folder).exists():
            return _read(root / folder, name, benchmark.layouts, f"; it should hold {benchmark.source}")
    raise UserError(
        f"no such folder. It should hold {benchmark.source}; laid out as {benchmark.layouts[0]}. "
        f"--data_root DIR looks in DIR/{benchmark.folders[-1]} instead; --dataset {DEMO} needs no download",
        root / benchmark.folders[-1],
    )


def _read(path, dataset, layouts, hint):
    storage = open_storage(path)
    for layout in layouts:
        sequences = find_sequences(storage, layout, dataset)
        if sequences:
            log.info("%s: %d sequences in %s, laid out as %s", dataset, len(sequences), path, layout)
            return sequences
    raise UserError(f"no sequences here; looked for {'; '.join(map(str, layouts))}{hint}", path)


def _demo():
    from lib.data.render import RenderedClip, demo_clips

    sequences = []
    for clip in demo_clips():
        opener = functools.partial(RenderedClip, clip.spec, clip.seed)
        sequences.append(Sequence(clip.name, DEMO, clip.boxes_xywh, opener, clip.visible, clip.attributes, DEMO))
    return sequences
