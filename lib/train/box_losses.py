"""Losses of networks that answer with one box and no score map: STARK and STTrack.

`norm` is in shares of the search crop.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .admin import distributed
from .losses import giou_loss, iou, l1_loss


class BoxLosses(NamedTuple):
    """Of B boxes each, float32.

    giou: (B,) in [0, 2], 1 - generalised IoU.
    l1: (B,), mean absolute difference of the four corner coordinates.
    iou: (B,) in [0, 1], without gradient.
    """

    giou: Tensor
    l1: Tensor
    iou: Tensor


def target_corners(boxes_xywh_norm: Tensor) -> Tensor:
    """Corners of the parts of boxes that lie in the crop: (B, 4) xywh -> (B, 4) xyxy in [0, 1].

    A corner head cannot answer beyond the crop.
    """
    low, sides = boxes_xywh_norm[:, :2], boxes_xywh_norm[:, 2:]
    return torch.cat([low, low + sides], dim=1).clamp(0, 1)


def box_losses(predicted_xyxy: Tensor, boxes_xywh_norm: Tensor, faithful: bool = False) -> BoxLosses:
    """Compare boxes found with true ones.

    Args:
        predicted_xyxy (B, 4): from a corner head. Nothing forces its lower right corner to lie below its upper left.
        boxes_xywh_norm (B, 4): the true boxes.
        faithful: as the released STARK and STTrack: where one box of the batch has its corners the wrong way round,
            the GIoU loss and the IoU of the whole batch are 0, and only L1 teaches. Otherwise such a box alone has a
            GIoU loss of at least 1, see `_upright`; L1 pulls its corners apart.
    """
    target, found = target_corners(boxes_xywh_norm), _upright(predicted_xyxy)
    losses = BoxLosses(giou_loss(found, target), l1_loss(predicted_xyxy, target), iou(found.detach(), target))
    if faithful and (predicted_xyxy[:, 2:] < predicted_xyxy[:, :2]).any():
        return losses._replace(giou=torch.zeros_like(losses.giou), iou=torch.zeros_like(losses.iou))
    return losses


def _upright(boxes_xyxy: Tensor) -> Tensor:
    """The boxes; one whose corners are the wrong way round on an axis has no extent there, and lies at their middle.

    The area of such a box would be negative, or positive where both axes are wrong, and then count as an overlap.
    """
    low, high = boxes_xyxy[:, :2], boxes_xyxy[:, 2:]
    wrong, middle = high < low, (low + high) / 2
    return torch.cat([torch.where(wrong, middle, low), torch.where(wrong, middle, high)], dim=1)


def clip_loss(
    predicted_xyxy: Sequence[Tensor],
    boxes_xywh_norm: Sequence[Tensor],
    giou_weight: float,
    l1_weight: float,
    counted: Sequence[Tensor] | None = None,
    faithful: bool = False,
) -> tuple[Tensor, Mapping[str, Tensor]]:
    """Loss of a clip of N frames: the sum over the frames of the mean over the samples of all processes.

    Args:
        predicted_xyxy (N of (B, 4)): boxes found in each frame, norm.
        boxes_xywh_norm (N of (B, 4)): true boxes in each frame.
        giou_weight, l1_weight: 2 and 5 in the configurations of STARK and STTrack.
        counted (N of (B,)): bool, which boxes are targets; None for all.
        faithful: see `box_losses`.

    Returns:
        Loss (scalar), and {name: detached scalar} for the log.
    """
    if counted is None:
        counted = [torch.ones_like(boxes[:, 0], dtype=torch.bool) for boxes in boxes_xywh_norm]
    seen = torch.stack(list(counted))
    targets = distributed.total(seen.sum(dim=1).float()).clamp(min=1) / distributed.world()
    frames = [box_losses(found, boxes, faithful) for found, boxes in zip(predicted_xyxy, boxes_xywh_norm, strict=True)]
    giou, l1, overlap = (
        (torch.where(seen, torch.stack(part), 0.0).sum(dim=1) / targets).sum() for part in zip(*frames, strict=True)
    )
    loss = giou_weight * giou + l1_weight * l1
    stats = {"Loss/total": loss, "Loss/giou": giou, "Loss/l1": l1, "IoU": overlap / len(frames)}
    return loss, {name: value.detach() for name, value in stats.items()}
