"""The base of the actors of trackers with a corner head."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts import Actor
from ...models.parts.precision import autocast
from ...models.parts.weights import save_weights
from ..box_losses import box_losses, clip_loss
from ..trainers.optim import make_optimiser


class CornerActor(Actor):
    """Base of actors whose network predicts the corners of one box in each search crop.

    Args:
        network: a network with a `backbone`, whose learning rate is TRAIN.BACKBONE_MULTIPLIER times LR.
        config: a configuration with MODEL.FAITHFUL and TRAIN.
    """

    scores = ("IoU",)

    def __init__(self, network: nn.Module, config: Any) -> None:
        self.network, self.options, self.faithful = network, config.TRAIN, config.MODEL.FAITHFUL

    @abstractmethod
    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (scalar) and its parts, {name: detached scalar}, of a batch of CornerSamples."""

    @abstractmethod
    def respond(self, batch: Mapping[str, Tensor]) -> list[Any]:
        """The network's CornerOutput, or what has its attributes, of each of the N search frames."""

    def box_loss(
        self, frames: list[Any], batch: Mapping[str, Tensor], giou: float, l1: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (scalar) of the boxes, and its parts.

        Args:
            frames: of `respond`.
            batch: the batch they answer.
            giou, l1: weights.
        """
        boxes, visible = targets(batch)
        loss, stats = clip_loss([frame.boxes_xyxy for frame in frames], boxes, giou, l1, visible, self.faithful)
        return loss, dict(stats)

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": make_optimiser(self.network, self.options, {"backbone.": self.options.BACKBONE_MULTIPLIER})}

    def phases(self, batch: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        yield "network", *self.batch_loss(batch)

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Sum of the IoU over the crops that show their target, and the number of these crops."""
        found = torch.cat([frame.boxes_xyxy for frame in self.respond(batch)])
        boxes, visible = (torch.cat(each) for each in targets(batch))
        return torch.where(visible, box_losses(found, boxes).iou, 0.0).sum(), visible.sum()

    def save(self, path: Path, **notes: Any) -> None:
        save_weights(path, self.network.state_dict(), **notes)

    def autocast(self, batch: Mapping[str, Tensor]) -> torch.autocast:
        """The context in which the network runs, with TRAIN.PRECISION."""
        return autocast(batch["search_images"].device.type, self.options.PRECISION)


def targets(batch: Mapping[str, Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """True boxes (B, 4) xywh in crop sides, and visibility (B,) bool, for each of the N search frames."""
    return list(batch["search_anno"].unbind(dim=1)), list(batch["search_visible"].unbind(dim=1))


def padding(batch: Mapping[str, Tensor], crop: str) -> Tensor:
    """Masks of the crops' pixels outside the frame.

    Args:
        batch: a batch of CornerSamples.
        crop: "template" or "search".

    Returns:
        (B, K, S, S) bool for K crops of side S px, true where the centre of a pixel is outside the frame.
    """
    inside, size = batch[f"{crop}_inside"], batch[f"{crop}_images"].shape[-1]
    centres = (torch.arange(size, device=inside.device) + 0.5) / size
    x0, y0, x1, y1 = inside[..., None].unbind(dim=-2)
    across, down = (centres < x0) | (centres > x1), (centres < y0) | (centres > y1)
    return across[..., None, :] | down[..., :, None]
