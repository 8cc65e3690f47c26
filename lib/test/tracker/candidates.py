"""KeepTrack's rules that decide which of the matched candidates is the target. All functions are pure.

Source: Mayer et al., KeepTrack, arXiv:2103.16556, section 3.7.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class IdentityRule:
    """Thresholds.

    Attributes:
        match: a candidate stays the target only if its match has at least this probability.
        weak_match: the same for a candidate with a score below `weak_score`.
        weak_score: score below which `weak_match` also applies.
        certain: above this score the selected object is certainly the target.
        reselect: above this score a candidate becomes the target after the target was lost.
    """

    match: float = 0.6
    weak_match: float = 0.85
    weak_score: float = 0.2
    certain: float = 0.75
    reselect: float = 0.25


@dataclass(frozen=True)
class Identities:
    """The objects that the candidates of a frame belong to.

    Attributes:
        objects: object number of each candidate, highest score first.
        best: highest score so far of each candidate's object.
        selected: number of the object that counts as the target.
        candidate: index of its candidate in this frame; None if it has none.
        certain: whether the selected object is certainly the target.
        next_object: number of the next new object.
        flag: "normal" or "not_found".
    """

    objects: tuple[int, ...]
    best: tuple[float, ...]
    selected: int
    candidate: int | None
    certain: bool
    next_object: int
    flag: Literal["normal", "not_found"]


def first_identities(scores: Sequence[float], certain: bool) -> Identities:
    """Give each candidate of a frame a new object, and select the first one as the target.

    Args:
        scores: scores of the candidates, highest first.
        certain: whether the first candidate is known to be the target. Only then an object has number 0.

    Returns:
        The identities.
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
    """Assign the candidates of the next frame to objects, and select the target among them.

    Args:
        state: identities of the last frame.
        scores: scores of the new candidates, highest first.
        matches: for each new candidate the index of its match in the last frame, or -1.
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
    """Search scale for a lost target: the mean of recent scales that are not smaller than the last one.

    Args:
        scales: search scales of the frames in which the target was found, latest last; at least one.
        lost_frames: number of frames since the target was found, from 1.

    Returns:
        The scale of the next search window, image px per crop px.
    """
    recent = scales[-60:]
    wide = [scale for scale in recent if scale >= recent[-1]][-max(2, min(30, lost_frames)) :]
    return sum(wide) / len(wide)
