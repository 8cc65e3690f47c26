"""The candidate matching network of KeepTrack (arXiv:2103.16556), which follows SuperGlue (arXiv:1911.11763)."""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ..parts.lite_features import LiteFeatures
from ..parts.matching import Matches, log_optimal_transport, mutual_matches
from ..parts.resnet import ResNet


def candidate_centres(cells: Tensor, box_xywh: tuple[float, float, float, float], size: int) -> Tensor:
    """Convert the cells of candidates to image positions.

    Args:
        cells (K, 2): rows and columns.
        box_xywh: region from the centre of the map's first cell to the centre of its last cell, image px.
        size: side of the map, cells.

    Returns:
        (K, 2) y, x, image px.
    """
    x, y, width, height = box_xywh
    step = cells.new_tensor([height, width], dtype=torch.float32) / (size - 1)
    return cells * step + cells.new_tensor([y, x], dtype=torch.float32)


class DescriptorExtractor(nn.Module):
    """Computes the descriptors of candidates by a 4x4 convolution of the backbone's features.

    Like the score map of a 4x4 filter, its output has one row and one column more than the features.

    Args:
        inputs: channels of the features.
        channels: channels of a descriptor.
    """

    def __init__(self, inputs: int, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(inputs, channels, 4, padding=2)

    def forward(self, features: Tensor, cells: Tensor) -> Tensor:
        """Features (B, C, H, W) and rows, columns (B, K, 2) -> descriptors (B, channels, K)."""
        described = self.conv(features)
        index = cells[..., 0] * described.shape[-1] + cells[..., 1]
        return described.flatten(2).gather(2, index[:, None].expand(-1, described.shape[1], -1))


def _perceptron(channels):
    """1x1 convolutions over candidates, with batch norm and ReLU between them."""
    layers = []
    for index, (inputs, outputs) in enumerate(pairwise(channels)):
        layers.append(nn.Conv1d(inputs, outputs, 1))
        if index < len(channels) - 2:
            layers += [nn.BatchNorm1d(outputs), nn.ReLU()]
    nn.init.zeros_(layers[-1].bias)
    return nn.Sequential(*layers)


class _Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.merge = nn.Conv1d(width, width, 1)
        self.proj = nn.ModuleList(nn.Conv1d(width, width, 1) for _ in range(3))

    def forward(self, x, source):
        # Heads are the faster index of the channels, as in the released checkpoints.
        query, key, value = (
            project(tokens).unflatten(1, (-1, self.heads))
            for project, tokens in zip(self.proj, (x, source, source), strict=True)
        )
        weight = (torch.einsum("bdhn,bdhm->bhnm", query, key) / math.sqrt(query.shape[1])).softmax(dim=-1)
        return self.merge(torch.einsum("bhnm,bdhm->bdhn", weight, value).flatten(1, 2))


class _Update(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.attn = _Attention(width, heads)
        self.mlp = _perceptron([2 * width, 2 * width, width])

    def forward(self, x, source):
        return self.mlp(torch.cat([x, self.attn(x, source)], dim=1))


class _Layer(nn.Module):
    """Attention of candidates to those of their own frame ("self") or of the other frame ("cross")."""

    def __init__(self, width, heads, kind):
        super().__init__()
        self.kind = kind
        self.update = _Update(width, heads)

    def forward(self, first, second):
        sources = (first, second) if self.kind == "self" else (second, first)
        return first + self.update(first, sources[0]), second + self.update(second, sources[1])


class _Layers(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.layers = nn.ModuleList(layers)


class _Encoder(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.encoder = _perceptron(channels)


def normalise_centres(centres: Tensor, image_size: tuple[int, int], swapped: bool = False) -> Tensor:
    """Normalise positions: subtract the image centre and divide by 0.7 times the longer side.

    Args:
        centres (..., 2): y, x, image px.
        image_size: (H, W).
        swapped: exchange width and height in the image centre, a mistake of the released tracker (not of its training).

    Returns:
        (..., 2).
    """
    middle = centres.new_tensor(image_size[::-1] if swapped else image_size) / 2
    return (centres - middle) / (0.7 * max(image_size))


class Matcher(nn.Module):
    """Matches the candidates of two frames.

    Args:
        width: channels of a descriptor.
        encoder: channels of the layers that encode position and score.
        heads: attention heads.
        iterations: iterations of Sinkhorn's algorithm.
        threshold: smallest probability of a match.
        kinds: kind of each attention layer, "self" or "cross".
    """

    def __init__(
        self,
        width: int = 256,
        encoder: tuple[int, ...] = (32, 64, 128, 256),
        heads: int = 4,
        iterations: int = 10,
        threshold: float = 0.2,
        kinds: tuple[str, ...] = ("self", "cross", "self", "cross"),
    ):
        super().__init__()
        self.iterations, self.threshold = iterations, threshold
        self.kenc = _Encoder([3, *encoder, width])
        self.gnn = _Layers([_Layer(width, heads, kind) for kind in kinds])
        self.final_proj = nn.Conv1d(width, width, 1)
        self.bin_score = nn.Parameter(torch.tensor(1.0))

    def forward(
        self, descriptors: tuple[Tensor, Tensor], centres: tuple[Tensor, Tensor], scores: tuple[Tensor, Tensor]
    ) -> Matches:
        """Match candidates.

        Args:
            descriptors: (B, C, M) and (B, C, N).
            centres: (B, M, 2) and (B, N, 2), results of `normalise_centres`.
            scores: (B, M) and (B, N), scores of the candidates.

        Returns:
            The matches.
        """
        first, second = (
            descriptor + self.kenc.encoder(torch.cat([centre.transpose(1, 2), score[:, None]], dim=1))
            for descriptor, centre, score in zip(descriptors, centres, scores, strict=True)
        )
        for layer in self.gnn.layers:
            first, second = layer(first, second)
        first, second = self.final_proj(first), self.final_proj(second)
        similarity = torch.einsum("bcm,bcn->bmn", first, second) / math.sqrt(first.shape[1])
        return mutual_matches(log_optimal_transport(similarity, self.bin_score, self.iterations), self.threshold)


class KeepTrack(nn.Module):
    """The backbone, the descriptors and the matcher. The names of the parts are those of the released checkpoints.

    Args:
        feature_extractor: the backbone.
        descriptor_extractor: computes the descriptors of candidates.
        matcher: matches candidates by their descriptors.
    """

    def __init__(
        self, feature_extractor: ResNet | LiteFeatures, descriptor_extractor: DescriptorExtractor, matcher: Matcher
    ):
        super().__init__()
        self.feature_extractor = feature_extractor
        self.descriptor_extractor = descriptor_extractor
        self.matcher = matcher

    def describe(self, images: Tensor, cells: Tensor) -> Tensor:
        """Descriptors (B, C, K) of candidates at cells (B, K, 2) of normalised crops (B, 3, H, W)."""
        return self.descriptor_extractor(self.feature_extractor(images)["layer3"], cells)

    def forward(
        self,
        images: tuple[Tensor, Tensor],
        cells: tuple[Tensor, Tensor],
        centres: tuple[Tensor, Tensor],
        scores: tuple[Tensor, Tensor],
    ) -> Matches:
        """Match the candidates of two crops. Arguments, for both crops: see `describe` and `Matcher.forward`."""
        descriptors = tuple(self.describe(image, cell) for image, cell in zip(images, cells, strict=True))
        return self.matcher(descriptors, centres, scores)


def keep_track(backbone: ResNet | LiteFeatures | None = None) -> KeepTrack:
    """Build KeepTrack's matching network on a backbone; None for a ResNet-50."""
    backbone = ResNet(50) if backbone is None else backbone
    return KeepTrack(backbone, DescriptorExtractor(backbone.channels["layer3"], 256), Matcher())
