"""Forward and losses of DiMP (arXiv:1904.07220), PrDiMP (arXiv:2003.12565) and Super-DiMP."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...models.dimp import DiMP
from ...models.dimp.model import FILTER_SIZE
from ..dcf_losses import classification_losses, grid_kl_loss, hinge_loss
from ..distillation import Answer, Distillable
from .online import BACKGROUND, OnlineActor, best_overlap, peaks_inside


class DiMPActor(OnlineActor, Distillable):
    """Trains the classifier (features, initialiser, optimiser) by the scores of every filter iterate, and the IoU-Net.

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
        widths = network.bb_regressor.fc3_rt, network.bb_regressor.fc4_rt
        self.feature_sizes = tuple(each.linear.in_features for each in widths)

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        _, boxes = self.boxes(batch)
        scores, pooled = self._respond(self.network, batch)
        return self._loss(scores, self._rate(self.network, pooled, batch), boxes, self.proposals(batch))

    def answer(self, network: Any, batch: Mapping[str, Tensor], student: Answer | None = None) -> Answer:
        """See Distillable. N = M B, frame by frame. The scores (N, I, H, W) are those of all I iterates."""
        (_, boxes), proposals = self.boxes(batch), self.proposals(batch)
        scores, pooled = self._respond(network, batch)
        ratings = self._rate(network, pooled, batch)
        loss, stats = self._loss(scores, ratings, boxes, proposals)
        maps, rows = torch.stack(scores).float().flatten(1, 2), ratings.float().flatten(0, 1)
        each = torch.vmap(self._parts, in_dims=(1, 0, 0, 0))
        parts, box_loss = each(maps, rows, boxes.flatten(0, 1), proposals.flatten(0, 1))
        features = tuple(level.float().flatten(2) for level in pooled)
        return Answer(loss, stats, self._weighted(parts), box_loss, maps.transpose(0, 1), rows, features)

    def target_sizes(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {f"{kind}_images": batch[f"{kind}_boxes"][..., 2:] for kind in ("template", "search")}

    def _loss(self, scores, ratings, boxes, proposals):
        """Loss (scalar) and its parts, {name: scalar}, of scores (I, M, B, H, W) and qualities `ratings` (M, B, P)."""
        parts, box = self._parts(scores, ratings, boxes, proposals)
        total = self._weighted(parts) + self.options.BOX_WEIGHT * box
        return total, {"Loss/cls": parts["final"], "Loss/init": parts["initial"], "Loss/box": box}

    def _parts(self, scores, ratings, boxes, proposals):
        """Losses {name: scalar} of the scores, and loss (scalar) of the qualities `ratings`, of any frames."""
        label = self.label(boxes, FILTER_SIZE, self.cells, density=self.kind == "prdimp")

        def loss(each):
            if self.kind == "prdimp":
                return grid_kl_loss(each.float(), label)
            return hinge_loss(each.float(), label, BACKGROUND)

        return classification_losses(scores, loss), self.box_loss(ratings.float(), boxes, proposals)

    def _weighted(self, parts):
        options = self.options
        weights = {"final": options.CLS_WEIGHT, "initial": options.INIT_WEIGHT, "iterates": options.ITER_WEIGHT}
        return sum(weights[name] * part for name, part in parts.items())

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Crops whose highest score is in the target (count), sum of the IoU of the best proposals, and crops."""
        _, boxes = self.boxes(batch)
        scores, pooled = self._respond(self.network, batch)
        ratings = self._rate(self.network, pooled, batch)
        found = peaks_inside(scores[-1], boxes, self.size)
        overlap = best_overlap(ratings, boxes, self.proposals(batch))
        return found.sum(), overlap.sum(), torch.ones_like(overlap).sum()

    def _respond(self, network, batch):
        """Scores (M, B, H, W) of every iterate, and the IoU-Net's pooled features of the proposals."""
        template_boxes, _ = self.boxes(batch)
        labels = self.label(template_boxes, FILTER_SIZE, self.cells) if self.kind == "simple" else None
        with self.autocast(batch):
            return network.respond(*self.images(batch), template_boxes, self.proposals(batch), labels)

    def _rate(self, network, pooled, batch):
        """Predicted qualities (M, B, P) of the proposals."""
        with self.autocast(batch):
            return network.bb_regressor.rate(pooled).view(self.proposals(batch).shape[:-1])
