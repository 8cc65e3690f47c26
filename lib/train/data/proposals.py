"""Boxes around a target for an IoU-Net to rate."""

import numpy as np

from ...data import boxes

SPREADS = (0.01, 0.05, 0.1, 0.2, 0.3)  # of `overlap_proposals`, in mean sides of the target
LEAST_OVERLAP = 0.1
TRIES = 100
# Deviations of `density_proposals`: of the centre in target sizes, and of the logarithm of the size.
NARROW, WIDE = 0.05, 0.5


def overlap_proposals(rng: np.random.Generator, box_xywh: np.ndarray, count: int) -> np.ndarray:
    """Draw boxes that overlap the target by at least 0.1 IoU (ATOM, arXiv:1811.07628, section 3.1).

    Centre and size are moved by normal noise of one of SPREADS. A box that overlaps too little is drawn again with
    nine tenths of its noise; after 100 tries the target's own box is taken.

    Args:
        rng: of the sample.
        box_xywh (4,): of the target.
        count: number of boxes.

    Returns:
        (count, 4) xywh.
    """
    target = boxes.xywh_to_cxcywh(np.asarray(box_xywh, np.float64))
    spread = rng.choice(SPREADS, count) * np.sqrt(target[2:].prod())
    found = np.tile(target, (count, 1))
    left = np.arange(count)
    for _ in range(TRIES):
        drawn = target + rng.normal(0, 1, (len(left), 4)) * spread[left, None]
        small = target[2:] * rng.uniform(0.15, 0.5, (len(left), 2))
        drawn[:, 2:] = np.where(drawn[:, 2:] > 1, drawn[:, 2:], small)
        good = _overlaps(drawn, target) > LEAST_OVERLAP
        found[left[good]] = drawn[good]
        left = left[~good]
        if not len(left):
            break
        spread[left] *= 0.9
    return boxes.cxcywh_to_xywh(found)


def density_proposals(rng: np.random.Generator, box_xywh: np.ndarray, count: int) -> np.ndarray:
    """Draw boxes from a mixture of two normal distributions around the target (PrDiMP, arXiv:2003.12565, section 4.2).

    Arguments and result as for `overlap_proposals`. The noise is that of the centre in target sizes and of the
    logarithm of the size, half of the boxes with a deviation of NARROW and half with WIDE.
    """
    x, y, w, h = np.asarray(box_xywh, np.float64)
    noise = rng.normal(0, 1, (count, 4)) * rng.choice((NARROW, WIDE), count)[:, None]
    size = (w, h) * np.exp(noise[:, 2:])
    return np.concatenate([(x + w / 2, y + h / 2) + noise[:, :2] * (w, h) - size / 2, size], axis=1)


def _overlaps(boxes_cxcywh, target):
    """IoU of boxes (N, 4) with one (4,)."""
    low = np.maximum(boxes_cxcywh[:, :2] - boxes_cxcywh[:, 2:] / 2, target[:2] - target[2:] / 2)
    high = np.minimum(boxes_cxcywh[:, :2] + boxes_cxcywh[:, 2:] / 2, target[:2] + target[2:] / 2)
    shared = (high - low).clip(0).prod(axis=1)
    return shared / (boxes_cxcywh[:, 2:].prod(axis=1) + target[2:].prod() - shared)
