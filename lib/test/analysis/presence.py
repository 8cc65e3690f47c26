"""Trackers that may say that the target is absent: tracking precision, recall and F-measure of VOT's long-term part.

Lukezic et al., Now you see me: evaluating performance in long-term visual tracking, 2018. A tracker answers a box and a
confidence in every frame; at a threshold, boxes of less confidence count as not given. Precision is the mean overlap of
the boxes given, 0 where the target is absent; recall the mean overlap over the frames with a target, 0 where no box is
given. Both are means over sequences, F = 2 P R / (P + R) is of these means, and what counts is the threshold with the
largest F. As in VOT's toolkit precision is 1 where no box is given at all, and 100 thresholds are tried. Unlike there,
the first frame, whose box was given to the tracker, is in neither.
"""

from typing import NamedTuple

import numpy as np

from ...data.boxes import iou

THRESHOLDS = 100


class Answers(NamedTuple):
    """Of one sequence, without its first frame."""

    visible: np.ndarray  # (N,) bool
    given: np.ndarray  # (N,) bool, there is a box
    overlap: np.ndarray  # (N,) in [0, 1], 0 where there is no box or no target
    confidence: np.ndarray  # (N,)


def summary(answers):
    """Score one tracker where the target may be absent.

    answers: list of (predicted_xywh (N, 4) px with rows of NaN where the tracker said absent, truth_xywh (N, 4) px,
    visible (N,) bool, confidence (N,) or None), one a sequence. Where any of them lacks confidences none are used:
    absent is then only what a row of NaN says.
    Returns {"precision", "recall", "f", "threshold": confidence from which on a box counts, NaN where they are not
    used, "absent_frames", "false_alarms": share of the absent frames where a box was given, "not_reported": share of
    the visible frames where none was}, shares in [0, 1]; None where no frame but the first is without its target, since
    precision and recall then say no more than mean overlap.
    """
    confident = all(confidence is not None for *_, confidence in answers)
    sequences = [_answers(*answer, confident) for answer in answers if len(answer[0]) > 1]
    visible = np.concatenate([one.visible for one in sequences]) if sequences else np.ones(0, bool)
    if visible.all():
        return None
    thresholds = _thresholds(np.concatenate([one.confidence[one.given] for one in sequences]))
    precision, recall = (_mean(curves) for curves in zip(*(_curves(one, thresholds) for one in sequences), strict=True))
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    best = int(np.argmax(f))
    given = np.concatenate([one.given & (one.confidence >= thresholds[best]) for one in sequences])
    return {
        "precision": float(precision[best]),
        "recall": float(recall[best]),
        "f": float(f[best]),
        "threshold": float(thresholds[best]) if confident else np.nan,
        "absent_frames": int((~visible).sum()),
        "false_alarms": float(given[~visible].mean()),
        "not_reported": float((~given[visible]).mean()) if visible.any() else np.nan,
    }


def _answers(predicted, truth, visible, confidence, confident):
    predicted, truth = np.asarray(predicted, np.float64)[1:], np.asarray(truth, np.float64)[1:]
    visible, given = np.asarray(visible, bool)[1:], ~np.isnan(predicted).any(axis=1)
    overlap = np.zeros(len(truth))
    both = visible & given
    overlap[both] = np.minimum(iou(predicted[both], truth[both]), 1)
    return Answers(visible, given, overlap, np.asarray(confidence)[1:] if confident else np.zeros(len(truth)))


def _thresholds(confidences):
    """Ascending, evenly spread over the confidences by rank; the first lets every box count."""
    if not len(confidences):
        return np.zeros(1)
    return np.unique(np.quantile(confidences, np.linspace(0, 1, THRESHOLDS), method="nearest"))


def _curves(one, thresholds):
    """Precision and recall at each threshold, recall NaN where the target is never there."""
    order = np.argsort(one.confidence[one.given])
    confidence, overlap = one.confidence[one.given][order], one.overlap[one.given][order]
    first = np.searchsorted(confidence, thresholds)  # the boxes from here on count
    total = np.append(overlap[::-1].cumsum()[::-1], 0)[first]
    counted, visible = len(overlap) - first, one.visible.sum()
    precision = np.where(counted > 0, total / np.maximum(counted, 1), 1)
    return precision, total / visible if visible else np.full(len(thresholds), np.nan)


def _mean(curves):
    """Over the sequences that have the curve."""
    curves = np.stack(curves)
    known = curves[~np.isnan(curves[:, 0])]
    return known.mean(axis=0) if len(known) else curves[0]
