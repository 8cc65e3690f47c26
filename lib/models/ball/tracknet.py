"""TrackNet V1 and V3: encoder-decoders that predict heat maps of the ball for a window of frames.

The modules have the names of the released checkpoints, which load strictly.

    TrackNetV1   arXiv 1907.03698, the public PyTorch port: from 3 frames to 256 grey level classes per pixel
    TrackNetV3   "TrackNetV3: Enhancing ShuttleCock Tracking with Augmentations and Trajectory Rectification" (2023):
                 from 8 frames and the median background to one probability map per frame
    InpaintNet   TrackNetV3's second network: fills gaps of a trajectory
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BACKGROUNDS = ("", "subtract", "subtract_concat", "concat")


def input_channels(frames: int, background: str = "concat") -> int:
    """Number of input channels of TrackNetV3.

    Args:
        frames: length of the window.
        background: use of the median background. "": not used. "subtract": one difference channel per frame instead of
            RGB. "subtract_concat": that channel after each frame's RGB. "concat": background RGB first.

    Returns:
        The number of channels.
    """
    return {"": 3 * frames, "subtract": frames, "subtract_concat": 4 * frames, "concat": 3 * frames + 3}[background]


class TrackNetV3(nn.Module):
    """The tracking network of TrackNetV3: a U-Net of VGG blocks with nearest-neighbour upsampling.

    Args:
        in_channels: see `input_channels`.
        out_channels: number of maps, one per frame of the window.
    """

    def __init__(self, in_channels: int = 27, out_channels: int = 8) -> None:
        super().__init__()
        self.down_block_1 = _Stack(in_channels, 64, 2)
        self.down_block_2 = _Stack(64, 128, 2)
        self.down_block_3 = _Stack(128, 256, 3)
        self.bottleneck = _Stack(256, 512, 3)
        self.up_block_1 = _Stack(512 + 256, 256, 3)
        self.up_block_2 = _Stack(256 + 128, 128, 2)
        self.up_block_3 = _Stack(128 + 64, 64, 2)
        self.predictor = nn.Conv2d(64, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Predict one map per frame.

        Args:
            x (B, in_channels, H, W): the window in [0, 1], not normalised; H and W are multiples of 8.

        Returns:
            (B, out_channels, H, W) probabilities in [0, 1].
        """
        skips = []
        for block in (self.down_block_1, self.down_block_2, self.down_block_3):
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottleneck(x)
        for block, skip in zip((self.up_block_1, self.up_block_2, self.up_block_3), reversed(skips), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        return self.predictor(x).sigmoid()


class _Stack(nn.Sequential):
    """Convolutions of 3x3, each with batch normalisation and ReLU; the first changes the number of channels."""

    def __init__(self, in_channels: int, out_channels: int, depth: int) -> None:
        super().__init__()
        for number in range(depth):
            self.add_module(f"conv_{number + 1}", _ConvBatchNorm(in_channels, out_channels))
            in_channels = out_channels


class _ConvBatchNorm(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)).relu()


class InpaintNet(nn.Module):
    """TrackNetV3's rectification network: 1D convolutions over a trajectory of any length, with skips but no pooling.

    The name `buttleneck` is that of the released checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self.down_1 = _ConvLeaky(3, 32)
        self.down_2 = _ConvLeaky(32, 64)
        self.down_3 = _ConvLeaky(64, 128)
        self.buttleneck = nn.Sequential()
        self.buttleneck.add_module("conv_1", _ConvLeaky(128, 256))
        self.buttleneck.add_module("conv_2", _ConvLeaky(256, 256))
        self.up_1 = _ConvLeaky(256 + 128, 128)
        self.up_2 = _ConvLeaky(128 + 64, 64)
        self.up_3 = _ConvLeaky(64 + 32, 32)
        self.predictor = nn.Conv1d(32, 2, 3, padding=1)

    def forward(self, points: Tensor, gaps: Tensor) -> Tensor:
        """Estimate every point of a trajectory. The caller uses the points in gaps.

        Args:
            points (B, L, 2): x and y, divided by the frame's width and height, 0 inside gaps.
            gaps (B, L, 1): 1 where the point must be filled, else 0.

        Returns:
            (B, L, 2) x and y in [0, 1].
        """
        first = self.down_1(torch.cat([points, gaps], dim=2).transpose(1, 2))
        second = self.down_2(first)
        third = self.down_3(second)
        x = self.up_1(torch.cat([self.buttleneck(third), third], dim=1))
        x = self.up_2(torch.cat([x, second], dim=1))
        x = self.up_3(torch.cat([x, first], dim=1))
        return self.predictor(x).sigmoid().transpose(1, 2)


class _ConvLeaky(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.conv(x), 0.01)


# Output channels of the convolutions between two changes of resolution, and what follows them.
_V1_STAGES = (
    ((64, 64), "down"),
    ((128, 128), "down"),
    ((256, 256, 256), "down"),
    ((512, 512, 512), "up"),
    ((256, 256, 256), "up"),
    ((128, 128), "up"),
    ((64, 64), ""),
)


class TrackNetV1(nn.Module):
    """TrackNet of the public PyTorch port: VGG16 without skips, which classifies the grey level of every pixel.

    Args:
        in_channels: three per frame of the window.
        classes: number of grey levels.
    """

    def __init__(self, in_channels: int = 9, classes: int = 256) -> None:
        super().__init__()
        number = 0
        for widths, _ in (*_V1_STAGES, ((classes,), "")):
            for width in widths:
                number += 1
                self.add_module(f"conv{number}", _ConvThenBatchNorm(in_channels, width))
                in_channels = width
        self.depth = number

    def forward(self, x: Tensor) -> Tensor:
        """Compute the score of every grey level for every pixel.

        Args:
            x (B, in_channels, H, W): the window in [0, 1], newest frame first; H and W multiples of 8.

        Returns:
            (B, classes, H, W) scores. The class with the largest score is the pixel's grey level.
        """
        number = 0
        for widths, after in _V1_STAGES:
            for _ in widths:
                number += 1
                x = self.get_submodule(f"conv{number}")(x)
            if after == "down":
                x = F.max_pool2d(x, 2)
            elif after == "up":
                x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.get_submodule(f"conv{self.depth}")(x)


class _ConvThenBatchNorm(nn.Module):
    """Convolution, ReLU and batch norm. Unlike V3, the port normalises after the ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.block = nn.Sequential(convolution, nn.ReLU(), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)
