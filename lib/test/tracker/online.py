"""What trackers share that learn their target online: two functions of a state make a tracker of one target."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ...contracts import Result, Tracker
from ...models.parts.memory import MemoryRule
from ...models.parts.resnet import UNUSED
from ...models.parts.weights import load_weights
from . import discriminative as rules

log = logging.getLogger(__name__)


class State(Protocol):
    """What the tracker knows after a frame: the target's box (xywh, image px), and how it was found."""

    @property
    def box_xywh(self) -> list[float]: ...

    @property
    def found(self) -> rules.Localisation | None: ...


class OnlineTracker(Tracker):
    """A tracker whose subclass says what happens in the first frame and in every other one.

    What is random is drawn from a generator that every first frame seeds anew, so a video always gives the same boxes.

    Args:
        config: a configuration with the section TEST.
        network: the network; its gradients are turned off.
        weights: a checkpoint, ours or as PyTracking has released it; None to take the network as it is.
        device: as torch names it.

    Raises:
        UserError: the weights do not fit the configuration.
    """

    # Prefixes of what released checkpoints hold and no tracker uses.
    unused: ClassVar[tuple[str, ...]] = tuple(f"feature_extractor.{name}" for name in UNUSED)

    def __init__(self, config: Any, network: nn.Module, weights: str | Path | None, device: str | torch.device) -> None:
        self.config, self.device = config, torch.device(device)
        self.network = network
        if weights is not None:
            log.info("weights: %s", load_weights(network, weights, unused=self.unused))
        self.network.to(self.device).eval().requires_grad_(False)
        self._state: State | None = None
        self._random = torch.Generator()

    @abstractmethod
    def first(self, frame: np.ndarray, box_xywh: list[float]) -> State:
        """The state after the first frame (H, W, 3); box in px."""

    @abstractmethod
    def next(self, state: Any, frame: np.ndarray) -> State:
        """The state after the next frame (H, W, 3)."""

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
    """What all of these trackers are told of crops and localisation, of sections DATA and TEST of a configuration."""
    return {
        "size": test.SEARCH_SIZE or data.SEARCH.SIZE,
        "factor": test.SEARCH_FACTOR or data.SEARCH.FACTOR,
        "least_side": data.SEARCH.MIN_SIDE,
        "border": test.BORDER,
        "localisation": rules.LocalisationRule(test.NOT_FOUND, test.DISTRACTOR, test.HARD_NEGATIVE),
        "rounding": "integer" if test.FAITHFUL else "exact",
    }


def refining_settings(test: Any) -> dict[str, Any]:
    """What trackers with a memory and an IoU-Net are told, of section TEST of a configuration."""
    return {
        "memory_size": test.MEMORY,
        "memory": MemoryRule(test.RATE),
        "hard_negative_rate": test.HARD_RATE,
        "train_every": test.TRAIN_EVERY,
        "refine_space": test.REFINE,
        "refine_steps": test.REFINE_STEPS,
        "refine_length": test.REFINE_LENGTH,
    }
