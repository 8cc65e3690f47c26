"""Forward and losses of ATOM (arXiv:1811.07628). Only the IoU-Net is trained; the filter is learned online."""

from collections.abc import Mapping

import torch
from torch import Tensor

from .online import OnlineActor, best_overlap


class AtomActor(OnlineActor):
    """Trains the IoU-Net, and the backbone unless TRAIN.FREEZE freezes it.

    Args:
        network: the network.
        config: an `atom` configuration.
    """

    scores = ("IoU",)
    multipliers = {"bb_regressor.": "BOX_MULTIPLIER", **OnlineActor.multipliers}

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        _, boxes = self.boxes(batch)
        box = self.box_loss(self._respond(batch).float(), boxes, self.proposals(batch))
        return self.options.BOX_WEIGHT * box, {"Loss/box": box}

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Sum of the IoU of the proposals with the highest predicted quality, and the number of crops."""
        _, boxes = self.boxes(batch)
        overlap = best_overlap(self._respond(batch), boxes, self.proposals(batch))
        return overlap.sum(), torch.ones_like(overlap).sum()

    def _respond(self, batch):
        """Predicted qualities (M, B, P) of the proposals."""
        template_boxes, _ = self.boxes(batch)
        with self.autocast(batch):
            return self.network(*self.images(batch), template_boxes, self.proposals(batch))
