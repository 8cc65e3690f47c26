"""Results and ground truth in, one plain dictionary of every number out, for tables, plots, report and JSON."""

import numpy as np

from ...errors import UserError
from ..evaluation import results
from . import metrics, presence, statistics

SCORES = ("auc", "op50", "op75", "p20", "p5", "np_auc", "np20", "ao", "sr50", "sr75")
MEANS = SCORES[:7]  # those that are means over sequences, so that their spread over sequences tells how sure they are
MAIN = {"box": "auc", "point": "p5"}  # what ranks; the sizes of squares about points mean nothing
ALL_PAIRS = 5  # trackers; of more only the best is compared with each
CURVES = ("success", "precision", "normalised")


def evaluate(
    runs,
    dataset,
    sequences,
    protocol="clean",
    rounding="none",
    also_rounded=(),
    derive=False,
    dark=False,
    absent_thr=0.0,
    progress=iter,
):
    """Score trackers on one dataset. A pure function of the files; nothing is cached.

    runs: {label: results.Run or imported.Imported}. sequences: list of lib.data.sequence.Sequence. protocol, rounding:
    see metrics. also_rounded: other roundings whose scores go beside. derive: also attributes derived from the boxes,
    see lib/data/attributes.py. dark: also decode eight frames a sequence, score by darkness, and derive attributes from
    pixels. absent_thr: score below which nothing is reported, for the scores of points. progress: wraps the list of
    sequences it decodes.
    Returns {"dataset", "task", "protocol", "result_rounding", "sequences": [{"name", "video", "frames", "visible",
    "side_px", "category", "attributes", "derived", "brightness"}], "trackers": [{"label", "tracker", "config",
    "scored", "missing", "notes", "fps", "scores", "intervals", "rounded", "points", "presence", "trackingnet",
    "curves", "by_size", "by_attribute", "by_frame_attribute", "by_darkness", "sequences": [{"name", "fps", scores}]}],
    "comparisons": [{"first", "second", "score", "difference", "low", "high", "p", "sequences"}]}, the best by MAIN
    first, incomplete trackers last; shares in [0, 1], NaN where there is nothing to score. Intervals are of 95 % and
    over videos, see statistics. On GOT-10k AO and SR are clipped to the image, as there.
    Raises UserError where a result file is malformed or too short, or a tracker has no results at all.
    """
    facts = [_facts(sequence) for sequence in sequences]
    clipped = dataset.startswith("got10k")
    if derive or dark or clipped or sequences[0].task == "point":
        for sequence, fact in zip(progress(sequences), facts, strict=True):
            _look(sequence, fact, derive, dark, clipped)
    roundings = tuple(dict.fromkeys((rounding, *also_rounded)))
    trackers = [
        _tracker(label, run, dataset, sequences, facts, protocol, roundings, absent_thr) for label, run in runs.items()
    ]
    task = sequences[0].task
    main = MAIN[task]
    trackers.sort(key=lambda tracker: _rank(tracker, main))
    return {
        "dataset": dataset,
        "task": task,
        "protocol": protocol,
        "result_rounding": rounding,
        "sequences": facts,
        "trackers": trackers,
        "comparisons": _comparisons(trackers, main, {fact["name"]: fact["video"] for fact in facts}),
    }


def _rank(tracker, main):
    """The best first, but after the others what was scored on a part only: it does not compare."""
    return bool(tracker["missing"]), -np.nan_to_num(tracker["scores"][main], nan=-1)


def _facts(sequence):
    sizes = sequence.boxes_xywh[sequence.visible, 2:]
    return {
        "name": sequence.name,
        "video": sequence.video,
        "frames": len(sequence),
        "visible": len(sizes),
        "side_px": float(np.median(np.sqrt(sizes.prod(axis=1)))) if len(sizes) and sequence.task == "box" else np.nan,
        "category": sequence.category,
        "attributes": list(sequence.attributes),
        "derived": [],
        "brightness": np.nan,
        "bounds": None,
        "size": None,
    }


def _look(sequence, fact, derive, dark, clipped):
    """Add to the facts of a sequence what only its frames tell."""
    from ...data import attributes  # OpenCV, which boxes alone do without

    frames = sequence.frames()
    fact["size"] = size = attributes.frame_size(frames)
    if clipped:
        fact["bounds"] = size
    if derive:
        fact["derived"] += attributes.from_boxes(sequence, size, frames.fps)
    if dark:
        fact["brightness"] = metrics.brightness(frames, len(sequence))
        fact["derived"] += attributes.from_pixels(sequence, frames)


def _tracker(label, run, dataset, sequences, facts, protocol, roundings, absent_thr):
    scored, missing, notes, frames, seconds = [], [], [], 0, 0.0
    rows, others, answers, points = [], {name: [] for name in roundings[1:]}, [], []
    absent = not all(sequence.visible[1:].all() for sequence in sequences)
    for sequence, fact in zip(sequences, facts, strict=True):
        path = results.find(run, dataset, sequence.name)
        if path is None:
            missing.append(sequence.name)
            continue
        confidence, truth = None, sequence.to_file(sequence.boxes_xywh)
        if results.is_points(path):
            _, confidence, surplus = results.read_points(path, len(sequence))
            boxes = sequence.to_file(results.boxes_of(path, sequence))
        else:
            boxes, surplus = results.read(path, len(sequence))
        if surplus:
            notes.append(f"{path}: {surplus} rows more than frames, left out")
        one, *more = (
            metrics.score(metrics.ROUNDINGS[name](boxes), truth, sequence.visible, protocol, dataset, fact["bounds"])
            for name in roundings
        )
        for kept, other in zip(others.values(), more, strict=True):
            kept.append(other)
        if confidence is None and (absent or sequence.task == "point"):
            confidence = results.read_companion(path, "_score", len(sequence))
        answers.append((boxes, truth, sequence.visible, confidence))
        if sequence.task == "point":
            points.append(_points(boxes, truth, sequence.visible, confidence, fact["size"], absent_thr))
        times, fps = results.read_companion(path, "_time", len(sequence)), np.nan
        if times is not None and times.sum() > 0:
            frames, seconds, fps = frames + len(times), seconds + times.sum(), len(times) / times.sum()
        scored.append((one, sequence, fact))
        rows.append({"name": sequence.name, "fps": fps, **_plain(metrics.summary([one]), SCORES)})
    if not scored:
        raise UserError(f"no results of {run} for the {len(sequences)} sequences of {dataset}: looked in {run.folder}")
    scores = [one for one, *_ in scored]
    total = metrics.summary(scores)
    words = {word for sequence in sequences for word in sequence.frame_attributes}  # the same rows for every tracker
    flags = [dict.fromkeys(words, np.zeros(len(one), bool)) | one.frame_attributes for _, one, _ in scored]
    videos = [sequence.video for _, sequence, _ in scored]
    low, high = statistics.interval(np.array([[row[name] for name in MEANS] for row in rows]), videos=videos)
    return {
        "label": label,
        "tracker": run.tracker,
        "config": run.config,
        "scored": len(scored),
        "missing": missing,
        "notes": notes,
        "fps": frames / seconds if seconds else np.nan,
        "scores": _plain(total, SCORES),
        "intervals": {name: [float(low[i]), float(high[i])] for i, name in enumerate(MEANS)},
        "rounded": {name: _plain(metrics.summary(kept), SCORES) for name, kept in others.items()},
        "points": _by_rule(points),
        "presence": presence.summary(answers),
        "trackingnet": _trackingnet(answers) if dataset.startswith("trackingnet") else None,
        "curves": {name: total[name].tolist() for name in CURVES},
        "by_size": metrics.by_size(scores) if sequences[0].task == "box" else [],
        "by_attribute": _by_attribute(scored, facts),
        "by_frame_attribute": metrics.by_frame_attribute(scores, flags),
        "by_darkness": _by_darkness(scored),
        "sequences": rows,
    }


def _points(boxes, truth, visible, confidence, size, absent_thr):
    """(points found, true points, confidence, size) of a sequence, for point_metrics."""
    found, true = boxes[:, :2] + boxes[:, 2:] / 2, truth[:, :2] + truth[:, 2:] / 2
    confidence = np.ones(len(found)) if confidence is None else np.asarray(confidence)
    reported = np.isfinite(found).all(axis=1) & (confidence >= absent_thr)
    return np.where(reported[:, None], found, np.nan), np.where(visible[:, None], true, np.nan), confidence, size


def _by_rule(points):
    """{rule: scores} over all frames of sequences as `_points` has them; {} where there are none."""
    if not points:
        return {}
    from . import point_metrics  # OpenCV, which boxes alone do without

    return {rule: point_metrics.score_videos(points, rule)._asdict() for rule in point_metrics.RULES}


def _trackingnet(answers):
    known = [answer for answer in answers if answer[2].any()]
    scores = [metrics.trackingnet(boxes, truth, visible) for boxes, truth, visible, _ in known]
    return {name: float(np.mean([one[name] for one in scores])) for name in scores[0]} if scores else None


def _comparisons(trackers, main, videos):
    """The leader against every other tracker, and among ALL_PAIRS trackers or fewer the others against each other too.

    Each on the sequences that both have. videos: {sequence: its video}.
    """
    leaders = trackers if len(trackers) <= ALL_PAIRS else trackers[:1]
    compared = []
    for place, first in enumerate(leaders, 1):
        values = {row["name"]: row[main] for row in first["sequences"]}
        for other in trackers[place:]:
            both = {
                row["name"]: (values[row["name"]], row[main]) for row in other["sequences"] if row["name"] in values
            }
            pairs = np.array(list(both.values())).reshape(-1, 2)
            one = statistics.compare(*pairs.T, videos=[videos[name] for name in both])
            compared.append({"first": first["label"], "second": other["label"], "score": main, **one._asdict()})
    return compared


def _by_attribute(scored, facts):
    return [
        _group([one for one, _, fact in scored if name in fact[key]], attribute=name, derived=key == "derived")
        for key in ("attributes", "derived")
        for name in sorted({name for fact in facts for name in fact[key]})
    ]


def _by_darkness(scored):
    brightness = np.array([fact["brightness"] for *_, fact in scored])
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
