"""The step functions of DiMP, PrDiMP and Super-DiMP, and what the other trackers that learn online share with them.

`first_frame` returns a state. `look` computes what the network sees of the next frames of several targets, in one
batch, and `next_state` maps a state and what was seen to the next state. States are never changed. Random numbers come
from a function that the caller passes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...models.dimp import DiMP
from ...models.dimp.model import FILTER_SIZE, CropFeatures
from ...models.parts.filters import apply_filter
from ...models.parts.imagenet import IMAGENET_MEAN, IMAGENET_STD
from ...models.parts.iounet import IoUNet, Space, refine_boxes
from ...models.parts.memory import MemoryRule, SampleMemory
from ...models.parts.optimisers import HingeOptimiser, gaussian_label, target_cells
from . import discriminative as rules
from .association import associated
from .first_samples import dimp_augmentations, first_samples, random_shifts
from .window import VIEWS, correction_of_sizes, mixed

Uniform = Callable[[tuple[int, ...]], Tensor]
See = Callable[[Tensor], tuple[Tensor, ...]]  # from normalised crops (B, 3, S, S) to features (B, ...)


class Seen(NamedTuple):
    """What the network sees of a target's next frame.

    Attributes:
        features: of the crop, what the network's `see` returns: CropFeatures or, in ToMP, features of the head.
        window: of the crop.
        image_size: (H, W) of the image.
    """

    features: Any
    window: rules.Window
    image_size: tuple[int, int]


@dataclass(frozen=True)
class RefiningSettings(rules.CropSettings):
    """Settings of a tracker with an online filter and an IoU-Net. Further ones: see rules.CropSettings.

    Attributes:
        refine_space, refine_steps, refine_length: see `refine_boxes`.
        random_boxes: random start boxes of the refinement, in addition to the given box.
        memory: rule for the weights of training samples.
        hard_negative_rate: weight of a training sample with a distractor.
        first_iterations: optimiser steps on the first frame.
        dropouts: additional samples of the first frame with dropped channels.
        dropout_rate: share of channels that are dropped in them.
        size_step: share of the change of size (in the logarithm) that a frame adopts.
        size_correction: power of the ratio of given to found size in the first frame that corrects later sizes.
    """

    refine_space: Space
    refine_steps: int
    refine_length: float
    random_boxes: int = 9
    memory: MemoryRule = field(default_factory=MemoryRule)
    hard_negative_rate: float = 0.02
    first_iterations: int = 10
    dropout_rate: float = 0.2
    dropouts: int = 2
    size_step: float = 1.0
    size_correction: float = 0.0


@dataclass(frozen=True)
class DiMPSettings(RefiningSettings):
    """Settings of DiMP. The defaults are those of all released trackers of the family.

    Attributes:
        softmax: convert scores to probabilities first (PrDiMP).
        memory_size: number of training samples that are kept.
        iterations: optimiser steps every `train_every` frames.
        hard_iterations: optimiser steps after a distractor.
    """

    softmax: bool = False
    memory_size: int = 50
    iterations: int = 2
    hard_iterations: int = 1
    train_every: int = 20


@dataclass(frozen=True)
class DiMPState(rules.Target):
    """State after a frame.

    Attributes:
        centre, extent: (y, x) and (h, w) of the target, image px.
        scale: image px per crop px of the next search window.
        base: extent (h, w) of the target in the first frame's crop, crop px.
        filters (1, D, 4, 4): the filter.
        modulation: the IoU-Net's modulation vectors of the target.
        memory: training samples.
        refined: the last centre (y, x) that the IoU-Net refined, image px.
        frame: number of the frame, from 1.
        found: the localisation in this frame.
        correction: factors of the height and width that the IoU-Net finds.
    """

    scale: float
    base: rules.Pair
    filters: Tensor
    modulation: tuple[Tensor, Tensor]
    memory: SampleMemory
    refined: rules.Pair
    frame: int = 1
    found: rules.Localisation | None = None
    correction: rules.Pair = (1.0, 1.0)


def normalised(crops: Tensor, network: torch.nn.Module) -> Tensor:
    """Normalise crops by ImageNet's mean and standard deviation, on the network's device and in its precision.

    Args:
        crops (N, 3, S, S): in [0, 255].
        network: the network that takes them.

    Returns:
        (N, 1, 3, S, S).
    """
    parameter = next(network.parameters())
    crops = crops.to(parameter)
    mean, std = (crops.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((crops / 255 - mean) / std)[:, None]


def target_of(network: DiMP, boxes: Tensor, settings: DiMPSettings, base: rules.Pair, cells: int) -> Tensor:
    """The training target of the filter's optimiser: the boxes, or Gaussian labels for the HingeOptimiser.

    Args:
        network: the network.
        boxes (N, 1, 4): the target's boxes xywh, crop px.
        settings: settings of the tracker.
        base: extent (h, w) of the target in the first frame's crop, crop px.
        cells: side of the features, cells.

    Returns:
        Boxes (N, 1, 4), or labels (N, 1, cells + 1, cells + 1).
    """
    if not isinstance(network.classifier.filter_optimizer, HingeOptimiser):
        return boxes
    stride = settings.size // cells
    # A quarter of the target's mean side, in cells. It is constant because the crop is scaled with the target.
    sigma = math.sqrt(base[0] * base[1]) / stride / 4
    return gaussian_label(target_cells(boxes, stride, (FILTER_SIZE, FILTER_SIZE)), (cells + 1, cells + 1), sigma)


@torch.no_grad()
def first_frame(
    network: DiMP, image: np.ndarray, box_xywh: list[float], settings: DiMPSettings, uniform: Uniform
) -> DiMPState:
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
    base = extent[0] / scale, extent[1] / scale
    kinds = dimp_augmentations()
    shifts = random_shifts(kinds, uniform)
    samples = first_samples(image, centre, extent, scale, settings.size, kinds, shifts, rounding=settings.rounding)
    layers = network.backbone(normalised(samples.crops, network))
    features = network.classifier.features(layers["layer3"])
    boxes = samples.boxes.to(features)[:, None]
    modulation = network.bb_regressor.modulation((layers["layer2"][0], layers["layer3"][0]), boxes[0])
    features = torch.cat([features, dropped_channels(features[0], settings, uniform)[:, None]])
    boxes = torch.cat([boxes, boxes[:1].expand(settings.dropouts, -1, -1)])
    target = target_of(network, boxes, settings, base, features.shape[-1])
    filters, _ = network.classifier.learn(features, boxes, target, iterations=settings.first_iterations)
    memory = SampleMemory((features, target), settings.memory_size, settings.memory)
    correction = size_correction(network, image, centre, extent, modulation, settings, uniform)
    return DiMPState(centre, extent, scale, base, filters[-1], modulation, memory, centre, correction=correction)


def dropped_channels(features: Tensor, settings: RefiningSettings, uniform: Uniform) -> Tensor:
    """Further training samples from one sample (1, C, H, W): `dropouts` copies (K, C, H, W) with dropped channels."""
    kept = uniform((settings.dropouts, features.shape[1])).to(features) >= settings.dropout_rate
    return features * kept[:, :, None, None] / (1 - settings.dropout_rate)


def refined_box(
    iou_net: IoUNet,
    features: tuple[Tensor, Tensor],
    box: Sequence[float],
    modulation: tuple[Tensor, Tensor],
    settings: RefiningSettings,
    uniform: Uniform,
) -> list[float] | None:
    """Refine a box by the IoU-Net.

    Args:
        iou_net: the IoU-Net.
        features: of the crop, as `IoUNet.features` returns them.
        box: xywh, crop px.
        modulation: of the target.
        settings: settings of the tracker.
        uniform: returns random numbers in [0, 1) of a given shape.

    Returns:
        The box xywh, crop px, or None if all boxes are rejected.
    """
    start = rules.jittered_boxes(box, uniform((settings.random_boxes, 4)).to(features[0]))
    boxes, quality = refine_boxes(
        iou_net, modulation, features, start[None],
        settings.refine_space, settings.refine_steps, settings.refine_length,
    )  # fmt: skip
    return rules.choose_box(boxes[0], quality[0], box, faithful=settings.faithful)


def size_correction(
    network: Any,
    image: np.ndarray,
    centre: rules.Pair,
    extent: rules.Pair,
    modulation: tuple[Tensor, Tensor],
    settings: RefiningSettings,
    uniform: Uniform,
) -> rules.Pair:
    """Measure in the first frame by how much the IoU-Net misses the size that was given.

    Args:
        network: with `see` and an IoU-Net `bb_regressor`.
        image (H, W, 3): the first frame.
        centre, extent: (y, x) and (h, w) of the target, image px.
        modulation: of the target.
        settings, uniform: see `first_frame`.

    Returns:
        Factors of the height and width that later frames find, see `window.correction_of_sizes`.
    """
    if not settings.size_correction:
        return 1.0, 1.0
    scale, found = settings.scale(extent), []
    side = scale * settings.size
    given = np.array(rules.Target(centre, extent).box_xywh)
    views = [
        settings.crop(image, (centre[0] + down * side, centre[1] + across * side), scale) for across, down in VIEWS
    ]
    for seen in seen_by(network, views, [image] * len(views)):
        features, start = (seen.features.fine, seen.features.coarse), seen.window.box_to_crop(centre, extent)
        box = refined_box(network.bb_regressor, features, start, modulation, settings, uniform)
        if box is not None:
            found.append(np.array(rules.Target(*seen.window.box_to_image(box)).box_xywh))
    across, down = correction_of_sizes(given, found, settings.size_correction).tolist()
    return down, across


def refined_target(
    iou_net: IoUNet,
    seen: CropFeatures,
    state: Any,
    found: rules.Localisation,
    window: rules.Window,
    image_size: tuple[int, int],
    settings: RefiningSettings,
    uniform: Uniform,
) -> tuple[rules.Pair, rules.Pair, bool]:
    """Move the target to where it was found, and refine its box.

    Args:
        iou_net: the IoU-Net.
        seen: features of the crop.
        state: DiMPState or AtomState of the last frame.
        found: where the target was found.
        window: of the crop.
        image_size: (H, W).
        settings: settings of the tracker.
        uniform: returns random numbers in [0, 1) of a given shape.

    Returns:
        Centre (y, x) and extent (h, w), image px, and whether the refinement gave a box. Without one, the centre is
        where the target was found, and the extent is that of the last frame.
    """
    (y, x), (down, right) = window.centre, found.translation
    centre = rules.clamp_centre((y + down, x + right), state.extent, image_size, settings.faithful)
    features = seen.fine, seen.coarse
    start = window.box_to_crop(centre, state.extent)
    box = refined_box(iou_net, features, start, state.modulation, settings, uniform)
    if box is None:
        return centre, state.extent, False
    centre, found_extent = window.box_to_image(box, settings.faithful)
    height, width = (
        mixed(factor * side, before, settings.size_step)
        for before, factor, side in zip(state.extent, state.correction, found_extent, strict=True)
    )
    return centre, (height, width), True


def learned_filter(network: DiMP, filters: Tensor, memory: SampleMemory, steps: int, weights: Tensor) -> Tensor:
    """Update the filter by a number of optimiser steps on the samples in memory, with weights (count,)."""
    samples, targets = memory.samples
    return network.classifier.filter_optimizer(filters, samples, targets, weights.to(samples), steps)[0][-1]


def seen_by(
    network: Any,
    crops: Sequence[tuple[Tensor, rules.Window]],
    images: Sequence[np.ndarray],
    see: See | None = None,
    kind: Callable = CropFeatures,
) -> list[Seen]:
    """Compute the features of several crops in one batch.

    Args:
        network: whose `see` computes them.
        crops: as CropSettings.crop returns them.
        images: the frames that they are cut from, (H, W, 3).
        see: does what `network.see` does; None for that itself.
        kind: makes the features of a crop of their parts.
    """
    features = (see or network.see)(normalised(torch.cat([patch for patch, _ in crops]), network)[:, 0])
    return [
        Seen(kind(*(part[number : number + 1] for part in features)), window, image.shape[:2])
        for number, ((_, window), image) in enumerate(zip(crops, images, strict=True))
    ]


@torch.no_grad()
def look(
    network: DiMP,
    states: Sequence[DiMPState],
    images: Sequence[np.ndarray],
    settings: DiMPSettings,
    see: See | None = None,
) -> list[Seen]:
    """What the network sees of the next frame of each target.

    Args:
        network, settings: see `first_frame`.
        states: of the last frames.
        images: the next frames, (H, W, 3) RGB uint8.
        see: see `seen_by`.
    """
    crops = []
    for state, image in zip(states, images, strict=True):
        cells, kernel = state.memory.samples[0].shape[-1], state.filters.shape[-1]
        crops.append(settings.search(image, state.centre, state.scale, cells, kernel))
    return seen_by(network, crops, images, see)


def score_map(filters: Tensor, seen: Seen, softmax: bool = False) -> Tensor:
    """Scores (H + 1, W + 1) of a crop.

    Args:
        filters (1, D, 4, 4): the filter.
        seen: of `look`.
        softmax: convert scores to probabilities.
    """
    scores = apply_filter(seen.features.classification[None], filters)[0, 0]
    return scores.flatten().softmax(0).view_as(scores) if softmax else scores


@torch.no_grad()
def next_state(network: DiMP, state: DiMPState, seen: Seen, settings: DiMPSettings, uniform: Uniform) -> DiMPState:
    """Find the target in the next frame and update the filter.

    Args:
        state: of the last frame.
        seen: of `look`.
        network, settings, uniform: see `first_frame`.

    Returns:
        The new state.
    """
    frame, (features, window, image_size) = state.frame + 1, seen
    cells, kernel = state.memory.samples[0].shape[-1], state.filters.shape[-1]
    scores = score_map(state.filters, seen, settings.softmax)
    found = rules.localise(scores, settings.localisation, window, state.centre, state.extent, kernel)
    objects = None
    if settings.associate:
        last, step = len(scores) - 1, window.scale * settings.size / cells
        least = settings.localisation.not_found
        found, objects = associated(found, state.objects, scores, window, last / 2, step, least)
    if found.flag == "not_found":
        return replace(state, frame=frame, found=found, objects=objects)

    centre, extent, measured = refined_target(
        network.bb_regressor, features, state, found, window, image_size, settings, uniform
    )
    scale, refined = (settings.scale(extent), centre) if measured else (state.scale, state.refined)
    filters, memory = state.filters, state.memory
    if found.flag != "uncertain":
        hard = found.flag == "hard_negative"
        box = torch.tensor([[window.box_to_crop(centre, extent)]]).to(scores)
        target = target_of(network, box, settings, state.base, cells)
        memory = memory.copy()
        memory.store((features.classification, target[0]), settings.hard_negative_rate if hard else None)
        scheduled = settings.iterations if (frame - 1) % settings.train_every == 0 else 0
        steps = settings.hard_iterations if hard else scheduled
        if steps:
            filters = learned_filter(network, filters, memory, steps, memory.weights)
    if settings.faithful:
        # The reference returns to the last refined centre, even if an earlier frame refined it.
        centre = refined
    return replace(
        state, centre=centre, extent=extent, scale=scale, filters=filters, refined=refined, frame=frame, found=found,
        memory=memory, objects=objects,
    )  # fmt: skip
