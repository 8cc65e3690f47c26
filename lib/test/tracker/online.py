"""What the trackers that learn their target online share. Each family adds its two step functions and its settings."""

import logging
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from ... import registry
from ...contracts import LockstepTracker, Result, Run, Stage, Staged
from ...models.parts.memory import MemoryRule
from ...models.parts.resnet import UNUSED
from ...models.parts.weights import load_weights
from . import discriminative as rules
from .dimp_steps import See, Seen, Uniform
from .engine import choose_engine

log = logging.getLogger(__name__)
LOOK = "network"  # the stage that other engines can run


class Target(Protocol):
    """What the steps know of a target after a frame: at least its box (xywh, image px) and how it was found."""

    @property
    def box_xywh(self) -> list[float]: ...

    @property
    def found(self) -> rules.Localisation | None: ...


class State(NamedTuple):
    """State of a tracker after `frames` frames."""

    target: Any
    frames: int


class Look(nn.Module):
    """`see` of a network, as a module."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.network.see(crops))


class OnlineTracker(LockstepTracker, Staged):
    """Base of the trackers that learn their target online (ATOM, DiMP, ToMP, KeepTrack).

    Several targets share one batch of the backbone; each learns its own filter. Random numbers of a frame come from a
    generator that is seeded by the frame's number, so that a video always gives the same boxes.

    Args:
        config: a configuration with the sections DATA and TEST.
        weights: a checkpoint of ours or one that PyTracking released; None for random weights.
        device: torch's name of the device.
        network: a network to use instead of building one. Torch runs it, and its gradients are turned off.

    Attributes:
        script: name of the family.
        steps: module with the functions `first_frame`, `look` and `next_state`.
        unused: prefixes of tensors in released checkpoints that no tracker uses.
        settings: what `make_settings` returns.

    Raises:
        UserError: the weights do not fit the configuration, or TEST.BACKEND does not run on this device.
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
        if network is None:
            choose_engine(self, config, self.device)

    @property
    def seeing(self) -> Any:
        """The network whose `see` computes the features of search crops."""
        return self.network

    def stages(self) -> list[Stage]:
        """As in Staged: the features of search crops."""
        size = self.settings.size
        inputs = {"crops": torch.zeros(2, 3, size, size, device=self.device)}
        return [Stage(LOOK, Look(self.seeing), inputs, frozenset({"onnx", "compile"}), part=LOOK, frames=1)]

    def use(self, runs: Mapping[str, Run]) -> None:
        """As in Staged."""
        self.runs = runs

    @property
    def see(self) -> See | None:
        """What computes the features of search crops instead of torch; None if torch does."""
        run = self.runs.get(LOOK)
        return None if run is None else lambda crops: tuple(run([crops]))

    @abstractmethod
    def make_settings(self) -> Any:
        """The settings of the step functions, from the configuration."""

    def first(self, frame: np.ndarray, box_xywh: list[float], uniform: Uniform) -> Target:
        """The target after the first frame (H, W, 3); box in image px."""
        return self.steps.first_frame(self.network, frame, box_xywh, self.settings, uniform)

    def look(self, targets: Sequence[Any], frames: Sequence[np.ndarray]) -> list[Seen]:
        """What the network sees of the targets' next frames, each (H, W, 3)."""
        with self.span(LOOK):
            return self.steps.look(self.network, targets, frames, self.settings, self.see)

    def next(self, target: Any, seen: Seen, uniform: Uniform) -> Target:
        """The target after the next frame."""
        return self.steps.next_state(self.network, target, seen, self.settings, uniform)

    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        x, y, w, h = map(float, box)
        return State(self.first(frame, [x, y, w, h], uniform_numbers(0)), 1)

    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        after, results = [], []
        for state, seen in zip(states, self.look([state.target for state in states], frames), strict=True):
            target = self.next(state.target, seen, uniform_numbers(state.frames))
            after.append(State(target, state.frames + 1))
            results.append(self._result(target))
        return after, results

    def _result(self, target: Target) -> Result:
        x, y, w, h = target.box_xywh
        width, height = max(w, self.config.TEST.MIN_BOX), max(h, self.config.TEST.MIN_BOX)
        box = x - (width - w) / 2, y - (height - h) / 2, width, height
        assert target.found is not None
        return Result(box, min(max(target.found.score, 0.0), 1.0), target.found.flag != "not_found")


def uniform_numbers(seed: int) -> Uniform:
    """A function that draws random numbers in [0, 1) of a given shape."""
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.rand(shape, generator=generator)


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
        "size_step": test.SIZE_STEP,
        "size_correction": test.SIZE_CORRECTION,
        "first_iterations": test.FIRST_ITERATIONS,
        "iterations": test.ITERATIONS,
    }
