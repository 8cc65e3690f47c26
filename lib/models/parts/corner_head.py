"""The corner head: predicts a box by score maps of its two corners (STARK, arXiv:2103.17154, section 3.1)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

CORNERS = ("tl", "br")  # upper left, lower right; the names are those of STARK's checkpoints


class CornerOutput(NamedTuple):
    """One box per sample, float32.

    Attributes:
        boxes_xyxy (B, 4): corners in crop sides.
        top_left, bottom_right (B, 1, H, W): scores of the cells before the softmax.
    """

    boxes_xyxy: Tensor
    top_left: Tensor
    bottom_right: Tensor


class CornerHead(nn.Module):
    """Five convolutions per corner. The corner is the mean cell position, weighted by the softmax of the scores.

    Args:
        inputs: channels C of the features.
        channels: channels of the first convolution. Each further one has half as many.
        half_cell: whether the position of a cell is its centre. If false, it is its upper left corner, as in the
            released STARK. Corners then never lie beyond 1 - 1/W of the crop. Weights trained with one setting give
            boxes that are half a cell off with the other.
    """

    def __init__(self, inputs: int, channels: int, half_cell: bool) -> None:
        super().__init__()
        self.shift = 0.5 if half_cell else 0.0
        widths = [inputs, *(channels // 2**i for i in range(4))]
        for corner in CORNERS:
            for i in range(4):
                layer = nn.Sequential(
                    nn.Conv2d(widths[i], widths[i + 1], 3, padding=1), nn.BatchNorm2d(widths[i + 1]), nn.ReLU()
                )
                self.add_module(f"conv{i + 1}_{corner}", layer)
            self.add_module(f"conv5_{corner}", nn.Conv2d(widths[4], 1, 1))

    def forward(self, features: Tensor) -> CornerOutput:
        """Find the box.

        Args:
            features (B, C, H, W): features of the search crop.
        """
        maps = [self.score(features, corner) for corner in CORNERS]
        return CornerOutput(torch.cat([mean_position(scores, self.shift) for scores in maps], dim=1), *maps)

    def score(self, features: Tensor, corner: str) -> Tensor:
        """Score map (B, 1, H, W) float32 of one of CORNERS, from features (B, C, H, W)."""
        for i in range(1, 6):
            features = getattr(self, f"conv{i}_{corner}")(features)
        return features.float()


def mean_position(scores: Tensor, shift: float) -> Tensor:
    """Mean cell position, weighted by the softmax of the scores (soft-argmax).

    Args:
        scores (B, 1, H, W): finite.
        shift: added to the index of a cell, cells; 0.5 for its centre.

    Returns:
        (B, 2) x and y, divided by the map's width and height.
    """
    height, width = scores.shape[-2:]
    share = scores.flatten(1).softmax(dim=1).view(-1, height, width)
    x, y = ((torch.arange(n, device=scores.device, dtype=share.dtype) + shift) / n for n in (width, height))
    return torch.stack([(share.sum(dim=1) * x).sum(dim=1), (share.sum(dim=2) * y).sum(dim=1)], dim=1)


def attended_map(features: Tensor, query: Tensor, window: Tensor | float = 1.0) -> Tensor:
    """Multiply each token of a square search crop by its dot product with the query. There is no softmax.

    Args:
        features (B, H*H, C): encoded tokens of the crop, row by row.
        query (B, 1, C): output of the decoder.
        window (H*H, 1): factor of the dot products.

    Returns:
        (B, C, H, H).
    """
    weighted = features * (features @ query.transpose(1, 2) * window)
    side = round(features.shape[1] ** 0.5)
    return weighted.transpose(1, 2).unflatten(2, (side, side)).contiguous()
