"""Does the score say when the target is lost? Reliability of a tracker's confidence, in bins and as one number.

A score is worth something where frames of a high score are held and frames of a low one are not. AUROC is the chance
that a frame in which the target is there and held (IoU above HELD) has a higher score than one in which it is not, half
of the ties counted (Hanley and McNeil, 1982): 50 % for a score that says nothing.
"""

import numpy as np

from ...data.boxes import iou
from .tables import Cell, Table, number_cell, word

HELD = 0.5  # IoU
EDGES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def reliability(answers: list) -> dict | None:
    """Score the scores of one tracker.

    Args:
        answers: (predicted_xywh (N, 4) px, truth_xywh (N, 4) px, visible (N,) bool, score (N,) or None), one a
            sequence. The first frame, whose box was given, and frames labelled neither visible nor absent count not.

    Returns:
        {"auroc", "threshold", "present": share of the frames with a score above it, "bins": [{"low", "high", "frames",
        "held", "wrong", "absent"}]}, shares of the bin's frames in [0, 1]. threshold: the score that tells held frames
        from others best, by the largest sum of sensitivity and specificity (Youden, 1950). None without scores.
    """
    kept = [one for one in answers if one[3] is not None and len(one[0]) > 1]
    if not kept:
        return None
    score = np.concatenate([np.asarray(one[3], np.float64)[1:] for one in kept])
    visible = np.concatenate([np.asarray(one[2], bool)[1:] for one in kept])
    overlap = np.concatenate([iou(np.asarray(one[0])[1:], np.asarray(one[1])[1:]) for one in kept])
    held = visible & (np.nan_to_num(overlap) > HELD)
    place = np.clip(np.searchsorted(EDGES, score, side="right") - 1, 0, len(EDGES) - 2)
    bins = []
    for number, (low, high) in enumerate(zip(EDGES[:-1], EDGES[1:], strict=True)):
        here = place == number
        if here.any():
            shares = {"held": held, "wrong": visible & ~held, "absent": ~visible}
            means = {word: float(flags[here].mean()) for word, flags in shares.items()}
            bins.append({"low": low, "high": high, "frames": int(here.sum()), **means})
    threshold = _threshold(score, held)
    present = float((score > threshold).mean()) if np.isfinite(threshold) else np.nan
    return {"auroc": auroc(score, held), "threshold": threshold, "present": present, "bins": bins}


def auroc(score: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve of scores (N,) for the flags `positive` (N,); NaN where all flags are one."""
    ones = int(positive.sum())
    if not 0 < ones < len(score):
        return float("nan")
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return float((ranks[positive].sum() - ones * (ones + 1) / 2) / (ones * (len(score) - ones)))


def _threshold(score, positive):
    """The score above which frames are called held: halfway between the two that it parts."""
    if positive.all() or not positive.any():
        return float("nan")
    values, inverse = np.unique(score, return_inverse=True)
    right = np.bincount(inverse, positive, len(values)) / positive.sum()
    wrong = np.bincount(inverse, ~positive, len(values)) / (~positive).sum()
    best = int(np.argmax(np.cumsum(wrong) - np.cumsum(right)))
    return float(values[best : best + 2].mean())


def table(labels: dict, dataset: str) -> Table:
    """A Table of {label: what `reliability` returns}: a row for each tracker and bin of the score."""
    headers = ("tracker", "score", "frames", "held", "elsewhere", "absent")
    rows = []
    for label, found in labels.items():
        for one in found["bins"]:
            shares = [number_cell(100 * one[kind], 1) for kind in ("held", "wrong", "absent")]
            frames = Cell(str(one["frames"]), one["frames"])
            rows.append([word(label), word(f"{one['low']:.1f}-{one['high']:.1f}"), frames, *shares])
    note = f"Held: IoU above {HELD:g}; in percent of a row's frames."
    return Table("reliability", f"Reliability of the score: {dataset}", headers, rows, left=2, note=note)
