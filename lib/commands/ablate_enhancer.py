"""Compare low-light enhancers: on photographs darkened, on real night photographs, and before trackers.

What is measured is kept in OUTPUT/ablation.jsonl and not measured again; the tables are also written to
OUTPUT/ablation.md. "none" is always the first row: images as they are.
"""

import json
import os
from pathlib import Path

from .. import cli, config
from ..config.paths import paths as find_paths
from ..errors import IncompleteError, UserError

EXAMPLES = """
python tracking/ablate_enhancer.py --enhancers gamma,blur_gamma,ours=enhancer.safetensors --photographs /my/day
python tracking/ablate_enhancer.py --enhancers blur_gamma,one=a.safetensors:b.safetensors --stills /my/night
python tracking/ablate_enhancer.py --enhancers blur,average+blur --dataset lunar_demo --trackers opencv/mil --frames 20
"""
AVERAGED = "average+"


@cli.command
def main(argv=None):
    options = _parse(argv)
    paths = find_paths()
    folder = Path(options.output) if options.output else paths.output / "ablation"
    cli.set_threads(options.threads)
    from ..test.analysis import enhancer_study as study
    from ..test.analysis.enhancers import Bench
    from ..train.image_losses import psnr, ssim

    rows = _rows(options.enhancers)
    reference = _reference(options.reference, rows)
    trackers = [_tracker(text, paths) for text in _parts(options.trackers)]
    datasets = _datasets(options.dataset, trackers)
    photographs, stills = _photographs(options.photographs), _stills(options.stills)

    bench, ledger = Bench((psnr, ssim)), study.Ledger(folder / "ablation.jsonl", options.overwrite)
    shown, failed = [], {}
    if photographs:
        study.measure_images("photograph", photographs, rows, ledger, bench, options.threads)
        shown.append(study.photograph_table(photographs, rows, ledger))
    if stills:
        study.measure_images("still", stills, rows, ledger, bench, options.threads)
        shown.append(study.still_table(stills, rows, ledger))
    if datasets:
        failed = study.measure_clips(datasets, trackers, rows, options.frames, ledger, bench, options.threads)
        for tracker in trackers:
            shown += study.tracked_tables(tracker, datasets, rows, reference, options.frames, ledger)
    _write(shown, folder / "ablation.md", ledger)
    if failed:
        raise IncompleteError.of(failed, "clips")
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument(
        "--enhancers",
        required=True,
        help="comma list of NAME, FILE or LABEL=FILE[:FILE...], the files being one enhancer trained with several "
        "seeds; average+ before a name or file averages frames over time first",
    )
    arguments.add_argument("--reference", metavar="LABEL", help="also show differences to this one, such as blur_gamma")
    arguments.add_argument("--photographs", metavar="FOLDER", help="day photographs, which are darkened")
    arguments.add_argument("--stills", metavar="FOLDER", help="real night photographs")
    arguments.add_argument("--dataset", default="", help="videos: name[@strength], folder, or a comma list of them")
    arguments.add_argument("--trackers", default="", help="for --dataset: comma list of SCRIPT/CONFIG[=WEIGHTS]")
    arguments.add_argument("--frames", type=int, default=100, metavar="N", help="only the first N of a video; 0: all")
    arguments.add_argument("--threads", type=int, default=1, metavar="N", help="processes; 1 works in this one")
    arguments.add_argument("--output", metavar="FOLDER", help="default: ablation/ in the folder of results")
    arguments.add_argument("--overwrite", action="store_true", help="measure everything again")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    cli.at_least(options, frames=0, threads=1)
    if not (options.photographs or options.stills or options.dataset):
        raise UserError("nothing to measure on: pass --photographs, --stills or --dataset")
    if bool(options.dataset) != bool(options.trackers):
        raise UserError("--dataset and --trackers go together: pass both or neither")
    return options


# ---- what the words mean --------------------------------------------------------------------------------------------


def _parts(text):
    return [part.strip() for part in text.split(",") if part.strip()]


def _rows(text):
    """The rows of --enhancers, `none` first. Raises UserError, also where one of them cannot be loaded."""
    from ..test.analysis.enhancer_study import Row
    from ..test.analysis.enhancers import NONE

    rows = [Row("none", (NONE,)), *(_row(part) for part in _parts(text) if part != "none")]
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise UserError(f"--enhancers: two are called {label!r}; write LABEL=... to tell them apart")
    for row in rows:
        for variant in row.variants:
            variant.load()
    return rows


def _row(text):
    from ..models.enhancer import UNTRAINED
    from ..test.analysis.enhancer_study import Row
    from ..test.analysis.enhancers import Variant

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


def _reference(wanted, rows):
    labels = [row.label for row in rows[1:]]
    if wanted is None:
        return "blur_gamma" if "blur_gamma" in labels else None
    if wanted not in labels:
        raise UserError(f"--reference {wanted}: none of --enhancers ({', '.join(labels)})")
    return wanted


def _tracker(text, paths):
    from ..test.analysis.enhancer_study import Tracker
    from ..test.analysis.enhancers import digest
    from ..test.evaluation.runner import Experiment
    from ..test.tracker.weights import find_weights

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


def _datasets(text, trackers):
    """{dataset name: its sequences}."""
    from ..data import benchmarks

    labels = [tracker.label for tracker in trackers]
    if len(set(labels)) < len(labels):
        raise UserError("--trackers: one is there twice")
    return {name: list(sequences) for name, (sequences, _) in benchmarks.load_all(text).items()} if text else {}


def _photographs(folder):
    if not folder:
        return None
    from ..data import benchmarks

    sequences = benchmarks.load(folder, boxes_needed=False)
    return _images(folder, [sequences[number] for number in range(len(sequences))], lambda sequence: sequence.name)


def _stills(folder):
    if not folder:
        return None
    from ..data.frames import image_names
    from ..data.storage import Folder

    storage = Folder(Path(os.path.expanduser(folder)))
    names = image_names(storage, "*") or image_names(storage, "*/*")
    if not names:
        what = "no images here, nor in folders below" if storage.path.is_dir() else "no such folder"
        raise UserError(what, folder)
    return _images(folder, [str(storage.path / name) for name in names], str)


def _images(folder, items, name):
    from ..test.analysis.enhancer_study import Images
    from ..test.analysis.enhancers import digest

    listed = digest("\n".join(map(name, items)).encode())
    return Images(items, {"place": str(Path(os.path.expanduser(folder)).resolve()), "images": listed})


def _write(shown, path, ledger):
    from ..files import write_text
    from ..test.analysis.tables import render

    for one in shown:
        print(f"{one.title}\n{render(one, 'text')}")
    write_text(path, "# Enhancers compared\n\n" + "\n".join(render(one, "markdown") for one in shown))
    print(f"{ledger.added} measured, the others known before; wrote {path} and {ledger.path.name} beside it")
