"""The base of the actors of trackers that learn their target online."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts import Actor
from ...models.parts.imagenet import Normalise
from ...models.parts.precision import autocast
from ...models.parts.weights import save_weights
from ..data.proposals import NARROW, WIDE
from ..dcf_losses import gaussian_mixture_density, overlap_targets, sampled_kl_loss, score_label
from ..trainers.optim import make_optimiser

BACKGROUND = 0.05  # a cell is background if its score label is below this


class OnlineActor(Actor):
    """Trains a network on batches of OnlineSamples.

    Args:
        network: the network.
        config: a configuration with DATA and TRAIN.

    Attributes:
        multipliers: {prefix of parameter names: key of section TRAIN that holds their learning rate / LR}.
    """

    multipliers: Mapping[str, str] = {"feature_extractor.": "BACKBONE_MULTIPLIER"}

    def __init__(self, network: nn.Module, config: Any) -> None:
        self.network, self.options = network, config.TRAIN
        self.size, self.factor = config.DATA.SEARCH.SIZE, config.DATA.SEARCH.FACTOR
        self.normalise = Normalise()

    @abstractmethod
    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss (scalar) and its parts, {name: scalar}, of a batch."""

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        rates = {prefix: self.options[name] for prefix, name in self.multipliers.items()}
        return {"network": make_optimiser(self.network, self.options, rates)}

    def phases(self, batch: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        loss, parts = self.batch_loss(batch)
        stats = {"Loss/total": loss, **parts}
        yield "network", loss, {name: value.detach() for name, value in stats.items()}

    def save(self, path: Path, **notes: Any) -> None:
        save_weights(path, self.network.state_dict(), **notes)

    def images(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Template images (N, B, 3, S, S) and search images (M, B, 3, S, S), normalised."""
        self.normalise.to(batch["search_images"].device)
        template, search = (self.normalise(batch[f"{kind}_images"].transpose(0, 1)) for kind in ("template", "search"))
        return template, search

    def boxes(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Boxes of the templates (N, B, 4) and of the search crops (M, B, 4), xywh px."""
        return batch["template_boxes"].transpose(0, 1), batch["search_boxes"].transpose(0, 1)

    def label(self, boxes: Tensor, kernel: int, cells: int, density: bool = False) -> Tensor:
        """Score labels of boxes (..., 4) xywh px; see score_label. A density sums to 1."""
        label = score_label(boxes, 1 / (4 * self.factor), kernel, cells, self.size, density)
        return label / (label.sum(dim=(-2, -1), keepdim=True) + 1e-8) if density else label

    def autocast(self, batch: Mapping[str, Tensor]) -> Any:
        """The context in which the network runs, with TRAIN.PRECISION."""
        return autocast(batch["search_images"].device.type, self.options.PRECISION)

    def proposals(self, batch: Mapping[str, Tensor]) -> Tensor:
        """Boxes (M, B, P, 4) xywh px, whose quality the IoU-Net predicts."""
        return batch["proposals"].transpose(0, 1)

    def box_loss(self, ratings: Tensor, boxes: Tensor, proposals: Tensor) -> Tensor:
        """Loss (scalar) of the qualities `ratings` (M, B, P); see TRAIN.BOX_LOSS.

        Args:
            ratings (M, B, P): predicted qualities.
            boxes (M, B, 4): targets xywh, px.
            proposals (M, B, P, 4): xywh, px.
        """
        if self.options.BOX_LOSS == "overlap":
            return (ratings - overlap_targets(boxes[..., None, :], proposals)).square().mean()
        offsets = _relative(proposals, boxes)
        sampled, target = (
            gaussian_mixture_density(offsets, offsets.new_tensor(sigmas).expand(4, -1))
            for sigmas in ((NARROW, WIDE), (NARROW,))
        )
        return sampled_kl_loss(ratings, sampled, target)


def _relative(proposals, boxes):
    """Offsets (..., P, 4) from targets (..., 4): centre in target sizes, and logarithm of the size ratio."""
    target = boxes[..., None, :]
    centre = proposals[..., :2] + proposals[..., 2:] / 2 - target[..., :2] - target[..., 2:] / 2
    return torch.cat([centre / target[..., 2:], (proposals[..., 2:] / target[..., 2:]).log()], dim=-1)


def peaks_inside(scores: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Whether the highest score lies in the target's box.

    Args:
        scores (..., H, W): scores of a filter of even size. Their first row and column lie at the border of the crop.
        boxes (..., 4): xywh, px.
        size: side of the crop, px.

    Returns:
        (...) bool.
    """
    columns = scores.shape[-1]
    best = scores.flatten(-2).argmax(dim=-1)
    peak = torch.stack([best % columns, best // columns], dim=-1) * (size / (columns - 1))
    return ((peak >= boxes[..., :2]) & (peak <= boxes[..., :2] + boxes[..., 2:])).all(dim=-1)


def best_overlap(ratings: Tensor, boxes: Tensor, proposals: Tensor) -> Tensor:
    """IoU (...) of the target (..., 4) with the proposal (..., P, 4) of the highest predicted quality (..., P)."""
    best = ratings.argmax(dim=-1, keepdim=True)
    overlaps = (overlap_targets(boxes[..., None, :], proposals) + 1) / 2
    return overlaps.gather(-1, best)[..., 0]
