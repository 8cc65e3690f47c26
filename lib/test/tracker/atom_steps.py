"""ATOM's step functions; see dimp_steps.py."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.atom import ATOM
from ...models.atom.classifier import filter_scores, learn_first, normalise_features, update_filter
from ...models.parts.memory import SampleMemory
from ...models.parts.optimisers import gaussian_label, target_cells
from . import discriminative as rules
from .association import associated
from .dimp_steps import (
    RefiningSettings,
    See,
    Seen,
    Uniform,
    dropped_channels,
    normalised,
    refined_target,
    seen_by,
    size_correction,
)
from .first_samples import atom_augmentations, first_samples, random_shifts

FILTER_SIZE = 4


@dataclass(frozen=True)
class AtomSettings(RefiningSettings):
    """Settings of ATOM. The defaults are those of the released tracker. Further ones: see RefiningSettings.

    Attributes:
        memory_size: number of training samples that are kept.
        channels: channels of the projected features.
        first_steps: Gauss-Newton steps on the first frame.
        first_iterations: conjugate gradient steps in each of them.
        iterations: conjugate gradient steps every `train_every` frames, and after a distractor.
    """

    memory_size: int = 250
    channels: int = 64
    first_steps: int = 6
    iterations: int = 5
    train_every: int = 10
    dropouts: int = 7


@dataclass(frozen=True)
class AtomState(rules.Target):
    """State after a frame.

    Attributes:
        centre, extent: (y, x) and (h, w) of the target, image px.
        scale: image px per crop px of the next search window.
        sigma: standard deviation of the labels, cells.
        filters (1, D, 4, 4), projection (D, C, 1, 1): the classifier.
        modulation: the IoU-Net's modulation vectors of the target.
        memory: projected features and labels. It is changed in place.
        frame: number of the frame, from 1.
        found: the localisation in this frame.
        correction: factors of the height and width that the IoU-Net finds.
    """

    scale: float
    sigma: float
    filters: Tensor
    projection: Tensor
    modulation: tuple[Tensor, Tensor]
    memory: SampleMemory
    frame: int = 1
    found: rules.Localisation | None = None
    correction: rules.Pair = (1.0, 1.0)


def _labels(boxes, stride, cells, sigma):
    """Labels (N, 1, cells, cells) of boxes (N, 4) xywh, crop px."""
    centres = target_cells(boxes, stride, (FILTER_SIZE, FILTER_SIZE))
    return gaussian_label(centres, (cells, cells), sigma)[:, None]


@torch.no_grad()
def first_frame(
    network: ATOM, image: np.ndarray, box_xywh: list[float], settings: AtomSettings, uniform: Uniform
) -> AtomState:
    """Learn the target from its first frame.

    Args:
        network: in evaluation mode.
        image (H, W, 3): RGB uint8.
        box_xywh: the target, image px.
        settings: settings of the tracker.
        uniform: returns random numbers in [0, 1) of a given shape.

    Returns:
        The state.
    """
    centre, extent = rules.centre_and_extent(box_xywh)
    scale = settings.scale(extent)
    kinds = atom_augmentations()
    shifts = random_shifts(kinds, uniform)
    samples = first_samples(
        image, centre, extent, scale, settings.size, kinds, shifts, rounding=settings.rounding, truncate=True
    )
    layers = network.backbone(normalised(samples.crops, network))
    boxes = samples.boxes.to(layers["layer3"])
    modulation = network.bb_regressor.modulation((layers["layer2"][0], layers["layer3"][0]), boxes[:1])
    features = normalise_features(layers["layer3"][:, 0])
    features = torch.cat([features, dropped_channels(features[:1], settings, uniform)])
    boxes = torch.cat([boxes, boxes[:1].expand(settings.dropouts, -1)])
    cells = features.shape[-1]
    stride = settings.size // cells
    sigma = math.sqrt(extent[0] * extent[1]) / scale / stride / 4
    labels = _labels(boxes, stride, cells, sigma)

    def centred(shape, deviation):
        return ((2 * uniform(shape) - 1) * math.sqrt(3) * deviation).to(features)

    channels = features.shape[1]
    projection = centred((settings.channels, channels, 1, 1), channels**-0.5)
    filters = centred((1, settings.channels, FILTER_SIZE, FILTER_SIZE), 1 / (settings.channels * FILTER_SIZE**2))
    weights = features.new_full((len(features),), 1 / len(features))
    filters, projection, _ = learn_first(
        features, labels, weights, filters, projection, settings.first_steps, settings.first_iterations
    )
    memory = SampleMemory((F.conv2d(features, projection), labels), settings.memory_size, settings.memory)
    correction = size_correction(network, image, centre, extent, modulation, settings, uniform)
    return AtomState(centre, extent, scale, sigma, filters, projection, modulation, memory, correction=correction)


@torch.no_grad()
def look(
    network: ATOM,
    states: Sequence[AtomState],
    images: Sequence[np.ndarray],
    settings: AtomSettings,
    see: See | None = None,
) -> list[Seen]:
    """What the network sees of the next frame of each target. Arguments: see `dimp_steps.look`."""
    crops = []
    for state, image in zip(states, images, strict=True):
        patch, window = settings.crop(image, state.centre, state.scale)
        if settings.faithful:
            # The reference crops around the truncated centre but maps positions back with the rounded one.
            window = rules.assumed_window(state.centre, state.scale, settings.size)
        crops.append((patch, window))
    return seen_by(network, crops, images, see)


@torch.no_grad()
def next_state(network: ATOM, state: AtomState, seen: Seen, settings: AtomSettings, uniform: Uniform) -> AtomState:
    """Find the target in the next frame and update the filter. Arguments: see `dimp_steps.next_state`."""
    frame, size, (seen_features, window, image_size) = state.frame + 1, settings.size, seen
    features = F.conv2d(seen_features.classification, state.projection)
    scores = filter_scores(features, state.filters)[0, 0]
    found = rules.localise_atom(scores, settings.localisation, state.scale, state.extent, size, settings.faithful)
    objects = None
    if settings.associate:
        middle, step = len(scores) / 2, state.scale * size / len(scores)
        least = settings.localisation.not_found
        found, objects = associated(found, state.objects, scores, window, middle, step, least)
    centre, extent, scale, filters, memory = state.centre, state.extent, state.scale, state.filters, state.memory
    if found.flag != "not_found":
        centre, extent, measured = refined_target(
            network.bb_regressor, seen_features, state, found, window, image_size, settings, uniform
        )
        scale = settings.scale(extent) if measured else scale
    hard = found.flag == "hard_negative"
    if found.flag in ("normal", "hard_negative"):
        cells = features.shape[-1]
        box = torch.tensor([window.box_to_crop(centre, extent)]).to(features)
        label = _labels(box, size // cells, cells, state.sigma)
        memory = memory.copy()
        memory.store((features[0], label[0]), settings.hard_negative_rate if hard else None)
    if hard or (frame - 1) % settings.train_every == 0:
        samples, labels = memory.samples
        filters = update_filter(samples, labels, memory.weights.to(samples), filters, settings.iterations)
    return replace(
        state, centre=centre, extent=extent, scale=scale, filters=filters, memory=memory, frame=frame, found=found,
        objects=objects,
    )  # fmt: skip
