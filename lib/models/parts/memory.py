"""The memory of training samples of a discriminative tracker, and the rule for their weights."""

import copy
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class MemoryRule:
    """Rule for the weights of training samples.

    Attributes:
        rate: weight of a new sample.
        initial_share: smallest total weight of the first frame's samples, in [0, 1].
    """

    rate: float = 0.01
    initial_share: float = 0.25


def next_weights(
    weights: Tensor,
    initial: int,
    slot: int,
    previous_slot: int | None,
    rule: MemoryRule,
    rate: float | None = None,
) -> Tensor:
    """Compute the weights after a sample is stored.

    A new sample has 1 / (1 - rate) times the weight of the newest one. Older weights therefore decay by 1 - rate with
    each new sample.

    Args:
        weights (M,): weights before. They sum to 1, and unused slots have weight 0.
        initial: number of the first frame's samples, which are in the first slots.
        slot: slot of the new sample.
        previous_slot: slot of the sample that was stored last; None if this is the first one.
        rule: the rule.
        rate: weight of this sample instead of the rule's, such as for a hard negative.

    Returns:
        (M,) weights that sum to 1.
    """
    rate = rule.rate if rate is None else rate
    weights = weights.clone()
    if previous_slot is None:
        weights = weights / (1 - rate)
        weights[slot] = rate
    else:
        weights[slot] = weights[previous_slot] / (1 - rate)
    weights = weights / weights.sum()
    if weights[:initial].sum() < rule.initial_share:
        weights = weights * ((1 - rule.initial_share) / weights[initial:].sum())
        weights[:initial] = rule.initial_share / initial
    return weights


class SampleMemory:
    """Training samples of a sequence with their weights.

    The first frame's samples are never replaced. If the memory is full, a new sample replaces the later sample with the
    smallest weight.

    Args:
        samples: tensors (N, ...) of the first frame's samples, such as features and boxes.
        size: number of slots M, larger than N.
        rule: rule for the weights.

    Raises:
        ValueError: there is no slot for later samples.
    """

    def __init__(self, samples: tuple[Tensor, ...], size: int, rule: MemoryRule):
        self.initial = len(samples[0])
        if size <= self.initial:
            raise ValueError(f"a memory of {size} samples has no room beside the {self.initial} first ones")
        self.rule, self.count, self._previous = rule, self.initial, None
        self._parts = tuple(part.new_zeros(size, *part.shape[1:]) for part in samples)
        for slots, part in zip(self._parts, samples, strict=True):
            slots[: self.initial] = part
        self._weights = torch.zeros(size, device=samples[0].device)
        self._weights[: self.initial] = 1 / self.initial
        self._certainties = torch.zeros_like(self._weights)
        self._certainties[: self.initial] = 1

    def copy(self) -> "SampleMemory":
        """A memory of its own with the same samples, so that what is stored there does not change this one."""
        new = copy.copy(self)
        new._parts = tuple(part.clone() for part in self._parts)
        new._weights, new._certainties = self._weights.clone(), self._certainties.clone()
        return new

    @property
    def samples(self) -> tuple[Tensor, ...]:
        """The stored samples, each part as (count, ...)."""
        return tuple(part[: self.count] for part in self._parts)

    @property
    def weights(self) -> Tensor:
        """(count,) weights, which sum to 1."""
        return self._weights[: self.count]

    @property
    def certainties(self) -> Tensor:
        """(count,) certainties in [0, 1] that the samples show the target."""
        return self._certainties[: self.count]

    def store(
        self, sample: tuple[Tensor, ...], rate: float | None = None, certainty: float = 1.0, keep_weight: bool = False
    ) -> int:
        """Store one sample.

        Args:
            sample: one entry for each tensor that the constructor took.
            rate: weight of this sample. None for the rule's weight.
            certainty: certainty in [0, 1] that the sample shows the target.
            keep_weight: do not change the weights if this sample replaces the newest one (KeepTrack).

        Returns:
            The slot.
        """
        if self.count < len(self._weights):
            slot, self.count = self.count, self.count + 1
        else:
            slot = self.initial + int((self._weights * self._certainties)[self.initial :].argmin())
        if not (keep_weight and slot == self._previous):
            self._weights = next_weights(self._weights, self.initial, slot, self._previous, self.rule, rate)
        for slots, part in zip(self._parts, sample, strict=True):
            slots[slot] = part
        self._certainties[slot] = certainty
        self._previous = slot
        return slot

    def certain_weights(self, threshold: float) -> Tensor:
        """Multiply the weights by the certainties, and exclude uncertain samples (KeepTrack).

        Args:
            threshold: the certainty of samples below this is set to 0 permanently. They are also replaced first.

        Returns:
            (count,) weights, not normalised.
        """
        self._certainties[self._certainties < threshold] = 0
        return self.weights * self.certainties
