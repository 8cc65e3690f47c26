"""Results and ground truth in, one plain dictionary of every number out, for tables, plots, report and JSON."""

import numpy as np

from lib.errors import UserError
from lib.test.analysis import metrics
from lib.test.evaluation import results

SCORES = ("auc", "op50", "op75", "p20", "p5", "np_auc", "np20", "ao", "sr50", "sr75")
CURVES = ("success", "precision", "normalised")


def evaluate(runs, dataset, sequences, protocol="clean", rounding="none", dark=False, progress=iter):
    """Score trackers on one dataset. A pure function of the files; nothing is cached.

    runs: {label: results.Run}. sequences: list of lib.data.sequence.Sequence. protocol, rounding: see metrics.
    dark: also decode eight frames a sequence, and score by darkness. progress: wraps the list of sequences it decodes.
    Returns {"dataset", "protocol", "result_rounding", "sequences": [{"name", "frames", "visible", "side_px",
    "attributes", "brightness"}], "trackers": [{"label", "tracker", "config", "scored", "missing", "notes", "fps",
    "scores", "curves", "by_size", "by_attribute", "by_darkness", "sequences": [{"name", "fps", scores}]}]}, best AUC
    first and incomplete trackers last; shares in [0, 1], NaN where there is nothing to score.
    Raises UserError where a result file is malformed or too short, or a tracker has no results at all.
    """
    facts = [_facts(sequence) for sequence in sequences]
    if dark:
        for sequence, fact in zip(progress(sequences), facts, strict=True):
            fact["brightness"] = metrics.brightness(sequence.frames(), len(sequence))
    trackers = [_tracker(label, run, dataset, sequences, facts, protocol, rounding) for label, run in runs.items()]
    return {
        "dataset": dataset,
        "protocol": protocol,
        "result_rounding": rounding,
        "sequences": facts,
        "trackers": sorted(trackers, key=_rank),
    }


def _rank(tracker):
    """The best AUC first, but after the others what was scored on a part only: it does not compare."""
    return bool(tracker["missing"]), -np.nan_to_num(tracker["scores"]["auc"], nan=-1)


def _facts(sequence):
    sizes = sequence.boxes_xywh[sequence.visible, 2:]
    return {
        "name": sequence.name,
        "frames": len(sequence),
        "visible": len(sizes),
        "side_px": float(np.median(np.sqrt(sizes[:, 0] * sizes[:, 1]))) if len(sizes) else np.nan,
        "attributes": list(sequence.attributes),
        "brightness": np.nan,
    }


def _tracker(label, run, dataset, sequences, facts, protocol, rounding):
    scored, missing, notes, frames, seconds = [], [], [], 0, 0.0
    rows = []
    for sequence, fact in zip(sequences, facts, strict=True):
        path = results.find(run, dataset, sequence.name)
        if path is None:
            missing.append(sequence.name)
            continue
        boxes, surplus = results.read(path, len(sequence))
        if surplus:
            notes.append(f"{path}: {surplus} rows more than frames, left out")
        boxes = metrics.ROUNDINGS[rounding](boxes)
        one = metrics.score(boxes, sequence.boxes_xywh, sequence.visible, protocol, dataset)
        times = results.read_companion(path, "_time", len(sequence))
        if times is not None and times.sum() > 0:
            frames, seconds = frames + len(times), seconds + times.sum()
        fps = len(times) / times.sum() if times is not None and times.sum() > 0 else np.nan
        scored.append((one, fact))
        rows.append({"name": sequence.name, "fps": fps, **_plain(metrics.summary([one]), SCORES)})
    if not scored:
        folders = " and ".join(str(folder) for folder in (run.folder / dataset, run.folder))
        raise UserError(f"no results of {run} for the {len(sequences)} sequences of {dataset}: looked in {folders}")
    total = metrics.summary([one for one, _ in scored])
    return {
        "label": label,
        "tracker": run.tracker,
        "config": run.config,
        "scored": len(scored),
        "missing": missing,
        "notes": notes,
        "fps": frames / seconds if seconds else np.nan,
        "scores": _plain(total, SCORES),
        "curves": {name: total[name].tolist() for name in CURVES},
        "by_size": metrics.by_size([one for one, _ in scored]),
        "by_attribute": _by_attribute(scored, sorted({name for fact in facts for name in fact["attributes"]})),
        "by_darkness": _by_darkness(scored),
        "sequences": rows,
    }


def _by_attribute(scored, names):
    return [_group([one for one, fact in scored if name in fact["attributes"]], attribute=name) for name in names]


def _by_darkness(scored):
    brightness = np.array([fact["brightness"] for _, fact in scored])
    if np.isnan(brightness).all():
        return []
    bucket = np.searchsorted(metrics.DARKNESS_EDGES, brightness, side="right")
    return [
        _group([scored[i][0] for i in np.flatnonzero(bucket == index)], **{"from": low, "below": high})
        for index, (low, high) in enumerate(metrics.intervals(metrics.DARKNESS_EDGES))
    ]


def _group(scores, **what):
    names = ("auc", "op50", "p20", "p5", "np_auc")
    values = _plain(metrics.summary(scores), names) if scores else dict.fromkeys(names, np.nan)
    return {**what, "sequences": len(scores), **values}


def _plain(summary, names):
    return {name: float(summary[name]) for name in names}
