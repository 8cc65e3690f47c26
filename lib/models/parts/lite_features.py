"""EfficientNet-Lite0 as the backbone of discriminative trackers: two levels of features, at strides 4 and 8."""

from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn

from .efficientnet_lite import Lite0
from .imagenet import IMAGENET_MEAN, IMAGENET_STD
from .weights import PretrainedBackbone


class LiteFeatures(PretrainedBackbone):
    """Features of a small trunk with the interface of `ResNet`: "layer2" is the fine level, "layer3" the coarse level.

    The strides are half of a ResNet's. A crop of half the side therefore has the same number of cells at a fraction of
    the cost. The trunk's maps at strides 8 and 16 are projected to one width and summed at stride 8.

    Args:
        width: channels of "layer3".
    """

    strides: Mapping[str, int] = {"layer2": 4, "layer3": 8}
    new: tuple[str, ...] = ("middle.", "coarse.", "norm.")

    def __init__(self, width: int):
        super().__init__()
        self.trunk = Lite0()
        self.channels = {"layer2": self.trunk.channels[4], "layer3": width}
        self.middle = nn.Conv2d(self.trunk.channels[8], width, 1, bias=False)
        self.coarse = nn.Conv2d(self.trunk.channels[16], width, 1, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute the features of images (B, 3, H, W), normalised as for a ResNet; see `ResNet.forward`."""
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        # The trunk was trained on (x - 127) / 128 for x in 0..255.
        fine, middle, coarse = self.trunk((images * std + mean) * (255 / 128) - 127 / 128)
        coarse = F.interpolate(self.coarse(coarse), scale_factor=2.0, mode="bilinear", align_corners=False)
        return {"layer2": fine, "layer3": F.relu(self.norm(self.middle(middle) + coarse))}

    def published(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        return {f"trunk.{name}": value for name, value in self.trunk.folded(state).items()}
