"""Peaks of a score map, and their assignment to the peaks of another frame.

The matching network of KeepTrack (arXiv:2103.16556) uses it, and the association of candidates in other trackers.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


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
