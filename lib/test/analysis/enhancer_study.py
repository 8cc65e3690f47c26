"""A comparison of enhancers: what it measures and keeps, and the tables that it makes of that."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ... import cli
from ...errors import MachineError, UserError
from .enhancers import NIGHTS, Bench, measure
from .statistics import mean_and_error
from .tables import Table, number, percent, word

EXPLAINED = "AUC, P@5, NP in percent; ± standard error over videos."
CHANGE = 0.01  # of AUC, from which a clip counts as better or worse


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


@dataclass
class Images:
    """A folder's images. items: what Bench's method takes of each. key: that tells folder and images from others."""

    items: list
    key: dict


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


def measure_images(
    method: str, images: Images, rows: Sequence[Row], ledger: "Ledger", bench: Bench, processes: int
) -> None:
    """Fill the ledger with the means over a folder's images. Raises UserError at one that cannot be read."""
    variants = [variant for row in rows for variant in row.variants]
    variants = list(dict.fromkeys(each for each in variants if not ledger.get(_image_key(method, images, each))))
    if not variants:
        return
    line, found = cli.ProgressLine("images"), {}
    for index, result in measure(bench, method, [(item, variants) for item in images.items], processes):
        if isinstance(result, UserError):
            raise result
        found[index] = result
        line.show(len(found), len(images.items), f"{method}s:")
    line.clear()
    means = np.stack([found[index] for index in range(len(images.items))], axis=-1)  # the order of adding counts
    for variant, values in zip(variants, means, strict=True):
        known = ~np.isnan(values)
        mean = np.where(known, values, 0).sum(axis=-1) / np.where(known.any(axis=-1), known.sum(axis=-1), np.nan)
        if method == "photograph":
            more = {"ms": bench.milliseconds(variant)}
        else:
            more = {"quartiles": np.nanquantile(values, (0.25, 0.5, 0.75), axis=-1)[:, 0].tolist()}
        ledger.put(_image_key(method, images, variant), {"mean": mean.tolist(), **more})


def measure_clips(datasets, trackers, rows, frames, ledger, bench, processes):
    """Fill the ledger with what every tracker does behind every enhancer. Returns {clip: why it failed}."""
    tasks, keys = [], []
    for sequence in (sequence for sequences in datasets.values() for sequence in sequences):
        missing = {}
        for tracker in trackers:
            for variant in (variant for row in rows for variant in row.variants):
                key = _clip_key(sequence, frames, tracker, variant)
                if ledger.get(key) is None:
                    missing[tracker.experiment, variant] = key
        if missing:
            keys.append(list(missing.values()))
            tasks.append((sequence, keys[-1][0]["frames"], list(missing)))
    bench.check({experiment for _, _, wanted in tasks for experiment, _ in wanted})
    line, failed = cli.ProgressLine("clips"), {}
    for done, (index, results) in enumerate(measure(bench, "clip", tasks, processes), 1):
        sequence = tasks[index][0]
        if isinstance(results, UserError):
            failed[f"{sequence.dataset}/{sequence.name}"] = results
            continue
        for key, values in zip(keys[index], results, strict=True):
            ledger.put(key, values)
        line.show(done, len(tasks), "tracked:")
    line.clear()
    return failed


# ---- tables ---------------------------------------------------------------------------------------------------------


def _table(name, title, headers, lines):
    return Table(name, title, tuple(headers), [[*map(word, line)] for line in lines], note=EXPLAINED)


def photograph_table(images, rows, ledger):
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
    return _table("photographs", title, ["enhancer", *headers, "ms"], lines)


def still_table(images, rows, ledger):
    lines = []
    for row in rows:
        records = [ledger.get(_image_key("still", images, variant)) for variant in row.variants]
        brightness, noise, ratio, white, order = np.mean([record["mean"] for record in records], axis=0)
        quartiles = np.mean([record["quartiles"] for record in records], axis=0)
        cells = [f"{value:.3f}" for value in (brightness, *quartiles)]
        lines.append(
            [row.label, *cells, number(noise, 4), number(ratio, 4), f"{100 * white:.2f}", f"{100 * order:.2f}"]
        )
    headers = ["enhancer", "brightness", "quartile", "median", "quartile"]
    headers += ["noise", "noise/brightness", "% over 0.95", "order error %"]
    return _table("stills", f"{len(images.items)} night photographs", headers, lines)


def tracked_tables(tracker, datasets, rows, reference, frames, ledger):
    """Tables of one tracker: one for each dataset, and one of the means over the datasets."""
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
    videos = [(dataset, video) for dataset, _, video in clips]

    def change(values, other):
        mean, error = mean_and_error(values - other, videos)
        return f"{100 * mean:+.2f} ±{number(100 * error, 2)}"

    headers = ["enhancer", "AUC", "P@5", "NP", "dAUC", "dP@5", "better/worse"]
    headers += [f"dAUC to {reference}", f"dP@5 to {reference}"] if reference else []
    headers += ["tracker ms", "enhancer ms"]
    if not clips:
        return _table("clips", title, headers, [])
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
    return _table("clips", title, headers, lines)
