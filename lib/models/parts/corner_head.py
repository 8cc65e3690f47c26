"""The corner head: a box from where its two corners are likely to be (STARK, arXiv:2103.17154, section 3.1)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

CORNERS = ("tl", "br")  # upper left, lower right; the names are those of STARK's checkpoints


class CornerOutput(NamedTuple):
    """A box for each sample, float32.

    boxes_xyxy: (B, 4), corners in shares of the search crop.
    top_left, bottom_right: (B, 1, H, W), scores of the cells before the softmax.
    """

    boxes_xyxy: Tensor
    top_left: Tensor
    bottom_right: Tensor


class CornerHead(nn.Module):
    """Five convolutions for each corner; the corner is the mean position of the softmax over the cells.

    Args:
        inputs: channels C of the features.
        channels: width of the first convolution; each further one has half the width of the one before.
        half_cell: whether a cell stands for its middle. Otherwise, as in the released STARK, it stands for its upper
            left corner: then no corner lies beyond 1 - 1/W of the crop, and boxes of a network trained so come out
            half a cell off when the flag is set.
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
            features (B, C, H, W): of the search crop.
        """
        maps = [self.score(features, corner) for corner in CORNERS]
        return CornerOutput(torch.cat([mean_position(scores, self.shift) for scores in maps], dim=1), *maps)

    def score(self, features: Tensor, corner: str) -> Tensor:
        """Scores (B, 1, H, W) float32 of one of CORNERS, from features (B, C, H, W)."""
        for i in range(1, 6):
            features = getattr(self, f"conv{i}_{corner}")(features)
        return features.float()


def mean_position(scores: Tensor, shift: float) -> Tensor:
    """Mean position of the cells, weighted by the softmax of their scores.

    Args:
        scores (B, 1, H, W): any finite numbers.
        shift: what is added to the number of a cell, in cells; 0.5 for its middle.

    Returns:
        (B, 2) x and y in shares of the map's width and height.
    """
    height, width = scores.shape[-2:]
    share = scores.flatten(1).softmax(dim=1).view(-1, height, width)
    x, y = ((torch.arange(n, device=scores.device, dtype=share.dtype) + shift) / n for n in (width, height))
    return torch.stack([(share.sum(dim=1) * x).sum(dim=1), (share.sum(dim=2) * y).sum(dim=1)], dim=1)


def attended_map(features: Tensor, query: Tensor, window: Tensor | float = 1.0) -> Tensor:
    """Weight each token of a square search crop by its product with the query, for the corner head.

    There is neither a scale nor a softmax.

    Args:
        features (B, H*H, C): encoded tokens of the crop, row by row.
        query (B, 1, C): what the decoder found.
        window (H*H, 1): by which the products are multiplied.

    Returns:
        (B, C, H, H).
    """
    weighted = features * (features @ query.transpose(1, 2) * window)
    side = round(features.shape[1] ** 0.5)
    return weighted.transpose(1, 2).unflatten(2, (side, side)).contiguous()
