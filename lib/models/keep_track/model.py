"""The candidate matching network of KeepTrack (arXiv:2103.16556), which follows SuperGlue (arXiv:1911.11763)."""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..parts.resnet import ResNet


def find_candidates(scores: Tensor, threshold: float, neighbourhood: int = 5) -> tuple[Tensor, Tensor]:
    """Find the peaks of a score map.

    Args:
        scores (H, W): the score map.
        threshold: peaks must be above this.
        neighbourhood: side of the square in which a peak must be the maximum, cells; odd.

    Returns:
        Rows and columns (K, 2), and scores (K,), highest first.
    """
    highest = F.max_pool2d(scores[None, None], neighbourhood, stride=1, padding=neighbourhood // 2)[0, 0]
    cells = ((scores == highest) & (scores > threshold)).nonzero()
    values, order = scores[cells[:, 0], cells[:, 1]].sort(descending=True, stable=True)
    return cells[order], values


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


def log_optimal_transport(scores: Tensor, bin_score: Tensor | float, iterations: int) -> Tensor:
    """Compute log probabilities of matches from similarities by Sinkhorn's algorithm.

    A row and a column for "no match" are added. Each other row and column then sums to 1.

    Args:
        scores (B, M, N): similarities.
        bin_score: similarity to "no match".
        iterations: iterations of Sinkhorn's algorithm.

    Returns:
        (B, M + 1, N + 1).

    Source: Sarlin et al., SuperGlue, arXiv:1911.11763, section 3.2.
    """
    rows, columns = scores.shape[1:]
    padded = F.pad(scores, (0, 1, 0, 1))
    bins = F.pad(torch.zeros_like(scores), (0, 1, 0, 1), value=1.0)
    couplings = padded + bins * bin_score
    # The total mass is 1. The bins of one side can take the whole mass of the other side.
    shift = -math.log(rows + columns)
    row_mass = scores.new_full((rows + 1,), shift)
    column_mass = scores.new_full((columns + 1,), shift)
    row_mass[-1] += math.log(columns)
    column_mass[-1] += math.log(rows)
    u = torch.zeros_like(couplings[:, :, 0])
    v = torch.zeros_like(couplings[:, 0])
    for _ in range(iterations):
        u = row_mass - (couplings + v[:, None]).logsumexp(dim=2)
        v = column_mass - (couplings + u[:, :, None]).logsumexp(dim=1)
    return couplings + u[:, :, None] + v[:, None] - shift


@dataclass(frozen=True)
class Matches:
    """Matches of the M candidates of one frame with the N candidates of another.

    Attributes:
        log_assignment (B, M + 1, N + 1): log probabilities.
        matches0 (B, M), matches1 (B, N): index of the matched candidate in the other frame, or -1.
        scores0 (B, M), scores1 (B, N): probability of each match, 0 if it is not mutual.
    """

    log_assignment: Tensor
    matches0: Tensor
    matches1: Tensor
    scores0: Tensor
    scores1: Tensor


def mutual_matches(log_assignment: Tensor, threshold: float) -> Matches:
    """Keep the matches that are best in both directions and more probable than the threshold."""
    real = log_assignment[:, :-1, :-1]
    best0, best1 = real.max(dim=2), real.max(dim=1)
    index0 = torch.arange(real.shape[1], device=real.device)
    index1 = torch.arange(real.shape[2], device=real.device)
    mutual0 = best1.indices.gather(1, best0.indices) == index0
    mutual1 = best0.indices.gather(1, best1.indices) == index1
    scores0 = torch.where(mutual0, best0.values.exp(), 0.0)
    scores1 = torch.where(mutual1, scores0.gather(1, best1.indices), 0.0)
    valid0 = mutual0 & (scores0 > threshold)
    valid1 = mutual1 & valid0.gather(1, best1.indices)
    return Matches(
        log_assignment,
        torch.where(valid0, best0.indices, -1),
        torch.where(valid1, best1.indices, -1),
        scores0,
        scores1,
    )


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

    def __init__(self, feature_extractor: ResNet, descriptor_extractor: DescriptorExtractor, matcher: Matcher):
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


def keep_track() -> KeepTrack:
    """Build KeepTrack's matching network on a ResNet-50."""
    backbone = ResNet(50)
    return KeepTrack(backbone, DescriptorExtractor(backbone.channels["layer3"], 256), Matcher())
