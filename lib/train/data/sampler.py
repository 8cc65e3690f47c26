"""Which frames make a sample: templates, then search frames in the order of time (spec query.md B.3).

A pair is a clip of one search frame. All randomness comes from the generator passed in.
"""

import numpy as np

CLOSEST = 0.5  # share of samples whose last template is the last visible frame before the search frames
STRIDES = ((0.5, 1, 1), (0.7, 2, 2), (0.9, 3, 5), (1.0, 6, 20))  # (cumulated share, from, to): frames between frames


def usable(visible, gap):
    """Whether frames can be drawn: a visible still, or two visible frames at most `gap` apart. visible: (N,) bool."""
    ids = np.flatnonzero(visible)
    return len(ids) > 0 and (len(visible) == 1 or bool((np.diff(ids) <= gap).any()))


def draw_frames(rng, visible, templates, searches, gap, absent=False):
    """Draw the frames of a sample from a sequence for which `usable` holds.

    Args:
        rng: np.random.Generator.
        visible: (N,) bool.
        templates, searches: how many of each. Templates are visible and precede the first search frame, which is
            visible as well; of several at least half are.
        gap: frames at most between a template and the first search frame.
        absent: rather than a visible one, take a frame without target as the first search frame, where there is one.

    Returns:
        (template ids, search ids), lists of int in ascending order; the last search id is repeated where the sequence
        is too short, and a still is all of them.
    """
    length = len(visible)
    if length == 1:
        return [0] * templates, [0] * searches
    before = _last_visible(visible)
    frames = np.arange(length)
    startable = (before >= 0) & (frames - before <= gap)
    missing = startable & ~visible
    if absent and missing.any():
        ids = _clip(rng, frames[missing], ~visible, searches)
    else:
        ids = _clip(rng, frames[startable & visible], visible, searches)
    return _templates(rng, visible, ids[0], templates, gap), ids


def _last_visible(visible):
    """(N,) the last visible frame before each one, -1 where there is none."""
    last = np.maximum.accumulate(np.where(visible, np.arange(len(visible)), -1))
    return np.concatenate([[-1], last[:-1]])


def _clip(rng, starts, wanted, count):
    """`count` frames at a constant stride from one of `starts`, at least half of them `wanted`."""
    share, place = rng.random(2)
    stride = next(int(rng.integers(low, high + 1)) for limit, low, high in STRIDES if share < limit)
    if count > 1:
        while stride > 0:
            fitting = starts[starts + (count - 1) * stride < len(wanted)]
            steps = wanted[fitting[:, None] + np.arange(count) * stride]
            fitting = fitting[steps.mean(axis=1) >= 0.5] if len(fitting) else fitting
            if len(fitting):
                starts = fitting
                break
            stride -= 1
    start = int(starts[int(place * len(starts))])
    return [min(start + step * max(stride, 1), len(wanted) - 1) for step in range(count)]


def _templates(rng, visible, start, count, gap):
    """`count` visible frames in [start - gap, start), ascending; some are repeated where there are fewer."""
    low = max(start - gap, 0)
    pool = low + np.flatnonzero(visible[low:start])
    ids = [int(rng.choice(pool))]
    while len(ids) < count:
        pool = pool[pool >= ids[-1]]
        ids.append(int(pool[-1] if rng.random() < CLOSEST else rng.choice(pool)))
    return ids
