"""KeepTrack's two step functions: Super-DiMP, with the target candidates of consecutive frames matched.

Source: Mayer et al., KeepTrack, arXiv:2103.16556.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...models.dimp import DiMP
from ...models.keep_track import KeepTrack
from ...models.keep_track.model import candidate_centres, normalise_centres
from ...models.parts.matching import find_candidates
from . import dimp_steps
from . import discriminative as rules
from .candidates import Identities, IdentityRule, first_identities, lost_scale, next_identities
from .dimp_steps import DiMPSettings, DiMPState, Uniform, learned_filter, refined_target, target_of

SURE = 0.5  # if two frames have one candidate each and both scores are above this, they match without the network
CERTAIN_FRAMES = 10  # before this frame the first candidate is known to be the target


@dataclass(frozen=True)
class KeepTrackSettings:
    """Settings of KeepTrack.

    Attributes:
        base: settings of Super-DiMP.
        candidate: smallest score of a candidate.
        identity: thresholds that decide which candidate is the target.
        certainty: the filter does not learn from samples with a lower certainty.
    """

    base: DiMPSettings
    candidate: float = 0.05
    identity: IdentityRule = IdentityRule()
    certainty: float = 0.5

    @property
    def size(self) -> int:
        """Side of the search crop, crop px."""
        return self.base.size


@dataclass(frozen=True)
class Candidates:
    """The K target candidates of a frame.

    Attributes:
        cells (K, 2): row and column in the score map.
        centres (K, 2): y, x as `normalise_centres` returns them.
        scores (K,): highest first.
        descriptors (1, C, K): descriptors of the matching network.
        identities: the object of each candidate.
    """

    cells: Tensor
    centres: Tensor
    scores: Tensor
    descriptors: Tensor
    identities: Identities


@dataclass(frozen=True)
class KeepTrackState:
    """State after a frame.

    Attributes:
        base: state of Super-DiMP.
        candidates: candidates of this frame; None if there are none.
        scales: search scales of the frames in which the target was found, latest last.
        lost: number of frames since the target was found.
    """

    base: DiMPState
    candidates: Candidates | None
    scales: tuple[float, ...]
    lost: int = 0

    @property
    def box_xywh(self) -> list[float]:
        """The target's box, image px."""
        return self.base.box_xywh

    @property
    def found(self) -> rules.Localisation | None:
        """The localisation in this frame."""
        return self.base.found


def first_frame(
    network: DiMP, image: np.ndarray, box_xywh: list[float], settings: KeepTrackSettings, uniform: Uniform
) -> KeepTrackState:
    """Learn the target from its first frame. Arguments: see `dimp_steps.first_frame`."""
    base = dimp_steps.first_frame(network, image, box_xywh, settings.base, uniform)
    return KeepTrackState(base, None, (base.scale,))


def _candidates(matcher, last, scores, coarse, window, image_size, settings, frame):
    """Find the Candidates of a frame and match them with those of the last frame.

    Args:
        matcher: the KeepTrack network.
        last: Candidates of the last frame, or None.
        scores (H, W): the score map.
        coarse (1, C, h, w): backbone features of "layer3".
        window: of the crop.
        image_size: (H, W) of the image.
        settings: KeepTrackSettings.
        frame: number of the frame, from 1.

    Returns:
        The Candidates, or None if no score is high enough.
    """
    cells, values = find_candidates(scores, settings.candidate)
    if not len(cells):
        return None
    faithful = settings.base.faithful
    less = 1 if faithful else 0
    area = window.left, window.top, window.right - window.left - less, window.bottom - window.top - less
    centres = normalise_centres(candidate_centres(cells, area, len(scores)), image_size, swapped=faithful)
    descriptors = matcher.descriptor_extractor(coarse, cells[None])
    ranks = values.tolist()
    if last is None:
        identities = first_identities(ranks, certain=frame < CERTAIN_FRAMES)
    elif len(ranks) == len(last.scores) == 1 and min(ranks[0], last.scores.item()) > SURE:
        identities = next_identities(last.identities, ranks, [0], [1.0], settings.identity)
    else:
        found = matcher.matcher(
            (last.descriptors, descriptors),
            (last.centres[None].to(descriptors), centres[None].to(descriptors)),
            (last.scores[None], values[None]),
        )
        matches, probabilities = found.matches1[0].tolist(), found.scores1[0].tolist()
        identities = next_identities(last.identities, ranks, matches, probabilities, settings.identity)
    return Candidates(cells, centres, values, descriptors, identities)


def _chosen(scores, candidates, window):
    """The Localisation of the candidate that is the target."""
    choice = candidates.identities.candidate
    score = float(scores.max())
    if choice is None:
        return rules.Localisation(
            (0.0, 0.0), candidates.identities.flag, score, rules.highest_cell(scores.cpu().numpy())
        )
    row, column = candidates.cells[choice].tolist()
    cell, middle = window.scale * window.size / (len(scores) - 1), (len(scores) - 1) / 2
    moved = (row - middle) * cell, (column - middle) * cell
    return rules.Localisation(moved, candidates.identities.flag, score, (row, column))


@torch.no_grad()
def look(
    network: DiMP,
    states: Sequence[KeepTrackState],
    images: Sequence[np.ndarray],
    settings: KeepTrackSettings,
    see: dimp_steps.See | None = None,
) -> list[dimp_steps.Seen]:
    """What the network sees of the next frame of each target. Arguments: see `dimp_steps.look`."""
    crops = [
        settings.base.crop(image, state.base.centre, state.base.scale)
        for state, image in zip(states, images, strict=True)
    ]
    return dimp_steps.seen_by(network, crops, images, see)


@torch.no_grad()
def next_state(
    network: DiMP,
    matcher: KeepTrack,
    state: KeepTrackState,
    seen: dimp_steps.Seen,
    settings: KeepTrackSettings,
    uniform: Uniform,
) -> KeepTrackState:
    """Find the target in the next frame and update the filter.

    Args:
        network: Super-DiMP, in evaluation mode.
        matcher: the matching network, in evaluation mode. Its own copy of the backbone is not used.
        state: of the last frame.
        seen: of `look`.
        settings, uniform: see `first_frame`.

    Returns:
        The new state.
    """
    base, options, (features, window, image_size) = state.base, settings.base, seen
    frame, faithful = base.frame + 1, options.faithful
    cells = base.memory.samples[0].shape[-1]
    scores = dimp_steps.score_map(base.filters, seen)
    candidates = _candidates(matcher, state.candidates, scores, features.layer3, window, image_size, settings, frame)
    if candidates is None or state.candidates is None:
        found = rules.localise(scores, options.localisation, window, base.centre, base.extent, base.filters.shape[-1])
    else:
        found = _chosen(scores, candidates, window)
    if found.flag == "not_found":
        lost = state.lost + 1
        base = replace(base, scale=lost_scale(state.scales, lost), frame=frame, found=found)
        return replace(state, base=base, candidates=candidates, lost=lost)

    centre, extent, measured = refined_target(
        network.bb_regressor, features, base, found, window, image_size, options, uniform
    )
    scale, refined = (options.scale(extent), centre) if measured else (base.scale, base.refined)
    if faithful:
        # The reference returns to the last refined centre, even if an earlier frame refined it.
        centre = refined

    certainty = max(float(scores.max()), 0.0)
    if candidates is None or candidates.identities.selected == 0:
        certainty = max(certainty, certainty**0.5)
    filters, memory = base.filters, base.memory
    if found.flag != "uncertain":
        hard = found.flag == "hard_negative"
        boxes = torch.tensor([[window.box_to_crop(centre, extent)]]).to(scores)
        target = target_of(network, boxes, options, base.base, cells)
        rate = options.hard_negative_rate if hard else None
        memory = memory.copy()
        memory.store((features.classification, target[0]), rate, certainty, keep_weight=True)
        scheduled = options.iterations if (frame - 1) % options.train_every == 0 else 0
        steps = options.hard_iterations * (certainty >= settings.certainty) if hard else scheduled
        if steps:
            filters = learned_filter(network, filters, memory, steps, memory.certain_weights(settings.certainty))
    base = replace(
        base, centre=centre, extent=extent, scale=scale, filters=filters, memory=memory, refined=refined, frame=frame,
        found=found,
    )  # fmt: skip
    return KeepTrackState(base, candidates, (*state.scales[-59:], scale))
