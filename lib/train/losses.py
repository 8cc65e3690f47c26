"""Score labels and the losses of a centre head: in float32 whatever the network ran in, and finite for every box.

Boxes are (B, 4); `norm` is in shares of the search crop.
"""

import torch
import torch.nn.functional as F
from torchvision.ops import generalized_box_iou_loss


def score_labels(boxes_xywh_norm, size, kind="subpixel", present=None):
    """Target score maps: a Gaussian hill whose top is exactly 1 in one cell.

    Args:
        boxes_xywh_norm: (B, 4).
        size: cells a side.
        kind: "subpixel": centred on the true centre, sigma = max(0.7, sqrt(w h) / 6) cells, and the cell that holds the
            centre is set to 1. "ostrack": centred on the rounded centre and cut at CornerNet's radius
            (arXiv:1808.01244) as OSTrack computes it; up to half a cell off, and a single cell for small targets.
        present: (B,) bool; where false the map is zero and the box may be NaN. None for all present.

    Returns:
        (B, 1, size, size) float32 in [0, 1].

    Raises:
        ValueError: unknown kind.
    """
    boxes = boxes_xywh_norm.float() * size
    centre, sides = boxes[:, :2] + boxes[:, 2:] / 2, boxes[:, 2:].clamp(min=0)
    cells = torch.arange(size, device=boxes.device)
    if kind == "subpixel":
        sigma = (sides.prod(dim=1).sqrt() / 6).clamp(min=0.7)
        peak = centre_cells(boxes_xywh_norm, size)
        square = (cells + 0.5 - centre[..., None]) ** 2
        square = square[:, 1, :, None] + square[:, 0, None, :]
        labels = torch.exp(-square / (2 * sigma[:, None, None] ** 2))
        labels = labels.flatten(1).scatter(1, peak[:, None], 1.0).view_as(labels)
    elif kind == "ostrack":
        # Of CornerNet's three cases the one for overlapping corners is always the smallest in this form (AM-GM), in
        # which the lineage divides by 2 instead of by 2a.
        overlap, total = 0.7, sides.sum(dim=1)
        root = ((overlap * total) ** 2 + 4 * overlap * (1 - overlap) * sides.prod(dim=1)).sqrt()
        radius = (root - overlap * total).clamp(min=0).floor()[:, None, None]
        distance = cells - centre.round()[..., None]
        dy, dx = distance[:, 1, :, None], distance[:, 0, None, :]
        labels = torch.exp(-(dx**2 + dy**2) / (2 * ((2 * radius + 1) / 6) ** 2))
        labels = labels * (torch.maximum(dx.abs(), dy.abs()) <= radius)
    else:
        raise ValueError(f"unknown labels {kind!r}: expected subpixel or ostrack")
    if present is not None:
        labels = labels.masked_fill(~present[:, None, None], 0.0)
    return labels[:, None]


def centre_cells(boxes_xywh_norm, size):
    """Row-major index (B,) of the cell that holds each box's centre; of the nearest border cell if it lies outside."""
    centre = boxes_xywh_norm[:, :2].float() + boxes_xywh_norm[:, 2:].float() / 2
    column, row = (centre * size).floor().long().clamp(0, size - 1).unbind(dim=1)
    return row * size + column


def focal_loss(score, labels):
    """Penalty-reduced focal loss of CornerNet (arXiv:1808.01244, eq. 1; alpha 2, beta 4) per labelled peak.

    Args:
        score: (B, 1, H, H) in [0, 1].
        labels: the same shape, from score_labels.

    Returns:
        scalar: the sum over all cells divided by the number of cells labelled 1, or by 1 where there is none.
    """
    cells, peaks = _focal_cells(score, labels)
    return -cells.sum() / peaks.sum().clamp(min=1)


def focal_losses(score, labels):
    """As focal_loss, of each sample: (B,). Arguments as there; each sample has at most one peak."""
    return -_focal_cells(score, labels)[0].flatten(1).sum(dim=1)


def _focal_cells(score, labels):
    """Minus the loss of each cell, and which of them are peaks; both (B, 1, H, H)."""
    score, labels = score.float().clamp(1e-7, 1 - 1e-7), labels.float()
    peaks = labels == 1
    hit = (1 - score) ** 2 * score.log()
    miss = (1 - labels) ** 4 * score**2 * (1 - score).log()
    return torch.where(peaks, hit, miss), peaks


def giou_loss(predicted_xyxy, target_xyxy):
    """1 - generalised IoU (arXiv:1902.09630) of each pair, (B,) in [0, 2]; boxes without area give finite values."""
    return generalized_box_iou_loss(predicted_xyxy.float(), target_xyxy.float(), eps=1e-7)


def nwd(first_cxcywh, second_cxcywh, constant):
    """Normalised Wasserstein distance of boxes seen as Gaussians (arXiv:2110.13389), which still ranks disjoint boxes.

    Args:
        first_cxcywh, second_cxcywh: (B, 4), px of one image.
        constant: (B,) or number, px; spec: max(sqrt(w h) of the target, 4 px), so that scale does not matter.

    Returns:
        (B,) in (0, 1], 1 only for equal boxes; the loss is 1 - nwd.
    """
    difference = first_cxcywh.float() - second_cxcywh.float()
    square = (difference[:, :2] ** 2).sum(dim=1) + (difference[:, 2:] ** 2).sum(dim=1) / 4
    # The root has no gradient at 0; equal boxes need none.
    apart = square > 0
    distance = torch.where(apart, square, 1.0).sqrt() * apart
    return torch.exp(-distance / constant)


def l1_loss(predicted_xyxy, target_xyxy):
    """Mean absolute difference of the corners of each pair, (B,)."""
    return F.l1_loss(predicted_xyxy.float(), target_xyxy.float(), reduction="none").mean(dim=1)


def corners(boxes_cxcywh):
    """(B, 4) cxcywh -> (B, 4) xyxy."""
    half = boxes_cxcywh[:, 2:] / 2
    return torch.cat([boxes_cxcywh[:, :2] - half, boxes_cxcywh[:, :2] + half], dim=1)


def iou(first_xyxy, second_xyxy):
    """Overlap of each pair of boxes (B, 4): (B,) in [0, 1]; 0 for boxes without area."""
    low, high = (
        pick(first_xyxy[:, part], second_xyxy[:, part])
        for pick, part in ((torch.maximum, slice(0, 2)), (torch.minimum, slice(2, 4)))
    )
    shared = (high - low).clamp(min=0).prod(dim=1)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(dim=1) for boxes in (first_xyxy, second_xyxy)]
    return shared / (areas[0] + areas[1] - shared).clamp(min=1e-12)


def overlap(found_cxcywh, boxes_xywh, counted):
    """IoU (B,) of boxes found (B, 4) and true ones (B, 4); 0 where not `counted` (B,) bool, whatever the box there."""
    true_xyxy = torch.cat([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], dim=1)
    return torch.where(counted, iou(corners(found_cxcywh), true_xyxy), 0.0)
