"""Labels and losses of the discriminative trackers: ATOM, DiMP, PrDiMP, Super-DiMP, KeepTrack and ToMP.

Score maps are (N, S, H, W): N images of each of S sequences.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import generalized_box_iou_loss


def score_label(
    boxes_xywh: Tensor, sigma: float, kernel: int, cells: int, image_size: int, density: bool = False
) -> Tensor:
    """Make the Gaussian label of a score map.

    Args:
        boxes_xywh (..., 4): the target's boxes in the crop, px.
        sigma: of the Gaussian, in map sides.
        kernel: side of the filter, cells. An even one adds a row and a column.
        cells: cells a side of the features.
        image_size: side of the crop, px.
        density: divide by the area under the Gaussian, so that the label sums to about 1.

    Returns:
        (..., rows, columns) float32.
    """
    even = (kernel + 1) % 2
    centre = (boxes_xywh[..., :2] + boxes_xywh[..., 2:] / 2) / image_size - 0.5
    place = centre * cells + (cells - 1) / 2 + even / 2
    index = torch.arange(cells + even, dtype=boxes_xywh.dtype, device=boxes_xywh.device)
    sigma = sigma * cells
    along = torch.exp(-(index - place[..., None]).square() / (2 * sigma**2))
    label = along[..., 1, :, None] * along[..., 0, None, :]
    return label / (2 * math.pi * sigma**2) if density else label


def hinge_loss(prediction: Tensor, label: Tensor, threshold: float, clip: float | None = None) -> Tensor:
    """Mean squared error with a hinge: below the threshold only scores above zero count, with a label of zero.

    Args:
        prediction (...): scores.
        label (...): of the same shape.
        threshold: label values below it are background.
        clip: upper limit of the result, against outliers. None for none.

    Returns:
        ().

    Source: Bhat et al., DiMP, arXiv:1904.07220, eq. 1.
    """
    background = label < threshold
    positive = (~background).to(prediction.dtype)
    loss = F.mse_loss(torch.where(background, prediction.relu(), prediction), positive * label)
    return loss if clip is None else loss.clamp(max=clip)


def classification_losses(scores: Sequence[Tensor], loss: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Apply a loss to the scores of an unrolled optimiser.

    Args:
        scores: of the first filter and of each iterate, at least two.
        loss: maps a score map to a number.

    Returns:
        "final", "initial" and, where there are any, "iterates": the mean over those in between.
    """
    losses = [loss(score) for score in scores]
    found = {"final": losses[-1], "initial": losses[0]}
    if len(losses) > 2:
        found["iterates"] = torch.stack(losses[1:-1]).mean()
    return found


def gaussian_mixture_density(offsets: Tensor, sigmas: Tensor) -> Tensor:
    """Density of a mixture of Gaussians around 0.

    Args:
        offsets (..., D): where.
        sigmas (D, K): standard deviations of each coordinate in each of K equally likely components.

    Returns:
        (...): product over the coordinates, mean over the components.
    """
    scaled = offsets[..., None] / sigmas
    return (torch.exp(-scaled.square() / 2) / (math.sqrt(2 * math.pi) * sigmas)).prod(dim=-2).mean(dim=-1)


def sampled_kl_loss(
    scores: Tensor, sample_density: Tensor, target_density: Tensor, eps: float = 0.0, present: Tensor | None = None
) -> Tensor:
    """Kullback-Leibler divergence of a predicted density over boxes from the label's, up to a constant.

    The predicted density is exp(score), normalised by importance sampling with the drawn boxes.

    Args:
        scores (..., K): predictions for K boxes.
        sample_density (..., K): density that the boxes were drawn from.
        target_density (..., K): density of the label at the boxes.
        eps: added to the sampling density.
        present (...) bool: frames that count. None for all.

    Returns:
        (), the mean over the frames that count; 0 if none does.

    Source: Danelljan et al., PrDiMP, arXiv:2003.12565, eq. 12.
    """
    samples = scores.shape[-1]
    weight = sample_density + eps
    normaliser = (scores - weight.log()).logsumexp(dim=-1) - math.log(samples)
    loss = normaliser - (scores * target_density / weight).mean(dim=-1)
    if present is None:
        return loss.mean()
    return torch.where(present, loss, 0.0).sum() / present.sum().clamp(min=1)


def grid_kl_loss(scores: Tensor, density: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the softmax of a score map from a label density, up to a constant.

    Args:
        scores (..., H, W): score maps.
        density (..., H, W): label, which sums to about 1.

    Returns:
        (), the mean over the maps.
    """
    flat = scores.flatten(-2)
    return (flat.logsumexp(dim=-1) - (flat * density.flatten(-2)).sum(dim=-1)).mean()


def overlap_targets(reference_xywh: Tensor, proposals_xywh: Tensor) -> Tensor:
    """What ATOM's and DiMP's IoU-Net learns to predict: 2 IoU - 1.

    Args:
        reference_xywh (..., 1, 4): the target's box.
        proposals_xywh (..., K, 4): boxes around it.

    Returns:
        (..., K) in [-1, 1]. Train with the mean squared error.
    """
    start = torch.maximum(reference_xywh[..., :2], proposals_xywh[..., :2])
    end = torch.minimum(
        reference_xywh[..., :2] + reference_xywh[..., 2:], proposals_xywh[..., :2] + proposals_xywh[..., 2:]
    )
    shared = (end - start).clamp(min=0).prod(dim=-1)
    union = reference_xywh[..., 2:].prod(dim=-1) + proposals_xywh[..., 2:].prod(dim=-1) - shared
    return 2 * shared / union - 1


def dense_giou_loss(prediction: Tensor, target: Tensor, region: Tensor, faithful: bool = False) -> Tensor:
    """1 - GIoU of the boxes that each cell of a map predicts (ToMP).

    Args:
        prediction (N, S, 4, H, W): distances from the cell to the left, top, right and bottom side.
        target (N, S, 4, H, W): the same of the label.
        region (N, S, 1, H, W) bool: cells that count.
        faithful: average over all cells where none counts, as the reference does. Otherwise the loss is 0 then.

    Returns:
        (), the mean over the cells that count.
    """

    def corners(ltrb):
        ltrb = ltrb.movedim(2, -1)
        return torch.cat([-ltrb[..., :2], ltrb[..., 2:]], dim=-1)

    region = region[:, :, 0]
    if not region.any():
        if not faithful:
            return prediction.sum() * 0
        region = torch.ones_like(region)
    return generalized_box_iou_loss(corners(prediction)[region], corners(target)[region], reduction="mean", eps=0)


def matching_loss(log_assignment: Tensor, matches0: Tensor, matches1: Tensor, assignment: Tensor) -> Tensor:
    """Negative log likelihood of the right matches between two sets of candidates (KeepTrack).

    Args:
        log_assignment (B, M + 1, N + 1): log probabilities; the last row and column are "no match".
        matches0 (B, M): index of each candidate's match; -1 for none, -2 for one that does not count.
        matches1 (B, N): the same for the second set.
        assignment (B, M, N): 1 where two candidates match.

    Returns:
        (B,), half the mean over matches plus half the mean over candidates without match.

    Source: Mayer et al., KeepTrack, arXiv:2103.16556, section 3.5.
    """
    assignment = assignment.to(log_assignment.dtype)
    unmatched0, unmatched1 = ((matches == -1).to(log_assignment.dtype) for matches in (matches0, matches1))
    positive = -(assignment * log_assignment[:, :-1, :-1]).sum(dim=(1, 2)) / assignment.sum(dim=(1, 2)).clamp(min=1)
    missed = (unmatched0 * log_assignment[:, :-1, -1]).sum(dim=1) + (unmatched1 * log_assignment[:, -1, :-1]).sum(dim=1)
    negative = -missed / (unmatched0.sum(dim=1) + unmatched1.sum(dim=1)).clamp(min=1)
    return 0.5 * positive + 0.5 * negative
