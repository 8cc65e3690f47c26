"""One sequence of KeepTrack: Super-DiMP, and beside it the candidates of each frame matched with those before.

Source: Mayer et al., KeepTrack, arXiv:2103.16556.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...models.dimp import DiMP
from ...models.keep_track import KeepTrack, find_candidates
from ...models.keep_track.model import candidate_centres, normalise_centres
from ...models.parts.filters import apply_filter
from . import dimp_steps
from . import discriminative as rules
from .candidates import Identities, IdentityRule, first_identities, lost_scale, next_identities
from .dimp_steps import DiMPSettings, DiMPState, Uniform, learned_filter, normalised, refined_target, target_of

SURE = 0.5  # the only candidate of two frames with scores above this is the same one in both
YOUNG = 10  # number of the frame from which new candidates begin in doubt about the target


@dataclass(frozen=True)
class KeepTrackSettings:
    """How a sequence is tracked.

    base: of Super-DiMP. candidate: least score of a candidate. identity: which candidate is the target. certainty:
    samples below it are not learned from.
    """

    base: DiMPSettings
    candidate: float = 0.05
    identity: IdentityRule = IdentityRule()
    certainty: float = 0.5


@dataclass(frozen=True)
class Candidates:
    """The candidates of a frame.

    cells (K, 2): rows and columns in the score map. centres (K, 2): y, x as the matcher knows them. scores (K,).
    descriptors (1, C, K). identities: which of them is which object.
    """

    cells: Tensor
    centres: Tensor
    scores: Tensor
    descriptors: Tensor
    identities: Identities


@dataclass(frozen=True)
class KeepTrackState:
    """What is known after a frame.

    base: of Super-DiMP. candidates: of this frame, if there are any. scales: of the frames in which the target was
    found. lost: frames since it was found.
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
        """How the target was found."""
        return self.base.found


def first_frame(
    network: DiMP, image: np.ndarray, box_xywh: list[float], settings: KeepTrackSettings, uniform: Uniform
) -> KeepTrackState:
    """Learn the target from its first frame. Arguments as in `dimp_steps.first_frame`."""
    base = dimp_steps.first_frame(network, image, box_xywh, settings.base, uniform)
    return KeepTrackState(base, None, (base.scale,))


def _candidates(matcher, last, scores, coarse, window, image_size, settings, frame):
    """The Candidates of a score map (H, W) with features (1, C, h, w), or None; last: those of the frame before."""
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
        identities = first_identities(ranks, certain=frame < YOUNG)
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
    """The Localisation that identities stand for."""
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
def next_frame(
    network: DiMP,
    matcher: KeepTrack,
    state: KeepTrackState,
    image: np.ndarray,
    settings: KeepTrackSettings,
    uniform: Uniform,
) -> KeepTrackState:
    """Find the target in the next frame, and learn from it.

    Args:
        network: Super-DiMP, in evaluation mode.
        matcher: the matching network, in evaluation mode. Its own copy of the backbone is not used.
        state: of the last frame.
        image, settings, uniform: as in `first_frame`.

    Returns:
        The new state.
    """
    base, options = state.base, settings.base
    frame, faithful = base.frame + 1, options.faithful
    cells = base.memory.samples[0].shape[-1]
    patch, window = options.crop(image, base.centre, base.scale)
    layers = network.backbone(normalised(patch, network))
    features = network.classifier.features(layers["layer3"])
    scores = apply_filter(features, base.filters)[0, 0]
    coarse = layers["layer3"][0]
    candidates = _candidates(matcher, state.candidates, scores, coarse, window, image.shape[:2], settings, frame)
    if candidates is None or state.candidates is None:
        found = rules.localise(scores, options.localisation, window, base.centre, base.extent, base.filters.shape[-1])
    else:
        found = _chosen(scores, candidates, window)
    if found.flag == "not_found":
        lost = state.lost + 1
        base = replace(base, scale=lost_scale(state.scales, lost), frame=frame, found=found)
        return replace(state, base=base, candidates=candidates, lost=lost)

    centre, extent, measured = refined_target(
        network.bb_regressor, layers, base, found, window, image.shape[:2], options, uniform
    )
    scale, refined = (options.scale(extent), centre) if measured else (base.scale, base.refined)
    if faithful:
        # The reference goes back to the last refined centre, even if it is an earlier frame's.
        centre = refined

    certainty = max(float(scores.max()), 0.0)
    if candidates is None or candidates.identities.selected == 0:
        certainty = max(certainty, certainty**0.5)
    filters = base.filters
    if found.flag != "uncertain":
        hard = found.flag == "hard_negative"
        place = torch.tensor([[window.box_to_crop(centre, extent)]]).to(features)
        target = target_of(network, place, options, base.base, cells)
        rate = options.hard_negative_rate if hard else None
        base.memory.store((features[0], target[0]), rate, certainty, keep_weight=True)
        scheduled = options.iterations if (frame - 1) % options.train_every == 0 else 0
        steps = options.hard_iterations * (certainty >= settings.certainty) if hard else scheduled
        if steps:
            filters = learned_filter(network, base, steps, base.memory.certain_weights(settings.certainty))
    base = replace(
        base, centre=centre, extent=extent, scale=scale, filters=filters, refined=refined, frame=frame, found=found
    )
    return KeepTrackState(base, candidates, (*state.scales[-59:], scale))
