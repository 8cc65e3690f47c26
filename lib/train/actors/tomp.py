"""Forward and losses of ToMP (arXiv:2203.11192)."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...models.tomp import ToMP, ltrb_map
from ..dcf_losses import dense_giou_loss, hinge_loss, overlap_targets
from .online import BACKGROUND, OnlineActor


class ToMPActor(OnlineActor):
    """Trains the network by its score map and by the boxes that the cells near the target's centre predict.

    Args:
        network: the network.
        config: a `tomp` configuration.
    """

    scores = ("IoU",)

    def __init__(self, network: ToMP, config: Any) -> None:
        super().__init__(network, config)
        self.stride = network.stride
        self.cells = self.size // self.stride

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        _, boxes = self.boxes(batch)
        scores, ltrb = self._respond(batch)
        cls = hinge_loss(scores.float()[None], self.label(boxes, 1, self.cells), BACKGROUND)
        target = ltrb_map(boxes, self.cells, self.stride, self.size)
        box = dense_giou_loss(ltrb.float()[None], target, self._region(boxes))
        return self.options.CLS_WEIGHT * cls + self.options.BOX_WEIGHT * box, {"Loss/cls": cls, "Loss/box": box}

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Sum of the IoU of the boxes at the highest scores, and the number of crops."""
        _, boxes = self.boxes(batch)
        scores, ltrb = self._respond(batch)
        best = scores.flatten(1).argmax(dim=1)
        chosen = ltrb.flatten(2).gather(2, best[:, None, None].expand(-1, 4, 1)) * self.size
        left, top, right, bottom = chosen.unbind(dim=1)
        x, y = ((best % self.cells + 0.5) * self.stride)[:, None], ((best // self.cells + 0.5) * self.stride)[:, None]
        found = torch.stack([x - left, y - top, left + right, top + bottom], dim=-1)
        overlap = (overlap_targets(boxes[0][:, None], found) + 1) / 2
        return overlap.sum(), torch.ones_like(overlap).sum()

    def _region(self, boxes):
        """Mask (M, B, 1, H, W) of the cells whose boxes are trained: inside the box, within one stride of its centre.

        The cell nearest to the centre always counts. Otherwise a target smaller than a cell could have no cell.
        """
        centres = (torch.arange(self.cells, device=boxes.device) + 0.5) * self.stride
        near, inside, next_to = [], [], []
        for axis in (1, 0):  # rows, then columns
            start, length = boxes[..., axis, None], boxes[..., axis + 2, None]
            off = (centres - start - length / 2).abs()
            near.append(off <= self.stride)
            inside.append((centres > start) & (centres < start + length))
            next_to.append(off == off.amin(dim=-1, keepdim=True))
        grid = [rows[..., :, None] & columns[..., None, :] for rows, columns in (near, inside, next_to)]
        return ((grid[0] & grid[1]) | grid[2])[:, :, None]

    def _respond(self, batch):
        """Scores (B, H, W) and boxes ltrb (B, 4, H, W), in crop sides."""
        template_boxes, _ = self.boxes(batch)
        template, search = self.images(batch)
        labels = self.label(template_boxes, 1, self.cells)
        ltrb = ltrb_map(template_boxes, self.cells, self.stride, self.size)
        with self.autocast(batch):
            return self.network(template, search[0], labels, ltrb)
