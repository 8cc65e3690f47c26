"""Precise RoI pooling (IoU-Net, arXiv:1807.11590) in closed form, without a custom operator."""

import math

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


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
    falling = offset.clamp(0, 1)
    start, end = rising[..., :-1, :], rising[..., 1:, :]
    integral = (end - start) * (1 + (start + end) / 2)
    start, end = falling[..., :-1, :], falling[..., 1:, :]
    return integral + (end - start) * (1 - (start + end) / 2)


class _BinAverages(torch.autograd.Function):
    """Weights that average a row of cells over equal bins, with their derivatives in closed form.

    The weight of a cell is the integral of its hat function over the bin / the bin's width. When an end of the bin
    moves, the integral changes by the hat function there.
    """

    @staticmethod
    def forward(ctx, start, length, bins, cells):
        steps = torch.arange(bins + 1, device=start.device, dtype=start.dtype) / bins
        edges = start[..., None] + length[..., None] * steps
        widths = edges[..., 1:] - edges[..., :-1]
        # Rounding can give two edges of a very short bin the same value.
        filled = (widths > 0) & (length > 0)[..., None]
        widths = torch.where(filled, widths, 1.0)
        weights = torch.where(filled[..., None], _hat_integrals(edges, cells) / widths[..., None], 0.0)
        ctx.save_for_backward(steps, edges, widths, filled, weights)
        return weights

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        steps, edges, widths, filled, weights = ctx.saved_tensors
        cells = torch.arange(weights.shape[-1], device=edges.device, dtype=edges.dtype)
        hats = (1 - (edges[..., None] - cells).abs()).clamp(min=0)
        gradient = gradient * (filled / widths)[..., None]
        begins = (gradient * (weights - hats[..., :-1, :])).sum(dim=-1)
        ends = (gradient * (hats[..., 1:, :] - weights)).sum(dim=-1)
        return (begins + ends).sum(dim=-1), begins @ steps[:-1] + ends @ steps[1:], None, None


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
    part = ..., _reached(y, height, features.shape[-2]), _reached(x, width, features.shape[-1])
    if down == across and features.shape[-2] == features.shape[-1]:  # both at once, in half as many operations
        ends = torch.stack([y, x]), torch.stack([height, width])
        rows, columns = _BinAverages.apply(*ends, across, features.shape[-1]).unbind()
    else:
        columns = _BinAverages.apply(x, width, across, features.shape[-1])
        rows = _BinAverages.apply(y, height, down, features.shape[-2])
    # Contract the longer sum first and keep the features unrepeated: (B, C, H, W) is never copied for each box.
    partial = torch.einsum("bchw,bnqw->bnhcq", features[part], columns[..., part[2]])
    return torch.einsum("bnph,bnhcq->bncpq", rows[..., part[1]], partial)


def _reached(start, length, cells):
    """Slice of the cells that any of the boxes reaches. Only on a CPU, because other devices would have to be asked."""
    ends = torch.stack([start, start + length]).detach()
    if ends.device.type != "cpu" or not ends.isfinite().all():
        return slice(cells)
    low, high = (value.item() for value in ends.aminmax())
    return slice(min(max(math.floor(low), 0), cells - 1), min(max(math.ceil(high), 0), cells - 1) + 1)
