"""Which candidate is the target: KeepTrack's rules over matched candidates, as functions of state.

Source: Mayer et al., KeepTrack, arXiv:2103.16556, section 3.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class IdentityRule:
    """Thresholds.

    match: a less probable match does not carry the target on. weak_match: nor does a less probable one of a candidate
    with a score below weak_score. certain: a higher score makes sure that the selected object is the target.
    reselect: a lost target is taken up by a candidate above this score.
    """

    match: float = 0.6
    weak_match: float = 0.85
    weak_score: float = 0.2
    certain: float = 0.75
    reselect: float = 0.25


@dataclass(frozen=True)
class Identities:
    """The candidates of a frame as objects.

    objects: the object of each candidate, highest score first. best: highest score ever of each one's object.
    selected: the object that is taken for the target. candidate: its index, or None if it is absent. certain: whether
    it is surely the target. next_object: number for the next new object. flag: "normal" or "not_found".
    """

    objects: tuple[int, ...]
    best: tuple[float, ...]
    selected: int
    candidate: int | None
    certain: bool
    next_object: int
    flag: Literal["normal", "not_found"]


def first_identities(scores: Sequence[float], certain: bool) -> Identities:
    """Begin with the candidates of a frame.

    Args:
        scores: of the candidates, highest first.
        certain: the first candidate is known to be the target. It is then object 0, which no other ever is.

    Returns:
        The identities, with the first candidate selected.
    """
    start = 0 if certain else 1
    objects = tuple(range(start, start + len(scores)))
    return Identities(objects, tuple(scores), objects[0], 0, certain, start + len(scores), "normal")


def next_identities(
    state: Identities,
    scores: Sequence[float],
    matches: Sequence[int],
    match_scores: Sequence[float],
    rule: IdentityRule,
) -> Identities:
    """Carry the identities over to the next frame's candidates.

    Args:
        state: of the previous frame.
        scores: of the candidates, highest first.
        matches: index of each one's match among the previous candidates, or -1.
        match_scores: probability of each match.
        rule: thresholds.

    Returns:
        The identities of this frame.
    """
    objects, best, unused = [], [], state.next_object
    for score, match, probability in zip(scores, matches, match_scores, strict=True):
        known = match >= 0
        if known and state.objects[match] == state.selected:
            doubtful = probability < rule.weak_match and score < rule.weak_score
            known = probability >= rule.match and not doubtful
        objects.append(state.objects[match] if known else unused)
        best.append(max(score, state.best[match]) if known else score)
        unused += not known
    state = replace(state, objects=tuple(objects), best=tuple(best), next_object=unused)
    if state.selected in objects:
        candidate = objects.index(state.selected)
        certain = state.certain or best[candidate] > rule.certain
        if best[0] > best[candidate]:
            candidate = 0
        return replace(state, selected=objects[candidate], candidate=candidate, certain=certain, flag="normal")
    highest = max(range(len(scores)), key=lambda index: scores[index], default=None)
    if highest is None or scores[highest] <= rule.reselect:
        return replace(state, candidate=None, certain=False, flag="not_found")
    return replace(state, selected=objects[highest], candidate=highest, certain=False, flag="normal")


def lost_scale(scales: Sequence[float], lost_frames: int) -> float:
    """Widen the search while the target is lost: average recent scales that are not smaller than the last one.

    Args:
        scales: target scales of the frames so far, latest last; at least one.
        lost_frames: for how many frames the target is lost, from 1.

    Returns:
        The scale to search at.
    """
    recent = scales[-60:]
    wide = [scale for scale in recent if scale >= recent[-1]][-max(2, min(30, lost_frames)) :]
    return sum(wide) / len(wide)
