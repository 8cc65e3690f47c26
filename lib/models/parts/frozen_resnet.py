"""A ResNet up to its third stage with frozen batch norm: the trunk of DETR-style trackers (STARK, STTrack)."""

from collections import OrderedDict
from collections.abc import Mapping
from os import PathLike

import torchvision
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from ...errors import UserError
from .weights import LoadReport, load_weights

DEPTHS: Mapping[str, int] = {"resnet18": 256, "resnet34": 256, "resnet50": 1024, "resnet101": 1024}
STRIDE = 16  # px of the image per cell of the third stage


class FrozenResNet(nn.Module):
    """ResNet (arXiv:1512.03385) without its last stage, whose batch norms never change (arXiv:2005.12872).

    Scale, shift, mean and variance of the batch norms are buffers: training alters none of them. The first
    convolution and the first stage do not learn either, as in DETR and STARK. Keys are those of STARK's checkpoints
    below "backbone.0.".

    Args:
        name: one of DEPTHS.

    Attributes:
        channels: channels of the output.

    Raises:
        ValueError: unknown name.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        if name not in DEPTHS:
            raise ValueError(f"backbone {name!r}: expected one of {', '.join(DEPTHS)}")
        self.channels = DEPTHS[name]
        whole = getattr(torchvision.models, name)(weights=None, norm_layer=FrozenBatchNorm2d)
        used = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3")
        self.body = nn.Sequential(OrderedDict((part, getattr(whole, part)) for part in used))
        for part in (self.body.conv1, self.body.layer1):
            part.requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Features of images.

        Args:
            images (B, 3, H, W): float, normalised; H and W multiples of 16 px.

        Returns:
            (B, channels, H / 16, W / 16).
        """
        return self.body(images)


def load_imagenet(trunk: FrozenResNet, path: str | PathLike) -> LoadReport:
    """Start a trunk from published weights of image classification, in place.

    Args:
        trunk: the trunk.
        path: a file of torchvision's weights of the same ResNet. Its last stage and its classifier are not used.

    Returns:
        What became of each tensor.

    Raises:
        UserError: the file does not hold every tensor of the trunk.
    """
    report = load_weights(trunk.body, path, strict=False)
    if report.missing or report.mismatched:
        raise UserError(f"these weights are of another ResNet: {report}")
    return report
