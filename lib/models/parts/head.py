"""The centre head: score map, size map and offset map."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TOWERS = {"ctr": 1, "offset": 2, "size": 2}  # output channels; the names are those of OSTrack's checkpoints


def conv_bn_relu(inputs: int, outputs: int) -> nn.Sequential:
    """3x3 convolution, batch norm and ReLU, from `inputs` to `outputs` channels."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def separable(inputs: int, outputs: int, kernel: int = 3) -> nn.Sequential:
    """Depthwise convolution, then a 1x1 convolution to the outputs, each with a batch norm; ReLU at the end."""
    return nn.Sequential(
        nn.Conv2d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs, bias=False),
        nn.BatchNorm2d(inputs),
        nn.Conv2d(inputs, outputs, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SeparableHead(nn.Module):
    """A cheap head: one tower of depthwise separable convolutions for the score, one for the box.

    It needs about a tenth of the arithmetic of a CenterHead of the same width and returns the same maps.

    Args:
        inputs: channels C of the features.
        channels: width of the towers.
    """

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        for name, outputs in (("score", 1), ("box", 4)):
            tower = [separable(inputs, channels), separable(channels, channels), separable(channels, channels)]
            self.add_module(name, nn.Sequential(*tower, nn.Conv2d(channels, outputs, 1)))
        # The same initial values as in CenterHead.
        nn.init.constant_(self.score[-1].bias, -2.19)
        with torch.no_grad():
            self.box[-1].bias.copy_(torch.tensor([0.5, 0.5, -1.1, -1.1]))

    def forward(self, features: Tensor, image: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, G, G) -> float32 score (B, 1, G, G), size (B, 2, G, G), offset (B, 2, G, G), as CenterHead's."""
        offset, size = self.box(features).float().chunk(2, dim=1)
        return self.score(features).float().sigmoid().clamp(1e-4, 1 - 1e-4), size.sigmoid(), offset


class CenterHead(nn.Module):
    """Three convolutional towers over the search features (CenterNet, arXiv:1904.07850; OSTrack, arXiv:2203.11991).

    With `fine`, maps have twice the resolution of the features, for targets of a few pixels. The first convolution of
    each tower runs at the coarse resolution, where it is cheap. Its output is upsampled bilinearly. A small
    convolutional stem on the crop adds detail through a 1x1 convolution that is initialised with zeros. Weights of a
    head without `fine` therefore fit one with `fine`, which then computes the same maps, upsampled.

    Args:
        inputs: channels C of the features.
        channels: channels after the first convolution; halved at each of the three that follow.
        fine: whether the maps have twice the resolution of the features.
    """

    def __init__(self, inputs: int, channels: int, *, fine: bool) -> None:
        super().__init__()
        self.fine = fine
        widths = [inputs] + [channels // 2**i for i in range(4)]
        for tower, outputs in TOWERS.items():
            for i in range(4):
                self.add_module(f"conv{i + 1}_{tower}", conv_bn_relu(widths[i], widths[i + 1]))
            self.add_module(f"conv5_{tower}", nn.Conv2d(widths[-1], outputs, 1))
        # Most cells are background, so the initial score is 0.1, not 0.5 (RetinaNet, arXiv:1708.02002, section 4.1).
        nn.init.constant_(self.conv5_ctr.bias, -2.19)
        nn.init.constant_(self.conv5_size.bias, -1.1)  # 1/4 of the crop: the size of a target with factor 4
        if fine:
            layers = []
            for narrow, wide in ((3, 32), (32, 64), (64, 128)):
                layers += [nn.Conv2d(narrow, wide, 3, stride=2, padding=1), nn.BatchNorm2d(wide), nn.GELU()]
            self.stem = nn.Sequential(*layers)
            self.lateral = nn.Conv2d(128, channels, 1)
            nn.init.zeros_(self.lateral.weight)
            nn.init.zeros_(self.lateral.bias)

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Score, size and offset maps.

        Args:
            features (B, C, G, G): features of the search crop.
            image (B, 3, S, S): the normalised search crop; only used if `fine`.

        Returns:
            float32 score (B, 1, H, H) in [1e-4, 1 - 1e-4], size (B, 2, H, H) in (0, 1), offset (B, 2, H, H) in cells;
            H = G, or 2G if `fine`.
        """
        detail = None
        if self.fine:
            size = (2 * features.shape[-2], 2 * features.shape[-1])
            detail = self.lateral(self.stem(image))
            if detail.shape[-2:] != size:  # patch 14: the stem's stride is 8, the map's is 7
                detail = F.interpolate(detail, size, mode="bilinear", align_corners=False)
        maps = {tower: self._tower(tower, features, detail).float() for tower in TOWERS}
        # The clamp keeps the logarithms of the focal loss finite.
        return maps["ctr"].sigmoid().clamp(1e-4, 1 - 1e-4), maps["size"].sigmoid(), maps["offset"]

    def _tower(self, name, x, detail):
        x = self.get_submodule(f"conv1_{name}")(x)
        if detail is not None:
            x = F.interpolate(x, detail.shape[-2:], mode="bilinear", align_corners=False) + detail
        for i in range(2, 6):
            x = self.get_submodule(f"conv{i}_{name}")(x)
        return x
