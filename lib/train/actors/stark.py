"""Forward and losses of STARK (arXiv:2103.17154): the first stage trains boxes, the second stage the score."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from ...models.stark import Stark, StarkOutput
from .corner import CornerActor, padding


class StarkActor(CornerActor):
    """Trains STARK-S, and both stages of STARK-ST.

    In the first stage TRAIN.CLS_WEIGHT is 0. In the second stage the other weights are 0, and TRAIN.FREEZE freezes all
    but the score head. The best epoch of the second stage is the one with the highest accuracy of the score.

    Args:
        network: the network.
        config: a `stark` configuration.
    """

    def __init__(self, network: Stark, config: Any) -> None:
        super().__init__(network, config)
        self.score_alone = not (self.options.GIOU_WEIGHT or self.options.L1_WEIGHT)
        if self.score_alone:
            self.scores = ("Accuracy",)

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        options, (output,) = self.options, self.respond(batch)
        loss, stats = self.box_loss([output], batch, options.GIOU_WEIGHT, options.L1_WEIGHT)
        if options.CLS_WEIGHT:
            score = binary_cross_entropy_with_logits(output.logits, batch["search_visible"][:, 0].float())
            loss = loss + options.CLS_WEIGHT * score
            stats |= {"Loss/cls": score.detach(), "Loss/total": loss.detach()}
        return loss, stats

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """See CornerActor. If only the score is trained: number of correct scores (threshold 0.5), and of crops."""
        if not self.score_alone:
            return super().validate(batch)
        visible = batch["search_visible"][:, 0]
        logits = self.respond(batch)[0].logits
        assert logits is not None, "the configuration asks for MODEL.CLASSIFY with TRAIN.CLS_WEIGHT"
        right = (logits > 0) == visible
        return right.sum(), torch.ones_like(visible).sum()

    def respond(self, batch: Mapping[str, Tensor]) -> list[StarkOutput]:
        with self.autocast(batch):
            output = self.network(
                batch["template_images"],
                padding(batch, "template"),
                batch["search_images"][:, 0],
                padding(batch, "search")[:, 0],
            )
        return [output]
