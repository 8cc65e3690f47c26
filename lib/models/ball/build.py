"""From a configuration to a network that finds balls, and one interface for all of them."""

from typing import Any

import torch
from torch import Tensor, nn

from ..parts.imagenet import IMAGENET_MEAN, IMAGENET_STD
from .hrnet import WasbHRNet
from .mmfnet import HeatMaps, MMFNet
from .tracknet import TrackNetV3, input_channels

_CLAMP = 1e-6  # probabilities of the U-Net are clamped to [this, 1 - this] before they become logits


def build_network(config: Any) -> nn.Module:
    """The network that a configuration describes, with random weights."""
    model = config.MODEL
    if model.TYPE == "unet":
        return TrackNetV3(input_channels(model.FRAMES, "concat" if model.BACKGROUND else ""), model.FRAMES)
    if model.TYPE == "hrnet":
        return WasbHRNet(model.FRAMES)
    return MMFNet(
        model.FRAMES,
        tuple(model.WIDTHS),
        tuple(model.DEPTHS),
        model.FUSED,
        model.FOLD,
        model.MOTION,
        model.BACKGROUND,
    )


def heat_maps(network: nn.Module, frames: Tensor, background: Tensor | None = None) -> HeatMaps:
    """The heat maps that any of the networks predicts for windows.

    Args:
        network: result of `build_network`.
        frames (B, N, 3, H, W): RGB in [0, 1], oldest first.
        background (B, 3, H, W): RGB in [0, 1], only for networks that take it.

    Returns:
        Logits.
    """
    if isinstance(network, MMFNet):
        return network(frames, background)
    if isinstance(network, WasbHRNet):
        mean, deviation = (frames.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        logits = network(((frames - mean) / deviation).flatten(1, 2))
    else:
        parts = [frames.flatten(1, 2)] if background is None else [background, frames.flatten(1, 2)]
        logits = network(torch.cat(parts, dim=1)).logit(_CLAMP)
    return HeatMaps(logits, logits.new_zeros(len(logits), 0, *logits.shape[1:]))


class Maps(nn.Module):
    """A network for tracking: it returns only the probabilities of the fused maps.

    Args:
        network: result of `build_network`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> tuple[Tensor]:
        """Map frames (B, N, 3, H, W) and, for networks that take it, a background (B, 3, H, W) to ((B, N, h, w),)."""
        return (heat_maps(self.network, *inputs).fused.sigmoid(),)
