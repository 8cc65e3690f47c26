"""Scores of one-pass evaluation. Pure functions of boxes; numpy only; no file, no cache.

Success: share of frames whose overlap is above a threshold, strictly, at 0, 0.05 ... 1; AUC is the mean of these 21
(OTB; a perfect tracker has 20/21). Precision: share of frames whose centres are at most 0, 1 ... 50 px apart.
Normalised precision: the same with the distance divided by the ground truth's width and height, at 0, 0.01 ... 0.5
(TrackingNet). A benchmark's score is the mean over its sequences. AO and SR are GOT-10k's: over all visible frames of
all sequences but the first of each; its clipping to the image needs the image's size, and is left out without it.

The first prediction is the box that was given, so it is replaced by the ground truth, as OTB, STARK and PyTracking do.
Protocols differ only in frames without a target:

    clean       they are left out. A sequence without any visible frame has no score (NaN) and is not averaged.
    stark       STARK, OSTrack and their family. Every frame counts. Where the target is absent (width or height not
                positive, or marked invisible) success is a miss, precision a miss and normalised precision a *hit*;
                under a dataset called `uav` precision is a hit too; on LaSOT both are misses. A prediction of zero
                size is replaced by the one before.
    pytracking  the same, but the target also counts as absent where its x or y is not positive.

What is to be compared with the published numbers of a benchmark:

    LaTOT       PR at 5 px is p5, NPR AUC is np_auc, SR AUC is auc; clean: a frame without a box is invalid there
    LaSOT       auc, p20, np_auc under stark. Its toolkit leaves absent frames out of the count of hits and keeps them
                in the number of frames, so that they are misses; a perfect tracker is below 20/21
    OTB, DTB70  auc, p20: no frame is without a target, so that protocols agree, but that OTB's toolkit counts a target
                at x <= 0 or y <= 0 as absent, as pytracking does
    UAV123      auc, p20 under pytracking: in OTB's toolkit and in PyTracking the error of an absent frame is -1, a hit
    GOT-10k     ao, sr50, sr75 under clean, with `size`; equal to the `got10k` package on the same files
    TrackingNet `trackingnet`
    NT-VOT211   auc, p20, np_auc under pytracking, results truncated: what its server is sent is whole pixels
    VOT         lib/test/analysis/vot.py, and presence.py for its long-term part
"""

from typing import NamedTuple

import numpy as np

from ...data.boxes import iou

PROTOCOLS = ("clean", "stark", "pytracking")
ROUNDINGS = {"none": lambda boxes: boxes, "round": np.rint, "trunc": np.trunc}
OVERLAPS = np.linspace(0, 1, 21)
PIXELS = np.arange(51.0)
FRACTIONS = np.arange(51) / 100
SIZE_EDGES = (8.0, 16.0, 32.0)  # px, side of the ground truth as sqrt(w h)
TRACKINGNET_STEPS = 21  # thresholds of each of its three curves
DARKNESS_EDGES = (0.05, 0.1, 0.2)  # mean of the brightest channel, [0, 1]
# Datasets whose absent frames the family's code scores as precision hits; DCPT labels all night benchmarks `uav`.
UAV = {"uav", "uav123", "uavdark135", "darktrack2021", "nat2021", "nat2021l"}


class Scores(NamedTuple):
    """One sequence. Frame values are of the frames that count, curves are shares in [0, 1], NaN if no frame counts."""

    success: np.ndarray  # (21,) at OVERLAPS
    precision: np.ndarray  # (51,) at PIXELS
    normalised: np.ndarray  # (51,) at FRACTIONS
    overlap: np.ndarray  # (V,) in [0, 1], of the V visible frames
    error: np.ndarray  # (V,) px between centres
    side: np.ndarray  # (V,) px, sqrt(w h) of the ground truth
    later: np.ndarray  # (V,) bool, not the first frame
    frame: np.ndarray  # (V,) number of the frame
    normalised_error: np.ndarray  # (V,) `error` as a share of the ground truth's width and height
    bounded: np.ndarray  # (V,) overlap in [0, 1] inside the image as GOT-10k clips, `overlap` where no size is given


def score(predicted_xywh, truth_xywh, visible, protocol="clean", dataset="", size=None):
    """Score one sequence.

    predicted_xywh: (N, 4) px, rows of NaN where the tracker said absent (a miss). truth_xywh: (N, 4) px, NaN or without
    area where absent. visible: (N,) bool. dataset: its name, for the special cases of `stark` and `pytracking`.
    size: (width, height) px of the images, for the clipping of GOT-10k's AO and SR. Returns Scores.
    """
    truth = np.asarray(truth_xywh, dtype=np.float64)
    predicted = np.array(predicted_xywh, dtype=np.float64)
    if predicted.shape != truth.shape:
        raise ValueError(f"{len(predicted)} predictions for {len(truth)} frames")
    present = np.asarray(visible, bool) & (truth[:, 2] > 0) & (truth[:, 3] > 0)
    if protocol == "pytracking":
        present &= (truth[:, 0] > 0) & (truth[:, 1] > 0)
    predicted[0] = truth[0]
    if protocol != "clean":
        predicted = _hold_zero_sized(predicted, truth)

    truth, predicted = truth[present], predicted[present]
    sizes = truth[:, 2:]
    with np.errstate(invalid="ignore"):
        offset = predicted[:, :2] - truth[:, :2] + (predicted[:, 2:] - sizes) / 2
    offset[np.isnan(offset[:, 0])] = np.inf
    overlap = _overlap(predicted, truth)
    error = np.hypot(*offset.T)
    with np.errstate(over="ignore"):  # of boxes all but without a side
        normalised = np.hypot(*(offset / sizes).T)

    absent, count = len(present) - len(truth), len(truth)
    if protocol == "clean":
        hits = normalised_hits = 0
    else:
        count = len(present)
        name = dataset.lower().partition("@")[0]  # by night it is the same dataset
        hits = absent if name in UAV else 0
        normalised_hits = 0 if name == "lasot" else absent
    with np.errstate(invalid="ignore"):
        return Scores(
            success=np.float64(len(truth) - _at_most(overlap, OVERLAPS)) / count,
            precision=(_at_most(error, PIXELS) + hits) / np.float64(count),
            normalised=(_at_most(normalised, FRACTIONS) + normalised_hits) / np.float64(count),
            overlap=overlap,
            error=error,
            side=np.sqrt(sizes[:, 0] * sizes[:, 1]),
            later=np.flatnonzero(present) > 0,
            frame=np.flatnonzero(present),
            normalised_error=normalised,
            bounded=overlap if size is None else _overlap(_bound(predicted, size), _bound(truth, size)),
        )


def trackingnet(predicted_xywh, truth_xywh, visible):
    """TrackingNet's three numbers for one sequence, as its public development kit computes them.

    Boxes, those of the ground truth too, are rounded to whole pixels; success at 21 thresholds in [0, 1], precision at
    21 in [0, 50] px, normalised precision at 21 in [0, 0.5], each the area under its curve by the trapezoidal rule over
    [0, 1] (a perfect success is 0.975). The first frame counts as a hit. A benchmark's number is the mean over its
    sequences. Returns {"success", "precision", "normalised_precision"}, NaN where no frame is visible.
    """
    one = score(np.rint(predicted_xywh), np.rint(truth_xywh), visible)
    count, steps = len(one.overlap), np.linspace(0, 1, TRACKINGNET_STEPS)
    hits = {
        "success": count - _at_most(one.overlap, steps),
        "precision": _at_most(one.error, 50 * steps),
        "normalised_precision": _at_most(one.normalised_error, 0.5 * steps),
    }
    return {name: float(np.trapezoid(_share(each, count), steps)) for name, each in hits.items()}


def summary(scores):
    """Mean over sequences. scores: list of Scores. Returns {name: float in [0, 1] or NaN}, and the mean curves.

    Keys: auc, op50, op75, p20, p5, np_auc, np20, ao, sr50, sr75; success, precision, normalised are arrays.
    """
    curves = {
        name: _mean(np.stack([getattr(one, name) for one in scores])) for name in ("success", "precision", "normalised")
    }
    tracked = np.concatenate([one.bounded[one.later] for one in scores])
    return {
        "auc": curves["success"].mean(),
        "op50": curves["success"][10],
        "op75": curves["success"][15],
        "p20": curves["precision"][20],
        "p5": curves["precision"][5],
        "np_auc": curves["normalised"].mean(),
        "np20": curves["normalised"][20],
        "ao": _share(tracked.sum(), len(tracked)),
        "sr50": _share((tracked > 0.5).sum(), len(tracked)),
        "sr75": _share((tracked > 0.75).sum(), len(tracked)),
        **curves,
    }


def by_size(scores):
    """Scores of all visible frames together, by the side of the target in them: SIZE_EDGES makes four rows.

    Returns a list of {"below": px or None, "from": px, "frames", "auc", "op50", "p20", "p5"}.
    """
    side, *values = _frames(scores, "side", "overlap", "error")
    bucket = np.searchsorted(SIZE_EDGES, side, side="right")
    return [
        {"from": low, "below": high, **_pooled(bucket == index, *values)}
        for index, (low, high) in enumerate(intervals(SIZE_EDGES))
    ]


def by_frame_attribute(scores, flags):
    """Scores of all visible frames together that have an attribute, for attributes annotated frame by frame.

    scores: list of Scores. flags: for each, {word: (N,) bool over all its frames}, of any words.
    Returns a list of {"attribute", "frames", "auc", "op50", "p20", "p5"}, by word.
    """
    values = _frames(scores, "overlap", "error")
    rows = []
    for word in sorted({word for words in flags for word in words}):
        having = [
            np.asarray(words[word], bool)[one.frame] if word in words else np.zeros(len(one.frame), bool)
            for one, words in zip(scores, flags, strict=True)
        ]
        rows.append({"attribute": word, **_pooled(np.concatenate(having), *values)})
    return rows


def intervals(edges):
    """[(from, below)] of the buckets between edges, the last one open (None)."""
    return list(zip((0.0, *edges), (*edges, None), strict=True))


def brightness(frames, count, samples=8):
    """Mean over `samples` evenly spread frames of the brightest channel of each pixel, in [0, 1] (spec enhancer, 7).

    frames: anything with [i] -> (H, W, 3) uint8. count: how many there are. Every fourth pixel is enough.
    """
    chosen = np.unique(np.linspace(0, count - 1, samples).round().astype(int))
    return float(np.mean([frames[int(index)][::4, ::4].max(axis=2).mean() for index in chosen]) / 255)


def _overlap(predicted, truth):
    """IoU in [0, 1], 0 where there is no prediction."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(np.minimum(iou(predicted, truth), 1))  # equal boxes may exceed it in the last bit


def _bound(boxes, size):
    """As GOT-10k's toolkit: a corner left of or above the image is moved onto its border, the box keeps its size."""
    corner = np.clip(boxes[:, :2], 0, size)
    return np.concatenate([corner, np.clip(boxes[:, 2:], 0, size - corner)], axis=1)


def _frames(scores, *names):
    return [np.concatenate([getattr(one, name) for one in scores]) for name in names]


def _pooled(inside, overlap, error):
    """Scores of the frames that are `inside`, (V,) bool."""
    frames = int(inside.sum())
    success = _share(frames - _at_most(overlap[inside], OVERLAPS), frames)
    p20, p5 = (float(_share(np.count_nonzero(error[inside] <= pixels), frames)) for pixels in (20, 5))
    return {"frames": frames, "auc": float(np.mean(success)), "op50": float(success[10]), "p20": p20, "p5": p5}


def _hold_zero_sized(predicted, truth):
    zero = (predicted[:, 2:] == 0).any(axis=1) & ~np.isnan(truth).any(axis=1)
    for index in np.flatnonzero(zero[1:]) + 1:
        predicted[index] = predicted[index - 1]
    return predicted


def _at_most(values, thresholds):
    """(T,) how many of the values are at most each threshold."""
    reached_at = np.searchsorted(thresholds, values)
    return np.bincount(reached_at, minlength=len(thresholds) + 1)[:-1].cumsum()


def _share(part, whole):
    return part / whole if whole else part * np.nan


def _mean(curves):
    counted = curves[~np.isnan(curves).any(axis=1)]
    return counted.mean(axis=0) if len(counted) else np.full(curves.shape[1], np.nan)
