"""What a tracker's network costs: parameters and products, counted without computing; and where a frame's time goes."""

import contextlib
import copy
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from ..contracts import Stage, Staged
from ..models.parts.precision import DTYPES


@dataclass(frozen=True)
class Cost:
    """What stages cost for one target.

    Products are multiply-accumulates of matrix products, convolutions and both products of attention; the rest is not
    counted.

    Attributes:
        parameters: number of them.
        start, frame: {part: products} of the first frame's templates, and of every other frame.
    """

    parameters: int
    start: Mapping[str, int]
    frame: Mapping[str, int]

    @property
    def per_start(self) -> int:
        """Products of the first frame's templates."""
        return sum(self.start.values())

    @property
    def per_frame(self) -> int:
        """Products of a frame, by night where there is an enhancer."""
        return sum(self.frame.values())


class Spans:
    """Adds up what each part of some work takes on a clock. A part within another belongs to itself alone.

    Use it as a context around the work. Within it, `spans(name)` is a context that lasts as long as the part; torch's
    profiler sees it by the name of the part.

    Args:
        clock: returns a number that only grows: seconds, or products.
        names: {name: part} where they differ.

    Attributes:
        spent: {part: share of the clock}; what is in no part is "rest".
    """

    def __init__(self, clock: Callable[[], float], names: Mapping[str, str] | None = None) -> None:
        self.clock, self.names = clock, names or {}
        self.spent: Counter[str] = Counter()
        self._parts, self._since = ["rest"], 0.0
        self._hooks: list[Any] = []

    def __enter__(self) -> "Spans":
        self._since = self.clock()
        return self

    def __exit__(self, *error: object) -> None:
        self._lap()
        for hook in self._hooks:
            hook.remove()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        with self._part(self.names.get(name, name)):
            yield

    def watch(self, modules: Iterable[torch.nn.Module], part: str) -> None:
        """Let every call of these modules be of a part."""
        spans: list[contextlib.AbstractContextManager] = []

        def enter(*_):
            spans.append(self._part(part))
            spans[-1].__enter__()

        def leave(*_):
            spans.pop().__exit__(None, None, None)

        for module in modules:
            self._hooks += [module.register_forward_pre_hook(enter), module.register_forward_hook(leave)]

    @contextlib.contextmanager
    def _part(self, part):
        self._enter(part)
        try:
            with torch.profiler.record_function(part):
                yield
        finally:
            self._leave()

    def _enter(self, part):
        self._lap()
        self._parts.append(part)

    def _leave(self):
        self._lap()
        self._parts.pop()

    def _lap(self):
        now = self.clock()
        self.spent[self._parts[-1]] += now - self._since
        self._since = now


def spent(tracker: Staged, work: Callable[[], Any], clock: Callable[[], float]) -> Counter:
    """What each part of `work` adds to a clock, while a tracker does it: {part: share}.

    Args:
        tracker: whose stages and spans are the parts.
        work: lets the tracker start or track a frame.
        clock: see Spans.
    """
    names, watched = {}, []
    for stage in tracker.stages():
        torchs = stage.name not in tracker.runs and stage.inner
        names[stage.name] = stage.rest if torchs else stage.part
        watched += stage.inner.items() if torchs else ()
    spans, before = Spans(clock, names), tracker.span
    for part, modules in watched:
        spans.watch(modules, part)
    tracker.span = spans
    try:
        with spans:
            work()
    finally:
        tracker.span = before
    return spans.spent


@torch.inference_mode(False)
def count(stages: Sequence[Stage]) -> Cost:
    """The Cost of stages for one target. They run on the meta device, which takes no time and no memory."""
    shapes = copy.deepcopy(list(stages))  # together, so that they still share their modules
    modules = torch.nn.ModuleList(stage.module for stage in shapes).to("meta").eval()
    start, frame = Counter(), Counter()
    for stage in shapes:
        inputs = [
            tensor.to("meta").narrow(stage.batch_axes.get(name, 0), 0, 1) for name, tensor in stage.inputs.items()
        ]
        with FlopCounterMode(display=False) as counter:
            spans = Spans(counter.get_total_flops)
            for part, inner in stage.inner.items():
                spans.watch(inner, part)
            with spans, spans(stage.rest if stage.inner else stage.part):
                stage.module(*inputs)
        for part, flops in spans.spent.items():
            start[part] += stage.starts * flops // 2
            frame[part] += stage.frames * flops // 2
    return Cost(sum(parameter.numel() for parameter in modules.parameters()), +start, +frame)


@torch.inference_mode()
def matrix_rate(device: torch.device, precision: str = "fp32") -> float:
    """Multiply-accumulates a second that torch reaches on square matrices, the most of several sizes and tries.

    Args:
        device: where.
        precision: of lib.models.parts.precision.DTYPES; those that torch has not are measured in fp32.
    """
    synchronise = device_module(device).synchronize
    sides = (512, 1024, 2048) if device.type == "cpu" else (2048, 4096, 8192)
    rates = []
    for side in sides:
        square = torch.rand(side, side, device=device, dtype=DTYPES.get(precision) or torch.float32)
        for _ in range(5):
            synchronise()
            began = time.perf_counter()
            square @ square
            synchronise()
            rates.append(side**3 / (time.perf_counter() - began))
    return max(rates)


def device_module(device: torch.device) -> Any:
    """torch.cpu, torch.cuda ... of a device."""
    return torch.get_device_module(device)
