"""Tracking a whole benchmark: one process or several, one result file a sequence, nothing lost, nothing swallowed.

A sequence is the unit of work: it is tracked from its first frame to its last by one process, its files are written
when it is done, and it is not tracked again. A sequence that fails is listed with its reason; the others go on.
Several evaluations may share a folder, on one machine or many: each takes the next sequence that none has taken.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ... import cli, registry
from ... import config as configuration
from ...contracts import ClipTracker, Tracker
from ...errors import UserError
from . import results
from .processes import in_processes
from .waiting import Queue, Summary
from .work import work

log = logging.getLogger(__name__)

ONNX = "TEST.BACKEND=onnx"  # what runs without torch


@dataclass(frozen=True)
class Experiment:
    """What a process needs to build a tracker. Devices are resolved there, so the coordinating process needs no torch.

    Attributes:
        script, config_name: names of tracker and configuration.
        overrides: --set strings.
        weights: path, or None.
        enhancer: name or file of the enhancer before the tracker (lib.models.enhancer.load_enhancer), or None.
        device, num_gpus: see lib.cli.choose_devices.
    """

    script: str
    config_name: str
    overrides: tuple = ()
    weights: object = None
    enhancer: object = None
    device: str = "cpu"
    num_gpus: int | None = None

    def build(self, number: int = 0) -> Tracker | ClipTracker:
        """The tracker of process `number`. Processes take the devices in turn."""
        config = configuration.load(self.script, self.config_name, self.overrides)
        if registry.family(self.script).network and find_spec("torch") is None:
            return self._without_torch()
        device = "cpu"
        if registry.family(self.script).network or self.enhancer is not None:
            devices = cli.choose_devices(self.device, self.num_gpus)
            device = devices[number % len(devices)]
        tracker = registry.tracker(self.script)(config, self.weights, device)
        if self.enhancer is None:
            return tracker
        if isinstance(tracker, ClipTracker):
            raise UserError("--enhancer: this tracker knows no target to brighten the surroundings of")
        from ...models.enhancer import load_enhancer  # torch, which some trackers do without
        from ..tracker.enhanced import FrameEnhancer, enhanced, purpose_of

        return enhanced(tracker, FrameEnhancer(load_enhancer(self.enhancer), device, purpose_of(tracker)))

    def _without_torch(self):
        """The tracker that runs graphs that ship. Raises UserError for what needs torch, naming it."""
        given = {
            "--checkpoint": self.weights is not None,
            "--enhancer": self.enhancer is not None,
            "--associate": cli.ASSOCIATE in self.overrides,
            "--set": any(not change.startswith("TEST.BACKEND=") for change in self.overrides),
            "--backend": any(change.startswith("TEST.BACKEND=") and change != ONNX for change in self.overrides),
            "--device": self.device not in ("auto", "cpu"),
        }
        for flag in (flag for flag, there in given.items() if there):
            raise UserError(f"{flag} as given needs torch: pip install 'lunar-tracking[train]'")
        return registry.light(self.script, self.config_name)


def build_tracker(options: Any, settings: Any, paths: Any) -> Tracker | ClipTracker:
    """The tracker of a command that follows one target at a time.

    Args:
        options: flags tracker_name, tracker_param, checkpoint, device, enhancer and overrides, as test.py has them.
        settings, paths: what lib.config made of them.

    Raises:
        UserError: the weights are missing or do not fit.
    """
    from ..tracker.weights import find_weights

    names = options.tracker_name, options.tracker_param
    weights = find_weights(*names, settings, paths, options.checkpoint)
    cli.set_threads()
    return Experiment(*names, tuple(options.overrides), weights, options.enhancer, options.device).build()


def evaluate(
    experiment: Experiment,
    sequences: list,
    run: results.Run,
    *,
    processes: int = 0,
    batch: int = 1,
    overwrite: bool = False,
    timeout: float | None = None,
    progress: Callable[[int, int, Summary], None] | None = None,
) -> Summary:
    """Track sequences and write their results.

    A sequence that another evaluation is tracking is left to it and waited for. If that one gives up, it is tracked
    here.

    Args:
        experiment: what builds the tracker.
        sequences: of lib.data.sequence.Sequence.
        run: where the results go.
        processes: 0 tracks in this process, N in N others.
        batch: sequences that one process tracks in lockstep, their crops through the network together. Off the CPU,
            threads on the process's share of the cores decode the next frames meanwhile.
        overwrite: track finished sequences again.
        timeout: seconds without a frame after which a process is given up (only with processes).
        progress: called with (frames tracked, frames in all, Summary).

    Raises:
        UserError: the tracker itself cannot be built.
        MachineError: the disk is full.
    """
    names = {sequence.name for sequence in sequences}
    for clash in names & {name + suffix for name in names for suffix in results.COMPANIONS}:
        raise UserError(f"the results of sequence {clash!r} would overwrite another sequence's: rename it")
    if processes > 1 or batch > 1:  # the longest first, so that at the end nobody waits for one of them
        sequences = sorted(sequences, key=len, reverse=True)
    cores = cli.share_of_cores(processes)
    queue, tracked = Queue(sequences, run, overwrite), 0
    summary = queue.summary
    try:
        while queue.waiting:
            if processes:
                number = min(processes, len(queue.waiting))
                events = in_processes(experiment, queue, run, number, batch, cores, timeout)
            else:
                events = work(experiment.build(), queue.next, run, batch, cores)
            for kind, *values in events:
                if kind == "frames":
                    tracked += values[0]
                elif kind == "look_ahead":
                    (summary.look_ahead,) = values
                elif kind == "done":
                    name, frames, tracking, decoding = values
                    queue.release(name)
                    summary.done.append(name)
                    summary.frames += frames
                    summary.tracking_seconds += tracking
                    summary.decoding_seconds += decoding
                else:
                    name, reason, detail = values
                    queue.release(name)
                    summary.failed[name] = reason
                    log.warning("%s failed: %s", name, reason)
                    log.log(logging.ERROR if detail else logging.DEBUG, "%s", detail or reason)
                if progress:
                    progress(tracked, queue.frames, summary)
            queue.wait_for_others()
    finally:
        for name in list(queue.locks):
            queue.release(name)
    return summary
