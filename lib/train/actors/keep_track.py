"""Forward and loss of KeepTrack's matching network (arXiv:2103.16556)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...contracts import Actor
from ...models.keep_track import KeepTrack
from ...models.parts.imagenet import Normalise
from ...models.parts.precision import autocast
from ...models.parts.weights import save_weights
from ..trainers.optim import make_optimiser


class KeepTrackActor(Actor):
    """Trains the descriptors and the matcher on batches of CandidateSamples.

    Args:
        network: the network.
        config: a `keep_track` configuration.
    """

    scores = ("Match",)

    def __init__(self, network: KeepTrack, config: Any) -> None:
        self.network, self.options = network, config.TRAIN
        self.normalise = Normalise()

    def optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"network": make_optimiser(self.network, self.options)}

    def phases(self, batch: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor, dict[str, Tensor]]]:
        probabilities = self._match(batch)
        loss = matching_loss(probabilities, batch["matches"])
        right, known = _right(probabilities, batch["matches"])
        yield "network", loss, {"Loss/total": loss.detach(), "Match": right / known.clamp(min=1)}

    @torch.no_grad()
    def validate(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        """Candidates of the first crops whose most probable match is the true one, and candidates of known match."""
        return _right(self._match(batch), batch["matches"])

    def save(self, path: Path, **notes: Any) -> None:
        save_weights(path, self.network.state_dict(), **notes)

    def _match(self, batch):
        """Log probabilities (B, K + 1, K + 1) of matches."""
        self.normalise.to(batch["images"].device)
        with autocast(batch["images"].device.type, self.options.PRECISION):
            images = [self.normalise(batch["images"][:, view]) for view in (0, 1)]
            rest = [[batch[name][:, view] for view in (0, 1)] for name in ("cells", "centres", "scores")]
            return self.network(images, *rest).log_assignment


def matching_loss(log_assignment: Tensor, matches: Tensor) -> Tensor:
    """Negative log likelihood of the matches that are known: the mean of each sample, then of all.

    Args:
        log_assignment (B, M + 1, N + 1): log probabilities.
        matches (B, M + 1, N + 1): 1 for each known match, else 0.

    Returns:
        Scalar.
    """
    known = matches.sum(dim=(1, 2))
    return -((log_assignment * matches).sum(dim=(1, 2)) / known.clamp(min=1)).mean()


def _right(log_assignment, matches):
    """Candidates of the first crops whose most probable match is the true one, and those whose match is known."""
    rows = matches[:, :-1]
    hit = rows.gather(2, log_assignment[:, :-1].argmax(dim=2, keepdim=True))[..., 0]
    return hit.sum(), rows.sum()
