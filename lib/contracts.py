"""What trackers, training and families offer to each other. Read this first when you add one.

Every contract is a base class: who offers what is visible in the class statement, and nothing is found out by hasattr.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import torch
    from torch import nn

OLD_KEYS = {"target_bbox": "box", "score": "score", "present": "present"}  # what STARK's runner reads


@dataclass(frozen=True)
class Result(Mapping):
    """Where a tracker found its target in one frame.

    It also reads as the dict of STARK's trackers: result["target_bbox"], result["score"], result["present"].

    Attributes:
        box: x, y, w, h of the target (image px, continuous coordinates).
        score: the tracker's confidence in [0, 1].
        present: whether the tracker believes that the target is in the frame.
    """

    box: tuple[float, float, float, float]
    score: float
    present: bool

    def __getitem__(self, key: str) -> Any:
        value = getattr(self, OLD_KEYS[key])
        return list(value) if key == "target_bbox" else value

    def __iter__(self) -> Iterator[str]:
        return iter(OLD_KEYS)

    def __len__(self) -> int:
        return len(OLD_KEYS)


class Tracker(ABC):
    """An online tracker of one target in one video.

    Attributes:
        device: where its network runs, as torch names it; "cpu" for a tracker without one.
        partial: whether it only cuts parts out of its frames. The runner may then hand it a data.frames.PartialFrame,
            of which it may use `shape`, frame[a:b, c:d] with integer bounds from 0 on, and data.crop.Crop.extract.
        knows_night: whether it was trained on dark images. An enhancer then leaves the light of its frames alone.
    """

    device: Any = "cpu"
    partial: bool = False
    knows_night: bool = False

    @abstractmethod
    def initialize(self, frame: "np.ndarray", box: Sequence[float]) -> Result:
        """Start on the first frame and forget all that came before.

        Args:
            frame (H, W, 3): uint8 RGB.
            box: x, y, w, h of the target (px).
        """

    @abstractmethod
    def track(self, frame: "np.ndarray") -> Result:
        """Find the target in the next frame (H, W, 3), uint8 RGB."""


class LockstepTracker(Tracker):
    """A tracker whose state is a value, so that it can follow several targets in one batch.

    `initialize` and `track` are made of `start` and `track_frames`, and keep the state of their one target.
    """

    _state: Any = None

    @abstractmethod
    def start(self, frame: "np.ndarray", box: Sequence[float]) -> Any:
        """The state after the first frame. Arguments as for `initialize`."""

    @abstractmethod
    def track_frames(self, states: Sequence[Any], frames: Sequence["np.ndarray"]) -> tuple[list[Any], list[Result]]:
        """Find each target in its next frame.

        Args:
            states (B): one of each target.
            frames (B): the next frame of each target's video, (H, W, 3) uint8 RGB.

        Returns:
            The next states (B) and the results (B).
        """

    def initialize(self, frame: "np.ndarray", box: Sequence[float]) -> Result:
        self._state = self.start(frame, box)
        x, y, w, h = map(float, box)
        return Result((x, y, w, h), 1.0, True)

    def track(self, frame: "np.ndarray") -> Result:
        (self._state,), (result,) = self.track_frames([self._state], [frame])
        return result


@dataclass(frozen=True)
class Stage:
    """A part of a tracker's network that maps tensors to tensors, so that it can be exported, compiled and counted.

    Attributes:
        name: of the stage, and of the file that it is exported to.
        module: called with the inputs in order; returns a tuple of tensors.
        inputs: {name: example tensor of a batch of two}.
        engines: who may run it: "onnx" (ONNX Runtime and OpenVINO), "int8" (also in eight bits), "compile".
        part: what its time and products are listed as (lib/export/profile.py).
        inner: {part: submodules of `module`} that torch lists separately; the rest of the stage is then `rest`.
        rest: see `inner`.
        batch_axes: {input: axis of the batch} where that is not 0.
        starts, frames: how often it runs on the first frame, and on every other one.
        in_float: parts of names of parameters. Convolutions with such a parameter stay in fp32 where others have int8.
    """

    name: str
    module: "nn.Module"
    inputs: "Mapping[str, torch.Tensor]"
    engines: frozenset[str]
    part: str
    inner: "Mapping[str, Sequence[nn.Module]]" = field(default_factory=dict)
    rest: str = ""
    batch_axes: Mapping[str, int] = field(default_factory=dict)
    starts: int = 0
    frames: int = 0
    in_float: "Sequence[str]" = ()


Run = Callable[[Sequence["torch.Tensor"]], "Sequence[torch.Tensor]"]  # what runs a stage: inputs to outputs, in order


class Staged(ABC):
    """What a tracker offers beside its contract if other engines than torch can run its network (lib/export).

    Attributes:
        runs: {stage: what runs it}; torch runs the others. Set by `use`.
        span: called with the name of what the tracker does next; returns a context that lasts as long. A profiler
            replaces it.
    """

    runs: Mapping[str, Run] = MappingProxyType({})
    span: Callable[[str], AbstractContextManager] = nullcontext

    @abstractmethod
    def stages(self) -> list[Stage]:
        """The stages of its network, as torch runs them."""

    @abstractmethod
    def use(self, runs: Mapping[str, Run]) -> None:
        """From now on run the stages of these names so, and all others by torch."""


@dataclass(frozen=True)
class PointResult:
    """Where a ball is in one frame: its centre (x, y; px), the confidence in [0, 1], and whether it is seen.

    Where it is not seen, the centre is not a number.
    """

    point: tuple[float, float]
    score: float
    present: bool


class ClipTracker(ABC):
    """A tracker that needs no first box and looks at several frames before it answers for one.

    Attributes:
        look_ahead: frames after frame t that must be there before frame t is answered; infinite for the whole video.
        device: where its network runs, as torch names it; "cpu" for a tracker without one.
    """

    look_ahead: float = 0
    device: Any = "cpu"

    @abstractmethod
    def start(self) -> Any:
        """The state before the first frame."""

    @abstractmethod
    def track_clip(self, state: Any, frames: Sequence["np.ndarray"], last: bool) -> tuple[Any, list[PointResult]]:
        """Take the next frames of the video and answer for every frame that can be answered.

        Args:
            state: what `start` or the last call returned.
            frames (N): (H, W, 3) uint8 RGB, in order; there may be none.
            last: whether the video ends with them; then every frame left is answered.

        Returns:
            The next state, and the results of the next frames in order.
        """


class Actor(ABC):
    """What the trainer asks of a family: networks, losses, and who learns from which loss.

    Attributes:
        network: the network that is averaged, validated, saved and tracked with. The trainer exchanges it for its copy
            with averaged weights while it validates and saves, so keep no references to parts of it.
        helpers: networks that only training needs (teacher, discriminators), by name. They are in checkpoints so that
            training resumes exactly, but not in the saved weights.
        scores: names of what `validate` sums up; the first one chooses the best epoch.
    """

    network: "nn.Module"
    helpers: "Mapping[str, nn.Module]" = MappingProxyType({})
    scores: Sequence[str] = ()

    @abstractmethod
    def optimisers(self) -> "Mapping[str, torch.optim.Optimizer]":
        """The optimisers by name, each with its own groups and rates. They share the schedule of TRAIN.SCHEDULER, but
        for groups with `constant` set.

        The trainer calls this once, after it has frozen what TRAIN.FREEZE names. No parameter is in two of them.
        """

    @abstractmethod
    def phases(self, batch: Mapping[str, "torch.Tensor"]) -> "Iterator[tuple[str, torch.Tensor, dict]]":
        """The losses of one batch in the order in which they are stepped: a discriminator first, then the network.

        Every batch has the same phases. With several processes, a phase reaches the same parameters in each of them.

        Yields:
            Name of the optimiser, loss (scalar), {name: detached scalar} for the log; no name occurs in two phases. The
            trainer steps that optimiser before it asks for the next phase. Gradients that a loss leaves in parameters
            of other optimisers are dropped.
        """

    @abstractmethod
    def validate(self, batch: Mapping[str, "torch.Tensor"]) -> "tuple[torch.Tensor, ...]":
        """Sums of `scores` over a batch, then how many samples they are over."""

    def picture(self, batch: Mapping[str, "torch.Tensor"]) -> "tuple[str, torch.Tensor] | None":
        """A name and a (3, H, W) uint8 picture of what the network makes of a batch, for TensorBoard; None for none."""
        return None

    @abstractmethod
    def save(self, path: "Path", **notes: Any) -> None:
        """Write the network's weights as the family's tracker loads them.

        Args:
            path: a .safetensors file.
            notes: for the file's header.
        """


@dataclass(frozen=True)
class Family:
    """An entry of the registry: where the parts of a family are, as "module:name".

    ".module:name" is relative to this package; families of other packages name their modules absolutely.

    Modules are named, not imported, so that --help and configuration errors stay fast.

    Attributes:
        schema: the pydantic model of its configuration.
        tracker: a Tracker, LockstepTracker or ClipTracker, built as Tracker(config, weights, device); None if it does
            not track. One whose family is trained also takes `network=`, a network to track with instead of weights.
        light: function from the names of family and configuration to a tracker that runs without torch; None if there
            is none.
        network: function from a configuration to the network with random weights; None for a tracker without one.
        actor: an Actor, built from (network, config); None if there is nothing to train.
        samples: the training set, built from (datasets, config, seed=, training=); needed with `actor`.
        mine: function from (config, weights, device) to what finds its training samples, as `mine` of
            data.benchmarks.pack.pack_candidates; None for a family that needs no such samples.
        experiments: folder of its configurations, for a family of another package. None: experiments/<name>.
    """

    schema: str
    tracker: str | None = None
    light: str | None = None
    network: str | None = None
    actor: str | None = None
    samples: str | None = None
    mine: str | None = None
    experiments: str | None = None
