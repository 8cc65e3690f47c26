"""Position encodings of feature maps: fixed sine waves."""

import math

import torch
from torch import Tensor


def sine_positions(padding: Tensor, channels: int, temperature: float = 1e4) -> Tensor:
    """Encode the row and column of each cell as sine and cosine waves (DETR, arXiv:2005.12872, appendix A.4).

    Only cells that show the image are counted, so padding does not shift the encoding. The counts are scaled to the
    interval (0, 2 pi]. The first half of the channels encodes rows, the second half columns. In each half, sine and
    cosine of one wavelength alternate.

    Args:
        padding (B, H, W): bool, true for cells outside the image.
        channels: channels C of the encoding, a multiple of 4.
        temperature: ratio of the longest wavelength to the shortest one.

    Returns:
        (B, C, H, W) float32.

    Raises:
        ValueError: `channels` is not a multiple of 4.
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
