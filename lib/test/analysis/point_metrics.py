"""Scores of points: how well the position of a ball is told frame by frame. Pure functions; numpy and OpenCV only.

Each frame is one of five:

    TP    the ball is seen and reported within the tolerance
    FP1   the ball is seen and reported elsewhere
    FP2   no ball is seen and one is reported
    FN    the ball is seen and none is reported
    TN    no ball is seen and none is reported

What "within" means differs from paper to paper, and so do their numbers for the same result. A rule has a name:

    4@512x288         at most 4 cells of a frame scaled to 512x288, positions with their fractions
    4@original        less than 4 px of the original frame; WASB's rule
    5@1280x720        less than 5 px of a frame scaled to 1280x720, positions with their fractions
    tracknetv3        as TrackNetV3's code: both positions truncated to cells of 512x288, at most 4 cells. At 1280x720
                      a position 12.4 px away is still a hit. The point (0, 0) means "no ball"
    tracknetv3_maps   the same from heat maps: the truth is read back from the disc drawn for it, which is displaced
                      where the border of the map cuts it
    tracknetv1        as the public port of TrackNet V1: less than 5 px of 1280x720, and x = 0 means "no ball".
                      There every visibility but 0 counts as seen, and recall and F1 are the strict ones

Recall is TP / (TP + FN) in TrackNetV2, TrackNetV3 and WASB: a ball reported elsewhere is no miss. Strict recall is
TP / (TP + FN + FP1), the share of all seen balls. A ratio of nothing to nothing is 0, as in all of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...data.heatmap import released_cell, released_disc
from ...models.ball.decode import released_locate

KINDS = ("TP", "TN", "FP1", "FP2", "FN")
MAP = (512, 288)


class Rule(NamedTuple):
    """When a reported position is a hit.

    within: function of (found (N, 2), true (N, 2), (width, height)), px -> (N,) bool.
    reported: function of the same -> (N,) bool: False where a position stands for "no ball" in that code.
    true: the same for the truth; None where only its visibility counts.
    """

    within: Callable
    reported: Callable | None = None
    true: Callable | None = None


class Scores(NamedTuple):
    """Counts of the five kinds of frame, and what follows from them.

    accuracy: (TP + TN) / all. precision: TP / (TP + FP1 + FP2). recall: TP / (TP + FN). strict_recall:
    TP / (TP + FN + FP1). f1, strict_f1: with either recall. miss_rate: FN / (TP + FN). ap: WASB's average precision.
    strict_ap: average precision over all seen balls. rmse: px of the original frame, over frames that see and report
    one, near or far.
    """

    tp: int
    tn: int
    fp1: int
    fp2: int
    fn: int
    accuracy: float
    precision: float
    recall: float
    strict_recall: float
    f1: float
    strict_f1: float
    miss_rate: float
    ap: float
    strict_ap: float
    rmse: float


def classify(found: np.ndarray, true: np.ndarray, size: tuple, rule: str = "4@512x288") -> np.ndarray:
    """Say of each frame which of the five kinds it is.

    Args:
        found (N, 2): reported positions, px of the original frame; not finite where none is reported.
        true (N, 2): true positions, the same; not finite where no ball is seen.
        size (width, height): of the original frame, px.
        rule: a key of RULES.

    Returns:
        (N,) of the words in KINDS.
    """
    found, true = np.asarray(found, np.float64), np.asarray(true, np.float64)
    how = RULES[rule]
    reported, seen = np.isfinite(found).all(axis=1), np.isfinite(true).all(axis=1)
    found, true = np.where(reported[:, None], found, 0), np.where(seen[:, None], true, 0)
    if how.reported:
        reported = reported & how.reported(found, size)
    if how.true:
        seen = seen & how.true(true, size)
    near = how.within(found, true, size)
    return np.select(
        [seen & reported & near, seen & reported, reported, seen], ["TP", "FP1", "FP2", "FN"], default="TN"
    )


def score_points(
    found: np.ndarray,
    true: np.ndarray,
    size: tuple,
    rule: str = "4@512x288",
    confidences: np.ndarray | None = None,
) -> Scores:
    """Score reported positions.

    Args:
        found, true, size, rule: see `classify`. Frames of several videos of one size may be scored together.
        confidences (N,): of the reported positions; without them average precision is NaN.

    Returns:
        Counts and scores.
    """
    return score_videos([(found, true, confidences, size)], rule)


def score_videos(videos: list[tuple], rule: str = "4@512x288") -> Scores:
    """Score the frames of several videos together, each with the size of its own frames.

    Args:
        videos: [(found, true, confidences, size)], each as for `score_points`.
        rule: a key of RULES.

    Returns:
        Counts and scores.
    """
    kinds = np.concatenate([classify(found, true, size, rule) for found, true, _, size in videos])
    found, true = (np.concatenate([np.asarray(video[k], np.float64) for video in videos]) for k in range(2))
    parts = [confidences for *_, confidences, _ in videos]
    confidences = None if any(part is None for part in parts) else np.concatenate(parts)
    both = np.isfinite(np.concatenate([found, true], axis=1)).all(axis=1)
    squared = ((found[both] - true[both]) ** 2).sum(axis=1)
    scores = from_counts(*(int((kinds == kind).sum()) for kind in KINDS))
    return scores._replace(
        rmse=float(np.sqrt(squared.mean())) if both.any() else np.nan,
        ap=np.nan if confidences is None else released_average_precision(kinds, confidences),
        strict_ap=np.nan if confidences is None else average_precision(kinds, confidences),
    )


def from_counts(tp: int, tn: int, fp1: int, fp2: int, fn: int) -> Scores:
    """Scores that follow from counts alone.

    Args:
        tp, tn, fp1, fp2, fn: number of frames of each kind.

    Returns:
        Scores, of which ap, strict_ap and rmse are NaN.
    """
    precision, recall, strict = (_ratio(tp, total) for total in (tp + fp1 + fp2, tp + fn, tp + fn + fp1))
    return Scores(
        tp, tn, fp1, fp2, fn,
        accuracy=_ratio(tp + tn, tp + tn + fp1 + fp2 + fn),
        precision=precision,
        recall=recall,
        strict_recall=strict,
        f1=_ratio(2 * precision * recall, precision + recall),
        strict_f1=_ratio(2 * precision * strict, precision + strict),
        miss_rate=_ratio(fn, tp + fn),
        ap=np.nan,
        strict_ap=np.nan,
        rmse=np.nan,
    )  # fmt: skip


def released_average_precision(kinds: np.ndarray, confidences: np.ndarray) -> float:
    """WASB's average precision: the best precision at each level of recall, levels counted in TP + FN.

    Args:
        kinds (N,): of frames, see `classify`.
        confidences (N,): of the reported positions.

    Returns:
        A number in [0, 1], 0 where there is no TP and no FN.
    """
    hits = _hits(kinds, confidences)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return _ratio(precision[hits].sum(), np.isin(kinds, ("TP", "FN")).sum())


def average_precision(kinds: np.ndarray, confidences: np.ndarray) -> float:
    """Area under the precision that can still be reached at each recall, of all balls that are seen (VOC 2010).

    Args:
        kinds (N,): of frames, see `classify`.
        confidences (N,): of the reported positions.

    Returns:
        A number in [0, 1], 0 where no ball is seen.
    """
    hits = _hits(kinds, confidences)
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    reached = np.maximum.accumulate(precision[::-1])[::-1]
    return _ratio(reached[hits].sum(), np.isin(kinds, ("TP", "FN", "FP1")).sum())


def _hits(kinds, confidences):
    """Of the reported positions, surest first: is it a TP?"""
    reported = np.flatnonzero(np.isin(kinds, ("TP", "FP1", "FP2")))
    order = np.argsort(-np.asarray(confidences, np.float64)[reported], kind="stable")
    return kinds[reported[order]] == "TP"


def _ratio(part, whole):
    return float(part / whole) if whole else 0.0


def _distance(found, true, scale):
    return np.hypot(*((found - true) * scale).T)


def _scaled(limit, frame=None, closed=False):
    """Positions with fractions, in a frame of this size or the original. closed: the limit itself is a hit."""

    def within(found, true, size):
        distance = _distance(found, true, np.divide(frame, size) if frame else 1.0)
        return distance <= limit if closed else distance < limit

    return within


def _cells(points, size):
    return np.array([released_cell(point, size, MAP) for point in points]).reshape(-1, 2)


def _read_back(cells):
    """Cells that TrackNetV3 reads from the discs drawn at cells."""
    return np.array([released_locate(released_disc(tuple(cell), MAP)).cell for cell in cells]).reshape(-1, 2)


def _truncated(found, true, size):
    return _distance(_cells(found, size), _cells(true, size), 1.0) <= 4


def _from_maps(found, true, size):
    return _distance(_cells(found, size), _read_back(_cells(true, size)), 1.0) <= 4


def _not_at_origin(points, size):
    return (_cells(points, size) != 0).any(axis=1)


RULES = {
    "4@512x288": Rule(_scaled(4, MAP, closed=True)),
    "4@original": Rule(_scaled(4)),
    "5@1280x720": Rule(_scaled(5, (1280, 720))),
    "tracknetv3": Rule(_truncated, _not_at_origin, _not_at_origin),
    "tracknetv3_maps": Rule(_from_maps, None, _not_at_origin),
    "tracknetv1": Rule(_scaled(5, (1280, 720)), lambda points, size: points[:, 0] != 0),
}
