"""Forward and losses of DiMP (arXiv:1904.07220), PrDiMP (arXiv:2003.12565) and Super-DiMP."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...models.dimp import DiMP
from ...models.dimp.model import FILTER_SIZE
from ..dcf_losses import classification_losses, grid_kl_loss, hinge_loss
from .online import BACKGROUND, OnlineActor, best_overlap, peaks_inside


class DiMPActor(OnlineActor):
    """Trains the filter's features, initialiser and optimiser by the scores of every iterate, and the IoU-Net.

    Args:
        network: the network.
        config: a `dimp` configuration.
    """

    scores = ("Peak", "IoU")
    multipliers = {
        "classifier.filter_optimizer.": "OPTIMISER_MULTIPLIER",
        "classifier.": "CLASSIFIER_MULTIPLIER",
        "bb_regressor.": "BOX_MULTIPLIER",
        **OnlineActor.multipliers,
    }

    def __init__(self, network: DiMP, config: Any) -> None:
        super().__init__(network, config)
        self.kind = config.MODEL.CLASSIFIER.TYPE
        self.cells = self.size // network.feature_extractor.strides["layer3"]

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        options, (_, boxes) = self.options, self.boxes(batch)
        scores, ratings = self._respond(batch)
        label = self.label(boxes, FILTER_SIZE, self.cells, density=self.kind == "prdimp")

        def loss(each):
            if self.kind == "prdimp":
                return grid_kl_loss(each.float(), label)
            return hinge_loss(each.float(), label, BACKGROUND)

        parts = classification_losses(scores, loss)
        weights = {"final": options.CLS_WEIGHT, "initial": options.INIT_WEIGHT, "iterates": options.ITER_WEIGHT}
        box = self.box_loss(ratings.float(), boxes, self.proposals(batch))
        total = sum(weights[name] * part for name, part in parts.items()) + options.BOX_WEIGHT * box
        return total, {"Loss/cls": parts["final"], "Loss/init": parts["initial"], "Loss/box": box}

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Sums of the crops whose highest score lies in the target, and of the IoU of the proposals rated best."""
        _, boxes = self.boxes(batch)
        scores, ratings = self._respond(batch)
        found = peaks_inside(scores[-1], boxes, self.size)
        overlap = best_overlap(ratings, boxes, self.proposals(batch))
        return found.sum(), overlap.sum(), torch.ones_like(overlap).sum()

    def _respond(self, batch):
        """Scores (M, B, H, W) of every iterate, and ratings (M, B, P)."""
        template_boxes, _ = self.boxes(batch)
        labels = self.label(template_boxes, FILTER_SIZE, self.cells) if self.kind == "simple" else None
        with self.autocast(batch):
            return self.network(*self.images(batch), template_boxes, self.proposals(batch), labels)
