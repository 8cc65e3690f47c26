"""Position encodings of feature maps: fixed sine waves, or learned tables."""

import math

import torch
from torch import Tensor, nn


def sine_positions(padding: Tensor, channels: int, temperature: float = 1e4) -> Tensor:
    """Encode the row and column of each cell as sine and cosine waves (DETR, arXiv:2005.12872, appendix A.4).

    Rows and columns are counted over the cells that show the image, so that padding does not shift the encoding, and
    are scaled to the interval (0, 2 pi]. The first half of the channels encodes rows, the second half columns. In each
    half, sine and cosine of one wavelength alternate.

    Args:
        padding (B, H, W): bool, true where a cell shows nothing of the image.
        channels: channels C of the encoding, a multiple of 4.
        temperature: ratio of the longest wavelength to the shortest one.

    Returns:
        (B, C, H, W) float32.

    Raises:
        ValueError: a number of channels that is no multiple of 4.
    """
    if channels % 4:
        raise ValueError(f"{channels} channels: expected a multiple of 4")
    half = channels // 2
    seen = (~padding).float()
    wavelength = torch.arange(half, dtype=torch.float32, device=padding.device)
    wavelength = temperature ** (2 * torch.div(wavelength, 2, rounding_mode="floor") / half)
    parts = []
    for axis in (1, 2):
        count = seen.cumsum(dim=axis)
        last = count.narrow(axis, count.shape[axis] - 1, 1)
        phase = (count / (last + 1e-6) * (2 * math.pi))[..., None] / wavelength
        waves = torch.stack([phase[..., 0::2].sin(), phase[..., 1::2].cos()], dim=-1)
        parts.append(waves.flatten(-2))
    return torch.cat(parts, dim=-1).permute(0, 3, 1, 2)


class LearnedPositions(nn.Module):
    """A learned vector for each row and one for each column (DETR, arXiv:2005.12872).

    Args:
        channels: channels C of the encoding, even: the first half is the column's vector, the second half the row's.
        cells: the largest number of rows and of columns.
    """

    def __init__(self, channels: int, cells: int = 50) -> None:
        super().__init__()
        self.row_embed = nn.Embedding(cells, channels // 2)
        self.col_embed = nn.Embedding(cells, channels // 2)
        nn.init.uniform_(self.row_embed.weight)
        nn.init.uniform_(self.col_embed.weight)

    def forward(self, padding: Tensor) -> Tensor:
        """Encode the cells of a map.

        Args:
            padding (B, H, W): bool; only its shape matters.

        Returns:
            (B, C, H, W).
        """
        batch, height, width = padding.shape
        columns = self.col_embed.weight[:width].expand(height, -1, -1)
        rows = self.row_embed.weight[:height, None].expand(-1, width, -1)
        return torch.cat([columns, rows], dim=-1).permute(2, 0, 1).expand(batch, -1, -1, -1)
