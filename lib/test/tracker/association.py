"""Association of candidates for trackers with a score map: which of several similar peaks is the target.

The peaks of a frame are assigned to the objects of the frames before, by their positions. KeepTrack's identity rules
then choose the target. In place of KeepTrack's trained matching network, objects move at constant velocity, and an
object that disappears is remembered for some frames.

Sources: Mayer et al., KeepTrack, arXiv:2103.16556, section 3.7 (identities); Bewley et al., SORT, arXiv:1602.00763
(constant velocity); Sarlin et al., SuperGlue, arXiv:1911.11763, section 3.2 (optimal transport).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...models.parts.matching import find_candidates, log_optimal_transport, mutual_matches
from .candidates import Identities, IdentityRule, first_identities, next_identities

if TYPE_CHECKING:
    from .discriminative import Localisation, Window

CANDIDATE = 0.05  # smallest score of a candidate, as in KeepTrack
GATE = 0.4  # sides of the search window: at this distance from its prediction an object is as likely a new one
SHARPNESS = 6.0  # similarity of an object and a candidate that lies where it is predicted
ITERATIONS, LEAST_MATCH = 10, 0.2  # of Sinkhorn's algorithm, and smallest probability of a match, as in KeepTrack
SMOOTHING = 0.5  # weight of the newest displacement in an object's velocity
MEMORY = 10  # frames for which an object that disappeared is remembered
# KeepTrack's higher thresholds for the target's own match are for its trained network.
RULE = IdentityRule(match=0.0, weak_match=0.0)


@dataclass(frozen=True)
class Objects:
    """The K objects of a frame: those of its candidates, highest score first, then those that are hidden.

    Attributes:
        positions (K, 2): of the candidates; where the hidden ones are predicted. Image px.
        velocities (K, 2): px per frame.
        hidden (K,): frames since the object had a candidate.
        identities: numbers and highest scores of all K objects, and which of them is the target.
    """

    positions: np.ndarray
    velocities: np.ndarray
    hidden: np.ndarray
    identities: Identities


def peaks(scores: Tensor, own: tuple[int, int]) -> list[tuple[int, int]]:
    """The cells of the candidates in a score map.

    Args:
        scores (H, W): the score map.
        own: row and column of the cell that the tracker takes for the target. A window on the scores or a rule may
            have moved it off a peak.

    Returns:
        Rows and columns of the peaks, and of `own`; nothing if no score is high enough.
    """
    found, _ = find_candidates(scores, CANDIDATE)
    cells = [(int(row), int(column)) for row, column in found.tolist()]
    return cells if own in cells or not cells else [*cells, own]


def associate(
    objects: Objects | None,
    positions: np.ndarray,
    scores: Sequence[float],
    own: int,
    window_side: float,
    rule: IdentityRule = RULE,
) -> tuple[Objects, int | None]:
    """Choose the target among the candidates of a frame.

    Args:
        objects: of the last frame; None if it had no candidates.
        positions (K, 2): of the candidates, image px.
        scores (K,): of the candidates, at least one.
        own: the candidate that the tracker takes for the target without association.
        window_side: of the search window, image px.
        rule: thresholds of the identity rules.

    Returns:
        The objects of this frame, and the candidate that is the target; None if none of them is.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    positions, ranked = np.asarray(positions, np.float64)[order], [float(scores[index]) for index in order]
    if objects is None:
        identities = first_identities(ranked, certain=True)
        chosen = int(np.flatnonzero(order == own)[0])
        identities = replace(identities, selected=identities.objects[chosen], candidate=chosen)
        still = np.zeros_like(positions)
        return Objects(positions, still, np.zeros(len(ranked), np.int64), identities), own

    before = objects.identities
    predicted = objects.positions + objects.velocities
    distances = np.linalg.norm(predicted[:, None] - positions, axis=2) / (GATE * window_side)
    matches, probabilities = _matched(distances)
    now = next_identities(before, ranked, matches, probabilities, rule)
    velocities = np.zeros_like(positions)
    for index, match in enumerate(matches):
        if match >= 0:
            surprise = (positions[index] - predicted[match]) / (1 + objects.hidden[match])
            velocities[index] = objects.velocities[match] + SMOOTHING * surprise

    gone = [i for i, name in enumerate(before.objects) if name not in now.objects and objects.hidden[i] < MEMORY]
    target = next((i for i in gone if before.objects[i] == before.selected), None)
    if target is not None and distances[target].min() < 1:
        # It disappeared beside another object: it is behind it, and is expected to come out again.
        now = replace(now, selected=before.selected, candidate=int(distances[target].argmin()), flag="normal")
    after = Objects(
        np.concatenate([positions, predicted[gone]]),
        np.concatenate([velocities, objects.velocities[gone]]),
        np.concatenate([np.zeros(len(ranked), np.int64), objects.hidden[gone] + 1]),
        replace(
            now,
            objects=(*now.objects, *(before.objects[i] for i in gone)),
            best=(*now.best, *(before.best[i] for i in gone)),
        ),
    )
    return after, None if now.candidate is None else int(order[now.candidate])


def associated(
    found: "Localisation",
    objects: Objects | None,
    scores: Tensor,
    window: "Window",
    middle: float,
    step: float,
    not_found: float,
) -> tuple["Localisation", Objects | None]:
    """Let the identities of all candidates decide where the target is.

    Args:
        found: the localisation without candidates.
        objects: of the last frame, or None.
        scores (n, n): the score map.
        window: of the crop.
        middle: row and column that lie at the crop's centre.
        step: image px per cell.
        not_found: above this score a candidate becomes the target after the target was lost.

    Returns:
        The localisation, and the objects of this frame. The localisation is `found` itself if its cell is that of the
        target. Otherwise its flag is "normal", or "not_found" if no candidate is the target.
    """
    scores, last = scores.detach().float().cpu(), len(scores) - 1
    y, x = (min(max(round(moved / step + middle), 0), last) for moved in found.translation)
    cells = peaks(scores, (y, x))
    if not cells:
        return found, None
    moves = [((row - middle) * step, (column - middle) * step) for row, column in cells]
    positions = np.array([[window.centre[1] + right, window.centre[0] + down] for down, right in moves])
    ranks = [float(scores[cell]) for cell in cells]
    own, rule = cells.index((y, x)), replace(RULE, reselect=not_found)
    objects, choice = associate(objects, positions, ranks, own, window.scale * window.size, rule)
    if choice is None:
        return replace(found, flag="not_found"), objects
    if choice == own:
        return found, objects
    return replace(found, translation=moves[choice], flag="normal", cell=cells[choice]), objects


def _matched(distances):
    """For each candidate the index of its object or -1, and the probability; distances (M, K) in gates."""
    similarity = torch.from_numpy(SHARPNESS * (1 - distances**2))[None]
    found = mutual_matches(log_optimal_transport(similarity, 0.0, ITERATIONS), LEAST_MATCH)
    return found.matches1[0].tolist(), found.scores1[0].tolist()
