"""WASB's network: a small HRNet that keeps a branch at full resolution (arXiv 2311.05237).

The modules have the names of the released checkpoints (`model_state_dict`), which load strictly. Only the branch of
full resolution reaches the maps. The released network computes the other branches of the last stage and discards them.
Here they exist only for their weights and are not computed.
"""

import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (16, 32, 64, 128)  # channels of the branches of strides 1, 2, 4, 8


class WasbHRNet(nn.Module):
    """Four stages of parallel branches with exchange between them, and a 1x1 head on the finest.

    Args:
        frames: length of the window. Each frame has 3 input channels and one output map.
    """

    def __init__(self, frames: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 * frames, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = nn.Conv2d(64, 64, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(64)
        self.layer1 = nn.Sequential(_Bottleneck(64, 32))
        self.transition1 = nn.ModuleDict({"0": _conv(128, WIDTHS[0]), "1": nn.Sequential(_conv(128, WIDTHS[1], 2))})
        self.stage2 = nn.Sequential(_Exchange(2))
        self.transition2 = nn.ModuleDict({"2": nn.Sequential(_conv(WIDTHS[1], WIDTHS[2], 2))})
        self.stage3 = nn.Sequential(_Exchange(3))
        self.transition3 = nn.ModuleDict({"3": nn.Sequential(_conv(WIDTHS[2], WIDTHS[3], 2))})
        self.stage4 = nn.Sequential(_Exchange(4, wanted=1))
        self.final_layers = nn.ModuleList([nn.Conv2d(WIDTHS[0], frames, 1)])

    def forward(self, x: Tensor) -> Tensor:
        """Predict one map per frame.

        Args:
            x (B, 3 * frames, H, W): the window, oldest frame first, with ImageNet's mean and deviation removed;
                H and W multiples of 8.

        Returns:
            (B, frames, H, W) logits.
        """
        x = self.bn1(self.conv1(x)).relu()
        x = self.layer1(self.bn2(self.conv2(x)).relu())
        branches = self.stage2([self.transition1["0"](x), self.transition1["1"](x)])
        branches = self.stage3([*branches, self.transition2["2"](branches[-1])])
        branches = self.stage4([*branches, self.transition3["3"](branches[-1])])
        return self.final_layers[0](branches[0])


class _Exchange(nn.Module):
    """One module of HRNet: two residual blocks on each branch, then each branch adds all other branches.

    Args:
        count: number of branches.
        wanted: number of the finest branches that are computed after the exchange; None for all.
    """

    def __init__(self, count: int, wanted: int | None = None) -> None:
        super().__init__()
        self.wanted = wanted or count
        widths = WIDTHS[:count]
        self.branches = nn.ModuleList(nn.Sequential(_Basic(width), _Basic(width)) for width in widths)
        self.fuse_layers = nn.ModuleList(
            nn.ModuleDict({str(source): _resample(source, target) for source in range(count) if source != target})
            for target in range(count)
        )

    def forward(self, branches: list[Tensor]) -> list[Tensor]:
        branches = [branch(x) for branch, x in zip(self.branches, branches, strict=True)]
        fused = []
        for target, layers in enumerate(self.fuse_layers[: self.wanted]):
            total = None
            for source, x in enumerate(branches):
                part = x if source == target else layers[str(source)](x)
                if source > target:
                    part = F.interpolate(part, scale_factor=float(2 ** (source - target)), mode="nearest")
                total = part if total is None else total + part
            fused.append(total.relu())
        return fused


def _resample(source: int, target: int) -> nn.Sequential:
    """Convert a branch to the width of another. A coarser target also needs strided convolutions of stride 2."""
    if source > target:
        convolution = nn.Conv2d(WIDTHS[source], WIDTHS[target], 1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(WIDTHS[target]))
    steps = [_conv(WIDTHS[source], WIDTHS[source], 2) for _ in range(target - source - 1)]
    return nn.Sequential(*steps, _conv(WIDTHS[source], WIDTHS[target], 2)[:2])


def _conv(in_channels: int, out_channels: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


class _Basic(nn.Module):
    """ResNet's block of two 3x3 convolutions."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return (self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())) + x).relu()


class _Bottleneck(nn.Module):
    """ResNet's block of 1x1, 3x3 and 1x1 convolutions; the last is four times as wide."""

    def __init__(self, in_channels: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = nn.Sequential(nn.Conv2d(in_channels, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu())).relu()
        return (self.bn3(self.conv3(y)) + self.downsample(x)).relu()
