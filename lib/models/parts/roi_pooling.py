"""Precise RoI pooling (IoU-Net, arXiv:1807.11590) in closed form, without a custom operator."""

import torch
from torch import Tensor


def _hat_integrals(edges: Tensor, cells: int) -> Tensor:
    """Integrate the hat function of every cell over every bin.

    The hat function of cell i is 1 - |u - i| for |u - i| < 1. Each half is linear, so the integral over an interval is
    its length times the value in its middle. This form is precise for bins that are much smaller than a cell.

    Args:
        edges (..., K + 1): borders of the K bins, in cells.
        cells: number of cells.

    Returns:
        (..., K, cells) integrals. They are negative where a bin's end lies before its start.
    """
    offset = edges[..., None] - torch.arange(cells, device=edges.device, dtype=edges.dtype)
    rising = offset.clamp(-1, 0)
    # Not clamp(0, 1): an edge on a cell's centre would then have the gradient of both halves.
    falling = offset.clamp(-1, 1) - rising
    start, end = rising[..., :-1, :], rising[..., 1:, :]
    integral = (end - start) * (1 + (start + end) / 2)
    start, end = falling[..., :-1, :], falling[..., 1:, :]
    return integral + (end - start) * (1 - (start + end) / 2)


def _bin_averages(start: Tensor, length: Tensor, bins: int, cells: int) -> Tensor:
    """Weights (..., bins, cells) that average a row of cells over equal bins. They are zero for an empty interval."""
    steps = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
    valid = length > 0
    length = torch.where(valid, length, 1.0)
    edges = start[..., None] + length[..., None] * steps
    widths = edges[..., 1:] - edges[..., :-1]
    # Rounding can give two edges of a very short bin the same value.
    filled = widths > 0
    weights = _hat_integrals(edges, cells) / torch.where(filled, widths, 1.0)[..., None]
    return torch.where((valid[..., None] & filled)[..., None], weights, 0.0)


def precise_roi_pool(features: Tensor, boxes: Tensor, size: int | tuple[int, int], stride: float) -> Tensor:
    """Average a feature map over the bins of each box.

    The map is interpolated bilinearly, with zeros outside, and the average is its exact integral. The result therefore
    has exact gradients for the features and for the boxes. Cell i lies at coordinate i, not i + 0.5: a box is divided
    by the stride without a shift of half a cell, as the released networks expect.

    Args:
        features (B, C, H, W): feature maps.
        boxes (B, N, 4): xywh, px of the image that the maps were computed from.
        size: number of bins down and across, or one number for both.
        stride: px per cell.

    Returns:
        (B, N, C, bins down, bins across). Boxes of zero or negative width or height give zeros and no gradient.

    Source: Jiang et al., arXiv:1807.11590, eq. 5.
    """
    down, across = (size, size) if isinstance(size, int) else size
    x, y, width, height = (boxes / stride).unbind(-1)
    columns = _bin_averages(x, width, across, features.shape[-1])
    rows = _bin_averages(y, height, down, features.shape[-2])
    filled = ((width > 0) & (height > 0))[..., None, None]
    # Contract the longer sum first and keep the features unrepeated: (B, C, H, W) is never copied for each box.
    partial = torch.einsum("bchw,bnqw->bnhcq", features, torch.where(filled, columns, 0.0))
    return torch.einsum("bnph,bnhcq->bncpq", torch.where(filled, rows, 0.0), partial)
