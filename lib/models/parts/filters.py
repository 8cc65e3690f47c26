"""Discriminative correlation filters: how they are applied, and how they are initialised from the target's features."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from .roi_pooling import precise_roi_pool


def apply_filter(features: Tensor, filters: Tensor) -> Tensor:
    """Correlate the features of each sequence with its own filter.

    The features are padded by half the filter on every side. The scores of an even filter therefore have one row and
    one column more than the features.

    Args:
        features (N, S, C, H, W): N images of each of S sequences.
        filters (S, C, h, w): one filter per sequence.

    Returns:
        Scores (N, S, H', W').
    """
    images, sequences = features.shape[:2]
    padding = filters.shape[-2] // 2, filters.shape[-1] // 2
    scores = F.conv2d(features.flatten(1, 2), filters, padding=padding, groups=sequences)
    return scores.view(images, sequences, *scores.shape[-2:])


def apply_filter_transposed(features: Tensor, weights: Tensor, size: tuple[int, int]) -> Tensor:
    """Apply the transpose of `apply_filter` as a linear function of the filter.

    Args:
        features (N, S, C, H, W): see `apply_filter`.
        weights (N, S, H', W'): one weight per score.
        size: height and width of the filter.

    Returns:
        (S, C, h, w): gradient of sum(weights * scores) with respect to the filter.
    """
    images, sequences, channels = features.shape[:3]
    padding = size[0] // 2, size[1] // 2
    shape = (sequences, channels, *size)
    return nn.grad.conv2d_weight(features.flatten(1, 2), shape, weights, padding=padding, groups=sequences)


class InstanceL2Norm(nn.Module):
    """Scale every image's features to the same mean square.

    Args:
        scale: root mean square of the result.
        eps: added to the sum of squares.
    """

    def __init__(self, scale: float, eps: float = 1e-5):
        super().__init__()
        self.scale, self.eps = scale, eps

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) -> the same shape."""
        squares = features.square().sum(dim=(1, 2, 3), keepdim=True)
        return features * (self.scale * (features[0].numel() / (squares + self.eps)).sqrt())


class FilterInitialiser(nn.Module):
    """Compute initial filters from the target's features: a convolution, precise RoI pooling, and the mean over images.

    Args:
        channels: channels of the features.
        size: height and width of the filter.
        stride: px per cell of the features.
        normalise: divide the filter by its number of weights.
        zero: initialise the convolution with zeros, so that training starts with a zero filter.
    """

    def __init__(self, channels: int, size: int, stride: int, normalise: bool = False, zero: bool = False):
        super().__init__()
        self.filter_conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.size, self.stride, self.normalise = size, stride, normalise
        nn.init.zeros_(self.filter_conv.bias)
        if zero:
            nn.init.zeros_(self.filter_conv.weight)
        else:
            nn.init.normal_(self.filter_conv.weight, std=math.sqrt(2 / (9 * channels)))

    def forward(self, features: Tensor, boxes: Tensor) -> Tensor:
        """Compute the initial filter of each sequence.

        Args:
            features (N, S, C, H, W): features of N images of each of S sequences.
            boxes (N, S, 4): the target's boxes xywh, px.

        Returns:
            (S, C, size, size).
        """
        convolved = self.filter_conv(features.flatten(0, 1))
        pooled = precise_roi_pool(convolved, boxes.flatten(0, 1)[:, None], self.size, self.stride)
        filters = pooled.view(*features.shape[:3], self.size, self.size).mean(dim=0)
        return filters / filters[0].numel() if self.normalise else filters
