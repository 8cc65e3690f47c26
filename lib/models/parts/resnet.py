"""torchvision's ResNet up to its third stage, as DiMP's and STARK's relatives use it."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from .weights import PretrainedBackbone

CHANNELS: dict[int, Mapping[str, int]] = {depth: {"layer1": 64, "layer2": 128, "layer3": 256} for depth in (18, 34)}
CHANNELS |= {depth: {"layer1": 256, "layer2": 512, "layer3": 1024} for depth in (50, 101)}
STRIDES = {"layer1": 4, "layer2": 8, "layer3": 16}
UNUSED = ("layer4.", "fc.")  # parts of the classification network that no tracker uses


def _used_parts(depth: int, norm: Callable[..., nn.Module]) -> OrderedDict[str, nn.Module]:
    """The stem and the first three stages of a ResNet with random weights, by torchvision's names."""
    whole = getattr(torchvision.models, f"resnet{depth}")(weights=None, norm_layer=norm)
    names = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
    return OrderedDict((name, getattr(whole, name)) for name in names)


class ResNet(PretrainedBackbone):
    """Features of a ResNet (arXiv:1512.03385) at three strides, for discriminative trackers.

    The keys are torchvision's.

    Args:
        depth: 18, 34, 50 or 101.

    Attributes:
        channels: {layer: channels}.
        strides: {layer: px per cell}.
    """

    def __init__(self, depth: int):
        super().__init__()
        for name, part in _used_parts(depth, nn.BatchNorm2d).items():
            self.add_module(name, part)
        self.channels, self.strides = CHANNELS[depth], STRIDES

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute features.

        Args:
            images (B, 3, H, W): normalised by ImageNet's mean and standard deviation.

        Returns:
            {layer: (B, channels, H / stride, W / stride)} of "layer1", "layer2" and "layer3".
        """
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        features = {}
        for name in STRIDES:
            x = features[name] = getattr(self, name)(x)
        return features

    def published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        own = self.state_dict()
        counters = {name: value for name, value in own.items() if name.endswith("num_batches_tracked")}
        return counters | drop_unused(state, "")  # older files lack the counters


class FrozenResNet(PretrainedBackbone):
    """Features of a ResNet at stride 16 with batch norms that never change, as in DETR (arXiv:2005.12872) and STARK.

    Scale, shift, mean and variance of the batch norms are buffers. The first convolution and the first stage have no
    gradients either. The keys are those of STARK's checkpoints after "backbone.0.".

    Args:
        name: "resnet18", "resnet34", "resnet50" or "resnet101".

    Attributes:
        channels: channels of the output.

    Raises:
        ValueError: unknown name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        depths = {f"resnet{depth}": depth for depth in CHANNELS}
        if name not in depths:
            raise ValueError(f"backbone {name!r}: expected one of {', '.join(depths)}")
        self.channels = CHANNELS[depths[name]]["layer3"]
        self.body = nn.Sequential(_used_parts(depths[name], FrozenBatchNorm2d))
        for part in (self.body.conv1, self.body.layer1):
            part.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Compute features.

        Args:
            images (B, 3, H, W): normalised; H and W are multiples of 16 px.

        Returns:
            (B, channels, H / 16, W / 16).
        """
        return self.body(images)

    def published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        used = drop_unused(state, "").items()
        return {f"body.{name}": value for name, value in used if not name.endswith("num_batches_tracked")}


def drop_unused(state: dict[str, Tensor], prefix: str = "feature_extractor.") -> dict[str, Tensor]:
    """Remove the stages that no tracker uses from a released state dict.

    Args:
        state: state dict of a released network.
        prefix: prefix of the ResNet's names in it.

    Returns:
        The state dict without the ResNet's fourth stage and classification layer.
    """
    unused = tuple(prefix + name for name in UNUSED)
    return {key: value for key, value in state.items() if not key.startswith(unused)}
