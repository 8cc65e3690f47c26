"""What STTrack carries from frame to frame, as a value."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class QueryState:
    """The queries of B targets.

    Attributes:
        query (B, C): what the decoder is asked in the next frame.
        history (B, M, C): what the decoder found in earlier frames, the newest last.
        length (B): int64, how many of the last entries of `history` are of the video; those before them are zero.
    """

    query: Tensor
    history: Tensor
    length: Tensor

    @property
    def empty(self) -> Tensor:
        """(B, M) bool, true for entries of the history that hold nothing."""
        slots = self.history.shape[1]
        return torch.arange(slots, device=self.length.device) < slots - self.length[:, None]

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors in the order of the attributes."""
        return tuple(getattr(self, field.name) for field in fields(self))

    def each(self, work: Callable[[Tensor], Tensor]) -> "QueryState":
        """The state with `work` done to every tensor."""
        return QueryState(*map(work, self.tensors()))

    @staticmethod
    def join(states: Sequence["QueryState"]) -> "QueryState":
        """One state of all targets of several. Shorter histories are filled up with empty entries in front."""
        slots = max(state.history.shape[1] for state in states)
        history = [functional.pad(state.history, (0, 0, slots - state.history.shape[1], 0)) for state in states]
        return QueryState(
            torch.cat([state.query for state in states]),
            torch.cat(history),
            torch.cat([state.length for state in states]),
        )

    def split(self) -> list["QueryState"]:
        """The states of single targets; the inverse of `join` but for empty entries."""
        parts = (tensor.split(1) for tensor in self.tensors())
        return [QueryState(*each) for each in zip(*parts, strict=True)]

    def select(self, index: Tensor | Sequence[int]) -> "QueryState":
        """The state of the targets that `index` names."""
        return self.each(lambda tensor: tensor[index])

    def detach(self) -> "QueryState":
        """The same values without gradients."""
        return self.each(Tensor.detach)

    def to(self, device: torch.device | str) -> "QueryState":
        """The same values on another device."""
        return self.each(lambda tensor: tensor.to(device))
