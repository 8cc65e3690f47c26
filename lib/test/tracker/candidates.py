"""Look-alikes of the target, followed from frame to frame so that the target is not confused with one of them.

Every hill of the score map is a candidate; those of two frames are paired by predicted place and score. What KeepTrack
(arXiv:2103.16556) learns, by hand (spec tracker.md A.8.7). Lengths count in target sizes. States are values.
"""

from dataclasses import dataclass

import numpy as np

from lib.test.tracker.assignment import pairs

GATE = 1.5  # sizes, beside the way of a frame, that a candidate may be off its predicted place
SCORE = 1.0  # sizes off that a change of score by 1 weighs as much as
VELOCITY = 0.4  # weight of the newest displacement in the average
DECAY = 0.8  # of the velocity, a frame, of a target missed for long
MISSED = 5  # frames that a candidate is remembered unseen
RATIO = 0.5  # of a known distractor's score that the target must have to be preferred


@dataclass(frozen=True)
class Candidates:
    """Look-alikes of the last frame, the target among them, in order of their labels.

    places: (N, 2) px of the image, predicted where unseen. scores: (N,) in (0, 1), when last seen. velocities: (N, 2)
    px a frame. labels: (N,) int64 identities; one may return once its bearer is forgotten. missed: (N,) int64 frames
    since last seen. target: label of the target, which is never forgotten.
    """

    places: np.ndarray
    scores: np.ndarray
    velocities: np.ndarray
    labels: np.ndarray
    missed: np.ndarray
    target: int


def peaks(score_map, threshold=0.05, radius=2, most=8):
    """Hills of a map (H, W): cells above a threshold and highest within `radius` cells along both axes.

    Returns cells (N, 2) int64 (column, row) and their scores (N,), falling, 1 <= N <= most: the map's maximum is one of
    them whatever the threshold. Of equals within the radius the first in reading order counts.
    """
    height, width = score_map.shape
    rows = np.full((height + 2 * radius, width), -np.inf, score_map.dtype)
    rows[radius : radius + height] = score_map
    columns = np.full((height, width + 2 * radius), -np.inf, score_map.dtype)
    columns[:, radius : radius + width] = np.max([rows[i : i + height] for i in range(2 * radius + 1)], axis=0)
    highest = np.max([columns[:, i : i + width] for i in range(2 * radius + 1)], axis=0)
    tops = np.flatnonzero((score_map >= highest) & (score_map > threshold))
    if not len(tops):
        tops = np.array([score_map.argmax()])
    tops = tops[np.argsort(-score_map.ravel()[tops], kind="stable")]
    cells = np.stack([tops % width, tops // width], axis=1)
    kept = []
    while len(cells) and len(kept) < most:
        kept.append(cells[0])
        cells = cells[np.abs(cells - cells[0]).max(axis=1) > radius]
    kept = np.array(kept)
    return kept, score_map[kept[:, 1], kept[:, 0]]


def start(place):
    """The target alone, at rest at a place (2,) px, of a middling score."""
    place = np.array(place, np.float64).reshape(1, 2)
    one = np.zeros(1, np.int64)
    return Candidates(place, np.array([0.5]), np.zeros((1, 2)), one, one, 0)


def follow(before, places, scores, best, size):
    """One frame later: the candidates, and which of them to take for the target.

    places: (N, 2) px of the image and scores (N,) seen now; best: index of the one to take but for this rule, None if
    N = 0; size: sqrt(w h) of the target, px. Returns (Candidates, index of the place to take, or None).

    The best is taken unless it was a distractor before and the target is seen with RATIO of its score: then the target.
    A best not known before becomes the target at once; a distractor only where the target is missed for more than
    MISSED frames, for it may hide behind that very one.
    """
    places, scores = np.asarray(places, np.float64).reshape(-1, 2), np.asarray(scores, np.float64)
    now, bearers = _associate(before, places, scores, size)
    target, own = before.target, int(np.flatnonzero(before.labels == before.target)[0])
    if best is not None:
        seen = np.flatnonzero(bearers == own)
        if bearers[best] >= len(before.labels) or now.missed[own] > MISSED:
            target = int(now.labels[bearers[best]])
        elif len(seen) and scores[seen[0]] >= RATIO * scores[best]:
            best = int(seen[0])
    kept = (now.missed <= MISSED) | (now.labels == target)
    parts = (now.places, now.scores, now.velocities, now.labels, now.missed)
    return Candidates(*(part[kept] for part in parts), target), best


def _associate(before, places, scores, size):
    """All candidates of `before` and the new ones after them, one frame later; and (N,) which of them each place is."""
    order = np.lexsort((places[:, 1], places[:, 0], -scores))  # the one they come in means nothing, not even for ties
    places, scores = places[order], scores[order]
    expected = before.places + before.velocities
    way = expected[:, None] - places
    gate = GATE + np.sqrt((before.velocities**2).sum(axis=1)) / size
    cost = np.sqrt((way**2).sum(axis=2)) / size + SCORE * np.abs(before.scores[:, None] - scores)
    gain = np.maximum(gate[:, None] - cost, 0.0)
    known, found = pairs(gain)
    missed = before.missed + 1
    velocities = np.where(missed[:, None] > MISSED, DECAY, 1.0) * before.velocities
    velocities[known] -= VELOCITY * way[known, found] / missed[known, None]
    expected[known], missed[known] = places[found], 0
    seen_scores = before.scores.copy()
    seen_scores[known] = scores[found]
    bearers = np.full(len(places), -1)
    bearers[order[found]] = known
    new = np.delete(np.arange(len(places)), found)
    bearers[order[new]] = len(missed) + np.arange(len(new))
    return Candidates(
        np.concatenate([expected, places[new]]),
        np.concatenate([seen_scores, scores[new]]),
        np.concatenate([velocities, np.zeros((len(new), 2))]),
        np.concatenate([before.labels, before.labels[-1] + 1 + np.arange(len(new))]),
        np.concatenate([missed, np.zeros(len(new), np.int64)]),
        before.target,
    ), bearers
