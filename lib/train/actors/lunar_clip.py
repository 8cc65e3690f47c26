"""Runs a network with a query on clips, frame by frame, as the tracker does (spec query.md B.4 and B.5)."""

from dataclasses import replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.lunar.decode import decode
from ...models.lunar.model import TrackerOutput
from ...models.lunar.query import apply_position_prior
from ..data.lunar import CHAIN_PRED, DROPPED, INDEPENDENT, POISONED
from ..losses import overlap

NOISE = 0.05  # noise added to labelled positions, in target sizes
ASTRAY = 1.0  # after two consecutive errors above this, in target sizes, the window is put back on the target


class Followed(NamedTuple):
    """Output for B clips of N frames, frame by frame: first frames of all clips, then second frames, and so on.

    Attributes:
        output: TrackerOutput of N B crops.
        quality (N B,): logits of the predicted IoU.
        overlap (N B,): IoU of the predicted box.
        expected (N B, 4): see Readout.
        boxes (N B, 4): true boxes xywh, in crop sides.
        visible (N B,): bool.
        windows (N B, 3): search windows of the crops.
        features (N B, C, G, G): search features.
        query (N B, d): the query.
    """

    output: TrackerOutput
    quality: Tensor
    overlap: Tensor
    expected: Tensor
    boxes: Tensor
    visible: Tensor
    windows: Tensor
    features: Tensor
    query: Tensor


def follow(network, batch, factor, influence=0.0, windows=None):
    """Run a network on a batch of clips from LunarSamples.

    Args:
        network: a network with a query.
        batch: the clips.
        factor: side of the search window / sqrt(w h).
        influence: weight of the position prior.
        windows (N B, 3): search windows of another network, to use the same crops; None for the network's own windows.

    Returns:
        Followed.
    """
    template = network.encode_template(network.enhance(batch["template_images"]), batch["template_masks"])
    place, sure = batch["anchor_centre_size"], torch.ones_like(batch["least_window"])
    state = network.query.start(len(place), place.device)
    anchor = network.enhance(batch["anchor_image"])
    _, readout = network.readout(template, anchor, state, batch["anchor_window"])
    state = network.write(state, readout, place, sure, batch["anchor_window"])
    state = replace(state, trajectory=batch["history"], time=batch["times"][:, 0])
    state = _corrupt(state, batch["corruption"])
    frames, astray = [], torch.zeros_like(batch["corruption"])
    for n in range(batch["search_images"].shape[1]):
        window, truth = batch["search_windows"][:, n], batch["search_centre_size"][:, n]
        if n:
            own = torch.cat([place[:, :2], torch.maximum(factor * place[:, 2:], batch["least_window"][:, None])], dim=1)
            chosen = (batch["chain"] == CHAIN_PRED) & (astray < 2)
            window = torch.where(chosen[:, None], own, window)
        if windows is not None:
            window = windows[n * len(place) : (n + 1) * len(place)]
        search, boxes, visible = _show(batch, n, window, network.search_size)
        output, readout = network.readout(template, network.enhance(search), state, window)
        decided = _decide(network.query, output, readout, influence, window, truth, boxes, visible, batch["chain"])
        place = decided.centre_size
        state = network.write(state, readout, place, decided.confidence, window)
        off = (place[:, :2] - truth[:, :2]).norm(dim=1) > ASTRAY * truth[:, 2]
        astray = torch.where(off, astray + 1, 0)
        seen = boxes, visible, window, readout.features, readout.query
        frames.append(Followed(output, decided.quality, decided.overlap, readout.expected, *seen))
    outputs, *others = zip(*frames, strict=True)
    return Followed(TrackerOutput(*map(torch.cat, zip(*outputs, strict=True))), *map(torch.cat, others))


class _Decision(NamedTuple):
    """Position of the target that is written to the memory, in one frame of B clips.

    Attributes:
        centre_size (B, 3): cx, cy and sqrt(w h), px.
        confidence (B,): in [0, 1], for the update of the query.
        quality (B,): logits of the predicted IoU.
        overlap (B,): IoU of the predicted box.
    """

    centre_size: Tensor
    confidence: Tensor
    quality: Tensor
    overlap: Tensor


def _decide(query, output, readout, influence, window, truth, boxes, visible, chain):
    """The _Decision of a frame: the box at the score's peak, as in tracking, or the labelled target with some noise."""
    output = type(output)(*(part.detach() for part in output))
    response = apply_position_prior(output.score_map, readout.expected.detach(), influence)
    found, _, score = decode(output, response)
    quality = query.judge(readout, score)
    centre = window[:, :2] + (found[:, :2] - 0.5) * window[:, 2:]
    size = (found[:, 2:].prod(dim=1, keepdim=True)).sqrt() * window[:, 2:]
    noise = NOISE * query.training * torch.randn_like(centre) * truth[:, 2:]
    truth = torch.cat([truth[:, :2] + noise, truth[:, 2:]], dim=1)
    labelled = visible & (chain != CHAIN_PRED)
    centre_size = torch.where(labelled[:, None], truth, torch.cat([centre, size], dim=1))
    # Early in training the predicted confidence is unreliable.
    shared = overlap(found, boxes, visible)
    confidence = torch.where(chain == INDEPENDENT, shared, quality.sigmoid())
    return _Decision(centre_size, confidence, quality, shared)


def _corrupt(state, corruption):
    """Corrupt the memory of some clips, so that the network learns not to rely on it blindly."""
    time = state.time
    other = state.select(torch.arange(len(corruption), device=corruption.device).roll(1))
    poisoned = (corruption == POISONED)[:, None]
    prior = torch.where(poisoned, other.prior, state.prior)
    memory = torch.where(poisoned[..., None], other.memory, state.memory)
    return replace(replace(state, prior=prior, memory=memory).reset(corruption == DROPPED), time=time)


def _show(batch, n, window, size):
    """Search crop (B, 3, S, S), boxes (B, 4) xywh in crop sides, and visibility (B,) of a window (B, 3) in frame n."""
    image, shown = batch["search_images"][:, n], batch["crop_params"][:, n]
    boxes, visible = batch["search_anno"][:, n], batch["search_visible"][:, n]
    if image.shape[-1] == size:
        return image, boxes, visible
    scale, offset = window[:, 2:] / shown[:, 2:], (window[:, :2] - shown[:, :2]) / shown[:, 2:]
    with torch.autocast(image.device.type, enabled=False):
        # Coordinates of affine_grid start at the centre and have half sides as their unit.
        matrix = torch.cat([torch.diag_embed(scale.expand(-1, 2)), 2 * offset[..., None]], dim=2)
        grid = F.affine_grid(matrix, [len(image), 3, size, size], align_corners=False)
        image = image.float() / 255 if image.dtype == torch.uint8 else image
        image = F.grid_sample(image, grid, align_corners=False)
    centre = (boxes[:, :2] + boxes[:, 2:] / 2 - 0.5 - offset) / scale + 0.5
    sides = boxes[:, 2:] / scale
    visible = visible & ((centre >= 0) & (centre < 1)).all(dim=1)
    return image, torch.cat([centre - sides / 2, sides], dim=1), visible
