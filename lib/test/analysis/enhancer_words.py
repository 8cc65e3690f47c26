"""What the words of ablate_enhancer.py ask for. Each function raises UserError for a wrong word, naming its flag."""

import json
import os
from pathlib import Path

from ... import config
from ...data import benchmarks
from ...data.frames import image_names
from ...data.storage import Folder
from ...errors import UserError
from ...models.enhancer import UNTRAINED
from ..evaluation.runner import Experiment
from ..tracker.weights import find_weights
from .enhancer_study import Images, Row, Tracker
from .enhancers import NONE, Variant, digest

AVERAGED = "average+"


def parts(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def rows(text):
    """The rows of --enhancers, `none` first. Raises UserError, also where one of them cannot be loaded."""
    rows = [Row("none", (NONE,)), *(_row(part) for part in parts(text) if part != "none")]
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"--enhancers: two are called {label!r}; write LABEL=... to tell them apart")
    for row in rows:
        for variant in row.variants:
            variant.load()
    return rows


def _row(text):
    label, named, sources = text.partition("=")
    sources = sources if named else text
    averaged = sources.startswith(AVERAGED)
    sources = sources.removeprefix(AVERAGED).split(":")
    if not named:
        stem = sources[0] if sources[0] in UNTRAINED else Path(sources[0]).stem
        label = f"{AVERAGED}{stem}" if averaged else stem
    if not label.strip() or "|" in label or not all(sources):
        raise UserError(f"--enhancers {text!r}: expected NAME, FILE or LABEL=FILE[:FILE...]")
    if len(sources) > 1 and (not named or set(sources) & set(UNTRAINED)):
        raise UserError(f"--enhancers {text!r}: several seeds are written LABEL=FILE:FILE, each a .safetensors file")
    if len(set(sources)) < len(sources):
        raise UserError(f"--enhancers {text!r}: one file is there twice")
    return Row(label, tuple(Variant.of(source, averaged) for source in sources))


def reference(wanted, rows):
    labels = [row.label for row in rows[1:]]
    if wanted is None:
        return "blur_gamma" if "blur_gamma" in labels else None
    if wanted not in labels:
        raise UserError(f"--reference {wanted}: none of --enhancers ({', '.join(labels)})")
    return wanted


def tracker(text, paths):
    label, _, checkpoint = text.partition("=")
    script, slash, name = label.partition("/")
    if not (script and slash and name):
        raise UserError(f"--trackers {text!r}: expected SCRIPT/CONFIG[=WEIGHTS], such as opencv/mil")
    settings = config.load(script, name, [])
    weights = find_weights(script, name, settings, paths, checkpoint or None)
    files = sorted(path for path in Path(weights).iterdir() if path.is_file()) if weights and weights.is_dir() else []
    files = files or ([weights] if weights else [])
    made_of = [json.dumps(settings, sort_keys=True, default=str).encode(), *(file.read_bytes() for file in files)]
    return Tracker(label, Experiment(script, name, (), weights), f"{label} {digest(b''.join(made_of))}")


def datasets(text, trackers):
    """{dataset name: its sequences}."""
    labels = [tracker.label for tracker in trackers]
    if len(set(labels)) < len(labels):
        raise UserError("--trackers: one is there twice")
    return {name: list(sequences) for name, (sequences, _) in benchmarks.load_all(text).items()} if text else {}


def photographs(folder):
    if not folder:
        return None
    sequences = benchmarks.load(folder, boxes_needed=False)
    return _images(folder, [sequences[number] for number in range(len(sequences))], lambda sequence: sequence.name)


def stills(folder):
    if not folder:
        return None
    storage = Folder(Path(os.path.expanduser(folder)))
    names = image_names(storage, "*") or image_names(storage, "*/*")
    if not names:
        what = "no images here, nor in folders below" if storage.path.is_dir() else "no such folder"
        raise UserError(what, folder)
    return _images(folder, [str(storage.path / name) for name in names], str)


def _images(folder, items, name):
    listed = digest("\n".join(map(name, items)).encode())
    return Images(items, {"place": str(Path(os.path.expanduser(folder)).resolve()), "images": listed})
