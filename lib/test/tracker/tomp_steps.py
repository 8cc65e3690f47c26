"""ToMP's step functions; see dimp_steps.py."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...models.tomp import ToMP, box_at, clip_box, ltrb_map
from . import discriminative as rules
from .association import associated
from .candidates import lost_scale
from .dimp_steps import See, Seen, normalised, seen_by
from .first_samples import Augmentation, first_samples


@dataclass(frozen=True)
class ToMPSettings(rules.CropSettings):
    """Settings of ToMP. Further ones: see rules.CropSettings.

    Attributes:
        remember: a frame becomes the second training frame if its highest score is above this.
        min_box: smallest width and height of a box, image px. The reference uses 10.
        sigma: standard deviation of the score labels, cells.
        stride: crop px per cell.
    """

    remember: float = 0.9
    min_box: float = 1.0
    sigma: float = 0.9
    stride: int = 16


@dataclass(frozen=True)
class TrainingFrame:
    """A training frame: head features (1, 1, C, H, W), score label (1, 1, H, W) and box map (1, 1, 4, H, W)."""

    features: Tensor
    label: Tensor
    ltrb: Tensor


@dataclass(frozen=True)
class ToMPState(rules.Target):
    """State after a frame.

    Attributes:
        centre, extent: (y, x) and (h, w) of the target, image px.
        scale: image px per crop px of the next search window.
        first, latest: the training frames; `latest` is None until a frame has a high enough score.
        scales: search scales of the frames in which the target was found, latest last.
        lost: number of frames since the target was found.
        found: the localisation in this frame.
    """

    scale: float
    first: TrainingFrame
    latest: TrainingFrame | None
    scales: tuple[float, ...]
    lost: int = 0
    found: rules.Localisation | None = None


def _training_frame(features, window, centre, extent, settings):
    """The TrainingFrame of head features (1, C, H, W) and a target's centre (y, x) and extent (h, w), image px."""
    cells = features.shape[-1]
    label = rules.target_label(window, centre, cells, 1, settings.sigma).to(features)
    box = torch.tensor(window.box_to_crop(centre, extent)).to(features)
    return TrainingFrame(
        features[None], label[None, None], ltrb_map(box, cells, settings.stride, settings.size)[None, None]
    )


@torch.no_grad()
def first_frame(network: ToMP, image: np.ndarray, box_xywh: list[float], settings: ToMPSettings) -> ToMPState:
    """Make the first frame the first training frame.

    Args:
        network: in evaluation mode.
        image (H, W, 3): RGB uint8.
        box_xywh: the target, image px.
        settings: settings of the tracker.

    Returns:
        The state.
    """
    centre, extent = rules.centre_and_extent(box_xywh)
    scale = settings.scale(extent)
    samples = first_samples(
        image, centre, extent, scale, settings.size, [Augmentation("identity")], torch.zeros(0, 2),
        rounding=settings.rounding,
    )  # fmt: skip
    features = network.features(normalised(samples.crops, network)[:, 0])
    first = _training_frame(features, samples.window, centre, extent, settings)
    return ToMPState(centre, extent, scale, first, None, (scale,))


@torch.no_grad()
def look(
    network: ToMP,
    states: Sequence[ToMPState],
    images: Sequence[np.ndarray],
    settings: ToMPSettings,
    see: See | None = None,
) -> list[Seen]:
    """What the network sees of the next frame of each target: features of the head.

    Args:
        network, settings: see `first_frame`.
        states: of the last frames.
        images: the next frames, (H, W, 3) RGB uint8.
        see: see `seen_by`.
    """
    crops = []
    for state, image in zip(states, images, strict=True):
        cells = state.first.features.shape[-1]
        crops.append(settings.search(image, state.centre, state.scale, cells, 1))
    return seen_by(network, crops, images, see, kind=lambda features: features)


@torch.no_grad()
def next_state(network: ToMP, state: ToMPState, seen: Seen, settings: ToMPSettings) -> ToMPState:
    """Find the target in the next frame.

    Args:
        state: of the last frame.
        seen: of `look`.
        network, settings: see `first_frame`.

    Returns:
        The new state.
    """
    (features, window, image_size), cells = seen, state.first.features.shape[-1]
    known = [state.first] if state.latest is None else [state.first, state.latest]
    scores, ltrb = network.head(
        torch.cat([frame.features for frame in known]), features,
        torch.cat([frame.label for frame in known]), torch.cat([frame.ltrb for frame in known]), box_frames=1,
    )  # fmt: skip
    found = rules.localise(scores[0], settings.localisation, window, state.centre, state.extent, 1)
    objects = None
    if settings.associate:
        step, least = window.scale * settings.size / cells, settings.localisation.not_found
        found, objects = associated(found, state.objects, scores[0], window, (cells - 1) / 2, step, least)
    if found.flag == "not_found":
        lost = state.lost + 1
        return replace(state, scale=lost_scale(state.scales, lost), lost=lost, found=found, objects=objects)

    centre, extent = window.box_to_image(box_at(ltrb[0], found.cell, settings.stride, settings.size))
    box = [centre[1] - extent[1] / 2, centre[0] - extent[0] / 2, extent[1], extent[0]]
    x, y, width, height = clip_box(box, image_size, settings.min_box)
    # The reference mixes two conventions of a box's centre here, so every box is half a px too far down and right.
    offset = 0.5 if settings.faithful else 0.0
    centre, extent = (y + height / 2 + offset, x + width / 2 + offset), (height, width)
    scale = settings.scale(extent)
    latest = state.latest
    if found.flag != "uncertain" and found.score > settings.remember:
        latest = _training_frame(features, window, centre, extent, settings)
    # The reference never resets the count of lost frames.
    lost = state.lost if settings.faithful else 0
    scales = (*state.scales[-59:], scale)
    return replace(
        state, centre=centre, extent=extent, scale=scale, latest=latest, scales=scales, lost=lost, found=found,
        objects=objects,
    )  # fmt: skip
