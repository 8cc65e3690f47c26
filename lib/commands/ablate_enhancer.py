"""Compare low-light enhancers: on photographs darkened, on real night photographs, and before trackers.

What is measured is kept in OUTPUT/ablation.jsonl and not measured again; the tables are also written to
OUTPUT/ablation.md. "none" is always the first row: images as they are.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import cli, config
from ..config.paths import paths as find_paths
from ..errors import IncompleteError, MachineError, UserError

EXAMPLES = """
python tracking/ablate_enhancer.py --enhancers gamma,blur_gamma,ours=enhancer.safetensors --photographs /my/day
python tracking/ablate_enhancer.py --enhancers blur_gamma,one=a.safetensors:b.safetensors --stills /my/night
python tracking/ablate_enhancer.py --enhancers blur,average+blur --dataset lunar_demo --trackers opencv/mil --frames 20
"""
CHANGE = 0.01  # of AUC, from which a clip counts as better or worse
AVERAGED = "average+"


@dataclass(frozen=True)
class Row:
    """One row of every table. variants: the same enhancer trained with several seeds, of which means are shown."""

    label: str
    variants: tuple


@dataclass(frozen=True)
class Tracker:
    """label: SCRIPT/CONFIG. identity: the same only where the same is to be expected of it."""

    label: str
    experiment: object
    identity: str


@cli.command
def main(argv=None):
    options = _parse(argv)
    paths = find_paths()
    folder = Path(options.output) if options.output else paths.output / "ablation"
    cli.set_threads(options.threads)
    from ..test.analysis.enhancers import Bench
    from ..train.image_losses import psnr, ssim

    rows = _rows(options.enhancers)
    reference = _reference(options.reference, rows)
    trackers = [_tracker(text, paths) for text in _parts(options.trackers)]
    datasets = _datasets(options.dataset, trackers)
    photographs, stills = _photographs(options.photographs), _stills(options.stills)

    bench, ledger = Bench((psnr, ssim)), Ledger(folder / "ablation.jsonl", options.overwrite)
    shown, failed = [], {}
    if photographs:
        _measure_images("photograph", photographs, rows, ledger, bench, options.threads)
        shown.append(_photograph_table(photographs, rows, ledger))
    if stills:
        _measure_images("still", stills, rows, ledger, bench, options.threads)
        shown.append(_still_table(stills, rows, ledger))
    if datasets:
        failed = _measure_clips(datasets, trackers, rows, options, ledger, bench)
        for tracker in trackers:
            shown += _tracked_tables(tracker, datasets, rows, reference, options.frames, ledger)
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


@dataclass
class Images:
    """A folder's images. items: what Bench's method takes of each. key: that tells folder and images from others."""

    items: list
    key: dict


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
    from ..test.analysis.enhancers import digest

    listed = digest("\n".join(map(name, items)).encode())
    return Images(items, {"place": str(Path(os.path.expanduser(folder)).resolve()), "images": listed})


# ---- measuring ------------------------------------------------------------------------------------------------------


class Ledger:
    """What is measured: a JSON line each, {"key": {...}, "values": {...}}; a line that was cut off does not count."""

    def __init__(self, path, overwrite):
        self.path, self._known, self.added = path, {}, 0
        if overwrite:
            path.unlink(missing_ok=True)
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                record = json.loads(line)
                self._known[self._text(record["key"])] = record["values"]
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key):
        return self._known.get(self._text(key))

    def put(self, key, values):
        self._known[self._text(key)] = values
        self.added += 1
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "ab+") as file:
                file.seek(max(0, file.tell() - 1))
                cut_off = file.read() not in (b"", b"\n")
                file.write((b"\n" if cut_off else b"") + json.dumps({"key": key, "values": values}).encode() + b"\n")
        except OSError as error:
            raise MachineError(f"cannot write: {error.strerror}", self.path) from error

    def _text(self, key):
        return json.dumps(key, sort_keys=True)


def _image_key(method, images, variant):
    return {"table": method, **images.key, "enhancer": variant.identity}


def _clip_key(sequence, frames, tracker, variant):
    return {
        "table": "clip",
        "place": str(sequence.place),
        "dataset": sequence.dataset,
        "clip": sequence.name,
        "frames": min(frames or len(sequence), len(sequence)),
        "tracker": tracker.identity,
        "enhancer": variant.identity,
    }


def _measure_images(method, images, rows, ledger, bench, processes):
    """Fill the ledger with the means over a folder's images. Raises UserError at one that cannot be read."""
    from ..test.analysis.enhancers import measure

    variants = [variant for row in rows for variant in row.variants]
    variants = list(dict.fromkeys(each for each in variants if not ledger.get(_image_key(method, images, each))))
    if not variants:
        return
    line, found = cli.ProgressLine("images"), {}
    for number, result in measure(bench, method, [(item, variants) for item in images.items], processes):
        if isinstance(result, UserError):
            raise result
        found[number] = result
        line.show(len(found), len(images.items), f"{method}s:")
    line.clear()
    found = np.stack([found[number] for number in range(len(images.items))], axis=-1)  # the order of adding counts
    for variant, values in zip(variants, found, strict=True):
        known = ~np.isnan(values)
        values = np.where(known, values, 0).sum(axis=-1) / np.where(known.any(axis=-1), known.sum(axis=-1), np.nan)
        more = {"ms": bench.milliseconds(variant)} if method == "photograph" else {}
        ledger.put(_image_key(method, images, variant), {"mean": values.tolist(), **more})


def _measure_clips(datasets, trackers, rows, options, ledger, bench):
    """Fill the ledger with what every tracker does behind every enhancer. Returns {clip: why it failed}."""
    from ..test.analysis.enhancers import measure

    tasks, keys = [], []
    for sequence in (sequence for sequences in datasets.values() for sequence in sequences):
        missing = {}
        for tracker in trackers:
            for variant in (variant for row in rows for variant in row.variants):
                key = _clip_key(sequence, options.frames, tracker, variant)
                if ledger.get(key) is None:
                    missing[tracker.experiment, variant] = key
        if missing:
            keys.append(list(missing.values()))
            tasks.append((sequence, keys[-1][0]["frames"], list(missing)))
    bench.check({experiment for _, _, wanted in tasks for experiment, _ in wanted})
    line, failed = cli.ProgressLine("clips"), {}
    for done, (number, results) in enumerate(measure(bench, "clip", tasks, options.threads), 1):
        sequence = tasks[number][0]
        if isinstance(results, UserError):
            failed[f"{sequence.dataset}/{sequence.name}"] = results
            continue
        for key, values in zip(keys[number], results, strict=True):
            ledger.put(key, values)
        line.show(done, len(tasks), "tracked:")
    line.clear()
    return failed


# ---- tables ---------------------------------------------------------------------------------------------------------


def _photograph_table(images, rows, ledger):
    from ..test.analysis.enhancers import NIGHTS

    lines = []
    for row in rows:
        records = [ledger.get(_image_key("photograph", images, variant)) for variant in row.variants]
        seeds = np.array([record["mean"] for record in records])  # (seeds, nights, PSNR and SSIM)
        spread = [f" ±{value:.2f}" for value in seeds[..., 0].std(axis=0, ddof=1)] if len(seeds) > 1 else [""] * 4
        cells = [
            cell
            for (psnr, ssim), more in zip(seeds.mean(axis=0), spread, strict=True)
            for cell in (f"{psnr:.2f}{more}", f"{ssim:.4f}")
        ]
        lines.append([row.label, *cells, f"{np.mean([record['ms'] for record in records]):.2f}"])
    headers = [f"{measure} {night}" for night in NIGHTS for measure in ("PSNR", "SSIM")]
    title = f"{len(images.items)} photographs darkened, against the day (PSNR in dB, ± over seeds; ms a 256x256 image)"
    return title, ["enhancer", *headers, "ms"], lines


def _still_table(images, rows, ledger):
    from ..test.analysis.tables import number

    lines = []
    for row in rows:
        records = [ledger.get(_image_key("still", images, variant))["mean"] for variant in row.variants]
        brightness, noise, ratio, white = np.mean(records, axis=0)
        lines.append([row.label, f"{brightness:.3f}", number(noise, 4), number(ratio, 4), f"{100 * white:.2f}"])
    headers = ["enhancer", "brightness", "noise", "noise/brightness", "% over 0.95"]
    return f"{len(images.items)} night photographs", headers, lines


def _tracked_tables(tracker, datasets, rows, reference, frames, ledger):
    """[(title, headers, rows)] of one tracker: a table a dataset, and one of the means over the datasets."""
    shown, together = [], {}
    for name, sequences in datasets.items():
        clips = {}
        for sequence in sequences:
            values = [_clip_values(sequence, frames, tracker, row, ledger) for row in rows]
            if all(value is not None for value in values):  # else it does not compare
                clip = name.partition("@")[0], sequence.name, sequence.video
                clips[clip] = np.array(values)
                together.setdefault(clip, []).append(clips[clip])
        title = f"{tracker.label} on {name}: {len(clips)} of {len(sequences)} clips"
        shown.append(_tracked_table(title, clips, rows, reference))
    if len(datasets) > 1:
        means = {clip: np.mean(values, axis=0) for clip, values in together.items()}
        title = f"{tracker.label}, mean over the datasets: {len(means)} clips"
        shown.append(_tracked_table(title, means, rows, reference))
    return shown


def _clip_values(sequence, frames, tracker, row, ledger):
    """[AUC, P@5, NP, ms of the tracker, of the enhancer] of a clip, mean over the seeds; None where one is missing."""
    records = [ledger.get(_clip_key(sequence, frames, tracker, variant)) for variant in row.variants]
    if None in records:
        return None
    names = ("auc", "p5", "np_auc", "tracker_ms", "enhancer_ms")
    return np.mean([[record[name] for name in names] for record in records], axis=0)


def _tracked_table(title, clips, rows, reference):
    """clips: {(dataset, clip, its video): (rows, 5) as _clip_values has them}."""
    from ..test.analysis.statistics import mean_and_error
    from ..test.analysis.tables import number, percent

    videos = [(dataset, video) for dataset, _, video in clips]

    def change(values, other):
        mean, error = mean_and_error(values - other, videos)
        return f"{100 * mean:+.2f} ±{number(100 * error, 2)}"

    headers = ["enhancer", "AUC", "P@5", "NP", "dAUC", "dP@5", "better/worse"]
    headers += [f"dAUC to {reference}", f"dP@5 to {reference}"] if reference else []
    headers += ["tracker ms", "enhancer ms"]
    if not clips:
        return title, headers, []
    clips = np.stack(list(clips.values()), axis=1)  # (rows, clips, 5)
    labels, lines = [row.label for row in rows], []
    for label, values in zip(labels, clips, strict=True):
        cells = [percent(share) for share in values[:, :3].mean(axis=0)]
        gain = values[:, 0] - clips[0, :, 0]
        cells += [change(values[:, column], clips[0, :, column]) for column in (0, 1)] if label != "none" else ["-"] * 2
        cells += [f"{(gain > CHANGE).sum()}/{(gain < -CHANGE).sum()}" if label != "none" else "-"]
        if reference:
            other = clips[labels.index(reference)]
            cells += [change(values[:, i], other[:, i]) if label != reference else "-" for i in (0, 1)]
        lines.append([label, *cells, *(f"{time:.2f}" for time in np.median(values[:, 3:], axis=0))])
    return title, headers, lines


def _write(shown, path, ledger):
    from ..files import write_text
    from ..test.analysis.tables import table

    text = "# Enhancers compared\n\nAUC, P@5, NP in percent; ± standard error over videos\n"
    for title, headers, rows in shown:
        print(f"{title}\n{table(headers, rows)}")
        lines = [headers, ["---", *["---:"] * (len(headers) - 1)], *rows]
        text += f"\n## {title}\n\n" + "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    write_text(path, text)
    print(f"{ledger.added} measured, the others known before; wrote {path} and {ledger.path.name} beside it")
