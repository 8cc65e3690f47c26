"""Where a tracker loses its target, and the overlap along a sequence. Pure functions of boxes; numpy only.

A tracker is lost from a frame on if its overlap with the target is below 0.1 there and in every visible frame after it
for at least 10 visible frames: the failure of VOT2020's anchor-based protocol (Kristan et al., The Eighth Visual Object
Tracking VOT2020 Challenge Results: below 0.1, and not above it again within 10 frames). It is lost until the first
visible frame with more overlap, or to the end. Frames without a target neither begin, end nor count; a tracker that
says the target is absent where it is visible has no overlap.
"""

from dataclasses import dataclass

import numpy as np

from ...data.boxes import iou

FAILED = 0.1  # overlap
PATIENCE = 10  # visible frames


@dataclass(frozen=True)
class Loss:
    """before: the last visible frame before it. start: the first lost. later: the 10th lost. stop: the first that is
    found again, or the number of frames. count: lost visible frames."""

    before: int
    start: int
    later: int
    stop: int
    count: int


def overlaps(predicted_xywh, truth_xywh, visible):
    """(N,) overlap in [0, 1] with the truth, NaN where the target is not visible, 0 where there is no prediction.

    predicted_xywh, truth_xywh: (N, 4) px in the same base. The first prediction is the box that was given, so that it
    counts as the truth, as in scoring.
    """
    values = np.full(len(truth_xywh), np.nan)
    seen = np.flatnonzero(visible)
    with np.errstate(invalid="ignore"):
        values[seen] = np.nan_to_num(iou(predicted_xywh[seen], truth_xywh[seen]), nan=0.0)
    values[seen[seen == 0]] = 1.0
    return np.minimum(values, 1)


def losses(overlap):
    """Every Loss of a sequence, in the order of time. overlap: (N,) as `overlaps` returns it."""
    seen = np.flatnonzero(~np.isnan(overlap))
    failed = np.concatenate([[False], overlap[seen] < FAILED, [False]])
    first, after = np.flatnonzero(failed[1:] & ~failed[:-1]), np.flatnonzero(failed[:-1] & ~failed[1:])
    return [
        Loss(
            before=int(seen[max(begin - 1, 0)]),
            start=int(seen[begin]),
            later=int(seen[begin + PATIENCE - 1]),
            stop=int(seen[end]) if end < len(seen) else len(overlap),
            count=int(end - begin),
        )
        for begin, end in zip(first, after, strict=True)
        if end - begin >= PATIENCE
    ]


def worst_loss(overlap):
    """The Loss with most lost frames, the first of equals, or None where the tracker is never lost."""
    return max(losses(overlap), key=lambda loss: loss.count, default=None)


def in_words(overlap):
    """The losses of a tracker on a sequence, as a phrase: `lost in frames 120-199 and from 240 to the end`."""
    spans = losses(overlap)
    if not spans:
        return "never lost"
    parts = [f"{one.start}-{one.stop - 1}" for one in spans if one.stop < len(overlap)]
    words = [f"in frames {', '.join(parts)}"] if parts else []
    if len(parts) < len(spans):
        words.append(f"from frame {spans[-1].start} to the end")
    return f"lost {' and '.join(words)}"


def binned(overlap, most):
    """(M, 2) frame and mean overlap of at most `most` stretches of equal length; NaN where nothing is visible."""
    edges = np.linspace(0, len(overlap), min(most, len(overlap)) + 1).round().astype(int)
    parts = [overlap[low:high] for low, high in zip(edges[:-1], edges[1:], strict=True)]
    means = [np.mean(part[~np.isnan(part)]) if not np.isnan(part).all() else np.nan for part in parts]
    return np.stack([(edges[:-1] + edges[1:]) / 2, means], axis=1)
