"""The small network that the trained enhancers consult, and what it is told of an image.

Its every output is a map over cells of 4x4 px or a value for the whole image. The layers are few and dense: on crops of
128 px time goes by their number.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

BANDS = 3  # of detail: finer than 2 px, than 4 px, than 8 px
ALIGNMENT = 16  # px: images are enlarged to multiples of it, so that every level of the network has whole cells
INPUTS = 5 + BANDS
LEAST = 1e-6  # added to energies: below a noise of 0.001 nothing is told apart, and roots stay differentiable
DARKEST = 0.02  # added to brightness before its logarithm


class Pyramid(NamedTuple):
    """An image (B, 3, H, W) in cells, and its Laplacian pyramid: what each coarser mean of it lacks.

    cells: (B, 3, H / 4, W / 4), means of 4x4 px. fine: (B, 3, H, W). middle: (B, 3, H / 2, W / 2). coarse: as cells.
    energies: (B, 2, H / 2, W / 2), mean squares of fine and middle about every place. coarse_energy: (B, 1, H / 4,
    W / 4), of coarse at every place.
    """

    cells: torch.Tensor
    fine: torch.Tensor
    middle: torch.Tensor
    coarse: torch.Tensor
    energies: torch.Tensor
    coarse_energy: torch.Tensor


def pyramid(images):
    """The Pyramid of images whose sides are multiples of ALIGNMENT."""
    halves = _halved(images)
    cells = _halved(halves)
    fine, middle, coarse = (
        x - enlarged(mean) for x, mean in ((images, halves), (halves, cells), (cells, _halved(cells)))
    )
    # Of the finest band on the grid of the next: at full resolution this would take as long as all the rest.
    energies = _smoothed(torch.cat([_halved(_energy(fine)), _energy(middle)], dim=1)) + LEAST
    return Pyramid(cells, fine, middle, coarse, energies, _energy(coarse) + LEAST)


def whole_cells(images):
    """Images (B, 3, H, W), their last row and column repeated up to the next multiples of ALIGNMENT."""
    height, width = (-side % ALIGNMENT for side in images.shape[2:])
    return F.pad(images, (0, width, 0, height), mode="replicate") if height or width else images


# By slices, on a CPU two to four times faster than the layers that do the same.


def enlarged(x):
    """(B, C, h, w) float32 -> (B, C, 2 h, 2 w), bilinear."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    here = x[..., 1:-1]
    columns = torch.complex(torch.lerp(here, x[..., :-2], 0.25), torch.lerp(here, x[..., 2:], 0.25))
    x = torch.view_as_real(columns).flatten(3)  # left and right in turns, three times faster than stack
    here = x[:, :, 1:-1]
    rows = [torch.lerp(here, x[:, :, :-2], 0.25), torch.lerp(here, x[:, :, 2:], 0.25)]
    return torch.stack(rows, dim=3).flatten(2, 3)


def _halved(x):
    """Means of 2x2 px."""
    x = x[:, :, ::2] + x[:, :, 1::2]
    return (x[..., ::2] + x[..., 1::2]) / 4


def _smoothed(x):
    """By a binomial filter of 3x3 px: sums of neighbours, twice in each direction."""
    x = F.pad(x, (1, 1, 1, 1), mode="replicate")
    x = x[:, :, 1:] + x[:, :, :-1]
    x = x[:, :, 1:] + x[:, :, :-1]
    x = x[..., 1:] + x[..., :-1]
    return (x[..., 1:] + x[..., :-1]) / 16


def _energy(x):
    return x.square().mean(dim=1, keepdim=True)


class Trunk(nn.Module):
    """A small U-net: Pyramid -> maps over the cells (B, maps, h, w), values (B, values). Starts at constants.

    channels: widths at 8 px, at 16 px, of the whole image. steps: how many step numbers it is told apart by. biases:
    (maps, values), at which they start.
    """

    def __init__(self, channels, biases, steps=1):
        super().__init__()
        c0, c1, c2 = channels
        maps, values = map(torch.tensor, biases)
        self.inlet = nn.Conv2d(INPUTS, c0, 2, 2)
        self.down = nn.Conv2d(c0, c1, 2, 2)
        self.middle = nn.Conv2d(c1, c1, 3, padding=1)
        self.overview = nn.Linear(c1, c2)
        self.step = nn.Embedding(steps, 2 * c2)
        self.informed = nn.Linear(c2, c1)
        self.low = nn.Conv2d(c1, c1, 3, padding=1)
        self.up = nn.Conv2d(c1, c0, 1)
        self.high = nn.Conv2d(c0, c0, 3, padding=1)
        self.maps = nn.Conv2d(c0, 4 * len(maps), 1)  # those of the four cells in 8 px
        self.values = nn.Linear(c2, len(values))
        nn.init.zeros_(self.step.weight)
        for layer, bias in ((self.maps, maps.repeat_interleave(4)), (self.values, values)):
            nn.init.zeros_(layer.weight)
            layer.bias.data.copy_(bias)
        self.to(memory_format=torch.channels_last)

    def forward(self, pyramid, step=0):
        value = pyramid.cells.amax(dim=1, keepdim=True)
        energies = torch.cat([_halved(pyramid.energies), pyramid.coarse_energy], dim=1)
        seen = [pyramid.cells, value, torch.log(value + DARKEST) / 4, 10 * torch.sqrt(energies)]
        seen = torch.cat(seen, dim=1).contiguous(memory_format=torch.channels_last)  # a third faster on a CPU
        high = F.silu(self.inlet(seen))
        low = F.silu(self.down(high))
        low = low + F.silu(self.middle(low))
        scale, shift = self.step.weight[step].chunk(2)
        whole = F.silu(self.overview(low.mean(dim=(2, 3)))) * (1 + scale) + shift
        low = low + self.informed(whole)[:, :, None, None]
        low = low + F.silu(self.low(low))
        high = high + F.interpolate(self.up(low), scale_factor=2, mode="nearest")
        high = high + F.silu(self.high(high))
        return F.pixel_shuffle(self.maps(high), 2).float().contiguous(), self.values(whole).float()
