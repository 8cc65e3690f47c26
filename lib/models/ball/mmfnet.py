"""MMFNet: multi-stage multi-scale fusion for a ball of a few pixels in a window of frames.

The published description of the network is short (Badminton100K): shallow stages keep detail at high resolution, deep
stages have global context, and features of several scales are fused at several stages. This is a reconstruction:

    encoder    five stages of 3x3 convolutions with strides 1, 2, 4, 8, 16, as VGG16 with batch normalisation
    fusion     at strides 8, 4, 2 and 1: the finer stage, the stage itself, the coarser fused stage and the deepest
               stage are resampled to one size, summed, and mixed by gated parallel dilated convolutions
    output     each fused stage predicts a map of every frame (deep supervision); a 1x1 convolution merges the four

All sizes are parameters. A small network can work at half the resolution without losing information: `fold` 2 moves
each square of 2x2 px to the channels (pixel unshuffle). The maps then have one cell per square.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTHS = (64, 128, 256, 512, 512)
DEPTHS = (2, 2, 3, 3, 3)
DILATIONS = (1, 2, 4)
STRIDE = 16  # of the deepest stage, cells
_GREY = (0.299, 0.587, 0.114)
MOTION_GAIN = 8.0  # a ball changes the brightness by 0.05 to 0.2; the gain brings that to the range of the frames


class HeatMaps(NamedTuple):
    """Logits of the maps, one per frame. H and W are those of the input, divided by the fold.

    Attributes:
        fused (B, N, H, W): the final maps.
        sides (B, 4, N, H, W): upsampled maps of strides 1, 2, 4, 8, for deep supervision; (B, 0, N, H, W) of networks
            without.
    """

    fused: Tensor
    sides: Tensor


class MMFNet(nn.Module):
    """Predicts a heat map for each frame of a window.

    Args:
        frames: length N of the window, at least 3.
        widths: channels of the five stages of the encoder.
        depths: convolutions in each of these stages.
        fused: channels of the fused stages.
        fold: side of the squares of px that are moved to the channels.
        motion: use the brightness increase and decrease since the frame before as additional inputs.
        background: use the median image of the rally as an additional input.
    """

    def __init__(
        self,
        frames: int = 3,
        widths: tuple = WIDTHS,
        depths: tuple = DEPTHS,
        fused: int = 64,
        fold: int = 1,
        motion: bool = False,
        background: bool = False,
    ) -> None:
        super().__init__()
        self.frames, self.fold, self.motion, self.background = frames, fold, motion, background
        channels = (3 * frames + 2 * (frames - 1) * motion + 3 * background) * fold**2
        stages = []
        for width, depth in zip(widths, depths, strict=True):
            stages.append(nn.Sequential(*(_conv(channels if k == 0 else width, width) for k in range(depth))))
            channels = width
        self.encoder = nn.ModuleList(stages)
        self.fusion = nn.ModuleList(
            _Fusion(widths[stage - 1] if stage else 0, widths[stage], 0 if stage == 3 else fused, widths[-1], fused)
            for stage in range(4)
        )
        self.sides = nn.ModuleList(nn.Conv2d(fused, frames, 1) for _ in range(4))
        self.merge = nn.Conv2d(4 * frames, frames, 1)
        self._start()

    def _start(self):
        """Initialise so that all maps are near 0, like most cells of a label, and the merged map is the sides' mean."""
        for side in self.sides:
            nn.init.constant_(side.bias, -4.0)
        nn.init.zeros_(self.merge.bias)
        with torch.no_grad():
            self.merge.weight.copy_(torch.eye(self.frames).repeat(1, 4)[..., None, None] / 4)

    def forward(self, frames: Tensor, background: Tensor | None = None) -> HeatMaps:
        """Predict the maps.

        Args:
            frames (B, N, 3, H, W): RGB in [0, 1], oldest first; H and W multiples of 16 times the fold.
            background (B, 3, H, W): RGB in [0, 1], only for a network with `background`.

        Returns:
            Logits of the fused maps and of the side maps.
        """
        multiple = STRIDE * self.fold
        if frames.shape[1] != self.frames or frames.shape[-1] % multiple or frames.shape[-2] % multiple:
            expected = f"(B, {self.frames}, 3, H, W) with H and W multiples of {multiple}"
            raise ValueError(f"expected frames of shape {expected}, found {tuple(frames.shape)}")
        if (background is None) == self.background:
            raise ValueError(f"expected {'a' if self.background else 'no'} background")
        # With channels last, convolutions of few channels are a fifth faster on a CPU.
        x = self._inputs(frames, background).contiguous(memory_format=torch.channels_last)
        stages, halved = [self.encoder[0](x)], []
        for block in self.encoder[1:]:
            halved.append(F.max_pool2d(stages[-1], 2))
            stages.append(block(halved[-1]))
        deepest, coarser, sides = stages[4], None, []
        for stage in (3, 2, 1, 0):
            finer = halved[stage - 1] if stage else None
            coarser = self.fusion[stage](finer, stages[stage], coarser, deepest)
            side = self.sides[stage](coarser)
            sides.insert(0, _enlarge(side, stages[0].shape[-2:]))
        return HeatMaps(self.merge(torch.cat(sides, dim=1)), torch.stack(sides, dim=1))

    def _inputs(self, frames, background):
        parts = [frames.flatten(1, 2) - 0.5]
        if self.motion:
            grey = (frames * frames.new_tensor(_GREY)[:, None, None]).sum(dim=2)
            change = MOTION_GAIN * (grey[:, 1:] - grey[:, :-1])
            parts += [change.relu(), (-change).relu()]
        if background is not None:
            parts.append(background - 0.5)
        return F.pixel_unshuffle(torch.cat(parts, dim=1), self.fold)


class _Fusion(nn.Module):
    """Fuses the features of several scales at one of them.

    Args:
        finer, same, coarser, deepest: channels of the four inputs; 0 for an input that the stage does not have. The
            finer one is already pooled to the size of this stage.
        fused: channels of the result.
    """

    def __init__(self, finer: int, same: int, coarser: int, deepest: int, fused: int) -> None:
        super().__init__()
        self.finer = nn.Conv2d(finer, fused, 1, bias=False) if finer else None
        self.same = nn.Conv2d(same, fused, 1, bias=False)
        self.coarser = nn.Conv2d(coarser, fused, 1, bias=False) if coarser else None
        self.deepest = nn.Conv2d(deepest, fused, 1, bias=False)
        self.norm = nn.BatchNorm2d(fused)
        self.mix = _conv(fused, fused)
        self.dilated = nn.ModuleList(_conv(fused, fused, dilation) for dilation in DILATIONS)
        self.join = nn.Sequential(nn.Conv2d(len(DILATIONS) * fused, fused, 1, bias=False), nn.BatchNorm2d(fused))
        self.gate = nn.Linear(deepest, fused)

    def forward(self, finer: Tensor | None, same: Tensor, coarser: Tensor | None, deepest: Tensor) -> Tensor:
        size = same.shape[-2:]
        total = self.same(same) + _enlarge(self.deepest(deepest), size)
        if finer is not None:
            total = total + self.finer(finer)
        if coarser is not None:
            total = total + _enlarge(self.coarser(coarser), size)
        x = self.mix(self.norm(total).relu())
        y = self.join(torch.cat([branch(x) for branch in self.dilated], dim=1))
        gate = self.gate(deepest.mean(dim=(2, 3))).sigmoid()[..., None, None]
        return (x + gate * y).relu()


def _conv(in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 3, padding=dilation, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels), nn.ReLU())


def _enlarge(x: Tensor, size: tuple) -> Tensor:
    return x if x.shape[-2:] == size else F.interpolate(x, size=size, mode="bilinear", align_corners=False)
