"""The state that STTrack passes from frame to frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class QueryState:
    """The queries of B targets.

    Attributes:
        query (B, C): the decoder's query in the next frame.
        history (B, M, C): outputs of the decoder in earlier frames, the newest last.
        length (B): int64, number of valid entries at the end of `history`. The entries before them are zero.
    """

    query: Tensor
    history: Tensor
    length: Tensor

    @property
    def empty(self) -> Tensor:
        """(B, M) bool, true for unused entries of the history."""
        slots = self.history.shape[1]
        return torch.arange(slots, device=self.length.device) < slots - self.length[:, None]

    def tensors(self) -> tuple[Tensor, ...]:
        """The three tensors, in the order of the attributes."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def each(self, function: Callable[[Tensor], Tensor]) -> "QueryState":
        """Apply a function to every tensor."""
        return QueryState(*map(function, self.tensors()))

    @staticmethod
    def join(states: Sequence["QueryState"]) -> "QueryState":
        """Concatenate states along the batch. Shorter histories are padded with unused entries in front."""
        slots = max(state.history.shape[1] for state in states)
        history = [functional.pad(state.history, (0, 0, slots - state.history.shape[1], 0)) for state in states]
        return QueryState(
            torch.cat([state.query for state in states]),
            torch.cat(history),
            torch.cat([state.length for state in states]),
        )

    def split(self) -> list["QueryState"]:
        """Split into states of single targets: the inverse of `join`, except for unused entries."""
        parts = (tensor.split(1) for tensor in self.tensors())
        return [QueryState(*each) for each in zip(*parts, strict=True)]

    def select(self, index: Tensor | Sequence[int]) -> "QueryState":
        """The state of the targets with these indices."""
        return self.each(lambda tensor: tensor[index])

    def detach(self) -> "QueryState":
        """The same values without gradients."""
        return self.each(Tensor.detach)

    def to(self, device: torch.device | str) -> "QueryState":
        """The same values on another device."""
        return self.each(lambda tensor: tensor.to(device))
