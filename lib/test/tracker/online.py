"""What the trackers that learn their target online share. Each family adds its two step functions and its settings."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ... import registry
from ...contracts import Result, Tracker
from ...models.parts.memory import MemoryRule
from ...models.parts.resnet import UNUSED
from ...models.parts.weights import load_weights
from . import discriminative as rules

log = logging.getLogger(__name__)


class State(Protocol):
    """State of a tracker after a frame: at least the target's box (xywh, image px) and how it was found."""

    @property
    def box_xywh(self) -> list[float]: ...

    @property
    def found(self) -> rules.Localisation | None: ...


class OnlineTracker(Tracker):
    """Base of the trackers that learn their target online (ATOM, DiMP, ToMP, KeepTrack).

    Random numbers come from a generator that is seeded again in every first frame. A video therefore always gives the
    same boxes.

    Args:
        config: a configuration with the sections DATA and TEST.
        weights: a checkpoint of ours or one that PyTracking released; None for random weights.
        device: torch's name of the device.
        network: a network to use instead of building one. Its gradients are turned off.

    Attributes:
        script: name of the family.
        steps: module with the functions `first_frame` and `next_frame`.
        unused: prefixes of tensors in released checkpoints that no tracker uses.
        settings: what `make_settings` returns.

    Raises:
        UserError: the weights do not fit the configuration.
    """

    script: str
    steps: ModuleType
    unused: ClassVar[tuple[str, ...]] = tuple(f"feature_extractor.{name}" for name in UNUSED)

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: nn.Module | None = None,
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.network: Any = registry.network(self.script, config) if network is None else network
        if weights is not None:
            log.info("weights: %s", load_weights(self.network, weights, unused=self.unused))
        self.network.to(self.device).eval().requires_grad_(False)
        self.settings = self.make_settings()
        self._state: State | None = None
        self._random = torch.Generator()

    @abstractmethod
    def make_settings(self) -> Any:
        """The settings of the step functions, from the configuration."""

    def first(self, frame: np.ndarray, box_xywh: list[float]) -> State:
        """The state after the first frame (H, W, 3); box in image px."""
        return self.steps.first_frame(self.network, frame, box_xywh, self.settings, self.uniform)

    def next(self, state: Any, frame: np.ndarray) -> State:
        """The state after the next frame (H, W, 3)."""
        return self.steps.next_frame(self.network, state, frame, self.settings, self.uniform)

    def initialize(self, frame: np.ndarray, box: Sequence[float]) -> Result:
        x, y, w, h = map(float, box)
        self._random.manual_seed(0)
        self._state = self.first(frame, [x, y, w, h])
        return Result((x, y, w, h), 1.0, True)

    def track(self, frame: np.ndarray) -> Result:
        assert self._state is not None, "initialize comes first"
        self._state = self.next(self._state, frame)
        x, y, w, h = self._state.box_xywh
        width, height = max(w, self.config.TEST.MIN_BOX), max(h, self.config.TEST.MIN_BOX)
        box = x - (width - w) / 2, y - (height - h) / 2, width, height
        found = self._state.found
        assert found is not None
        return Result(box, min(max(found.score, 0.0), 1.0), found.flag != "not_found")

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Random numbers in [0, 1)."""
        return torch.rand(shape, generator=self._random)


def crop_settings(data: Any, test: Any) -> dict[str, Any]:
    """Fields of discriminative.CropSettings, from the sections DATA and TEST of a configuration."""
    return {
        "size": test.SEARCH_SIZE or data.SEARCH.SIZE,
        "factor": test.SEARCH_FACTOR or data.SEARCH.FACTOR,
        "least_side": data.SEARCH.MIN_SIDE,
        "border": test.BORDER,
        "localisation": rules.LocalisationRule(test.NOT_FOUND, test.DISTRACTOR, test.HARD_NEGATIVE),
        "rounding": "integer" if test.FAITHFUL else "exact",
        "associate": test.ASSOCIATE,
    }


def refining_settings(test: Any) -> dict[str, Any]:
    """Fields of dimp_steps.RefiningSettings and its subclasses, from the section TEST of a configuration."""
    return {
        "memory_size": test.MEMORY,
        "memory": MemoryRule(test.RATE),
        "hard_negative_rate": test.HARD_RATE,
        "train_every": test.TRAIN_EVERY,
        "refine_space": test.REFINE,
        "refine_steps": test.REFINE_STEPS,
        "refine_length": test.REFINE_LENGTH,
        "first_iterations": test.FIRST_ITERATIONS,
        "iterations": test.ITERATIONS,
    }
