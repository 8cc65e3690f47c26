"""Tracking a whole benchmark: one process or several, one result file a sequence, nothing lost, nothing swallowed.

A sequence is the unit of work: it is tracked from its first frame to its last by one process, its files are written
when it is done, and it is not tracked again. A sequence that fails is listed with its reason; the others go on.
"""

import logging
import multiprocessing
import os
import time
import traceback
from collections import deque
from dataclasses import dataclass, field
from multiprocessing import connection

from lib import config as configuration
from lib import registry
from lib.errors import MachineError, UserError
from lib.test.evaluation import results

log = logging.getLogger(__name__)

REPORT_EVERY = 0.5  # s between two reports of progress from a worker


@dataclass(frozen=True)
class Experiment:
    """What a process needs to build the tracker: names of script and configuration, --set strings, weights (path).

    enhancer: what the tracker is put behind, a name or a file, see lib.models.enhancer.load_enhancer; or None.
    """

    script: str
    config_name: str
    overrides: tuple = ()
    weights: object = None
    enhancer: object = None

    def build(self, device="cpu"):
        """The online tracker, on a device of torch's."""
        config = configuration.load(self.script, self.config_name, self.overrides)
        tracker = registry.entry(self.script).tracker()(config, self.weights, device)
        if self.enhancer is None:
            return tracker
        from lib.models.enhancer import load_enhancer  # torch, which some trackers do without
        from lib.test.tracker.enhanced import EnhancedTracker, FrameEnhancer

        return EnhancedTracker(tracker, FrameEnhancer(load_enhancer(self.enhancer), device))


@dataclass
class Summary:
    """What an evaluation came to. failed: {sequence name: reason}; seconds are summed over processes."""

    done: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)
    frames: int = 0
    tracking_seconds: float = 0.0
    decoding_seconds: float = 0.0


def evaluate(
    experiment, sequences, run, *, processes=0, devices=("cpu",), batch=1, overwrite=False, timeout=None, progress=None
):
    """Track `sequences` (list of lib.data.sequence.Sequence) and write their results under `run` (results.Run).

    processes: 0 tracks in this process, N in N others, each on the next of `devices`. batch: sequences that one
    process tracks in lockstep, their crops through the network together. overwrite: track finished ones again.
    timeout: s without a frame after which a process is given up (only with processes). progress: called with
    (frames tracked, frames in all, Summary).
    Returns Summary. Raises UserError where the tracker itself cannot be built.
    """
    names = {sequence.name for sequence in sequences}
    for clash in names & {name + suffix for name in names for suffix in results.COMPANIONS}:
        raise UserError(f"the results of sequence {clash!r} would overwrite another sequence's: rename it")
    summary = Summary()
    waiting = deque()
    for sequence in sequences:
        if not overwrite and results.finished(run, sequence.dataset, sequence.name):
            summary.skipped.append(sequence.name)
        else:
            waiting.append(sequence)
    total, tracked = sum(map(len, waiting)), 0
    if not waiting:
        return summary
    if processes:
        events = _in_processes(experiment, waiting, run, min(processes, len(waiting)), devices, batch, timeout)
    else:
        events = _work(experiment.build(devices[0]), waiting.popleft, run, batch)
    for kind, *values in events:
        if kind == "frames":
            tracked += values[0]
        elif kind == "done":
            name, frames, tracking, decoding = values
            summary.done.append(name)
            summary.frames += frames
            summary.tracking_seconds += tracking
            summary.decoding_seconds += decoding
        else:
            name, reason, detail = values
            summary.failed[name] = reason
            log.warning("%s failed: %s", name, reason)
            log.log(logging.ERROR if detail else logging.DEBUG, "%s", detail or reason)
        if progress:
            progress(tracked, total, summary)
    return summary


class _Session:
    """One sequence on its way: its frames, and what was found in them so far."""

    def __init__(self, sequence):
        self.sequence = sequence
        self.tracking = self.decoding = 0.0
        self.boxes, self.scores, self.times = [], [], []
        self.first_box = sequence.first_box
        self.frames = sequence.frames()

    def frame(self):
        began = time.perf_counter()
        image = self.frames[len(self.boxes)]
        self.decoding += time.perf_counter() - began
        return image

    def add(self, result, seconds):
        self.boxes.append(result["target_bbox"])
        self.scores.append(result["score"])
        self.times.append(seconds)
        self.tracking += seconds

    @property
    def ended(self):
        return len(self.boxes) == len(self.sequence)


def _work(tracker, next_sequence, run, batch):
    """Track sequences from `next_sequence()` (IndexError at the end), `batch` in lockstep; yield what happens.

    ("frames", count) | ("done", name, frames, tracking s, decoding s) | ("failed", name, reason, traceback or None)
    """
    if batch > 1 and not hasattr(tracker, "step"):
        raise UserError("--batch: this tracker has no network to batch for")
    active, reported, frames = {}, time.monotonic(), 0
    while True:
        while len(active) < batch:
            try:
                sequence = next_sequence()
            except IndexError:
                break
            try:
                session = _Session(sequence)
                active[session] = _start(tracker, session)
                frames += 1
            except Exception as error:  # noqa: BLE001 -- reported as this sequence's failure, the others go on
                yield _failure(sequence, error)
        if not active:
            break
        images = {}
        for session in [session for session in active if not session.ended]:
            try:
                images[session] = session.frame()
            except Exception as error:  # noqa: BLE001 -- as above
                del active[session]
                yield _failure(session.sequence, error)
        try:
            _advance(tracker, active, images)
            frames += len(images)
        except Exception as error:  # noqa: BLE001 -- as above; in lockstep the culprit is unknown, so all fail
            yield from (_failure(session.sequence, error) for session in images)
            active = {session: state for session, state in active.items() if session not in images}
        for session in [session for session in active if session.ended]:
            del active[session]
            sequence = session.sequence
            try:
                results.write(run, sequence.dataset, sequence.name, session.boxes, session.times, session.scores)
            except MachineError:  # a full disk would fail every sequence
                raise
            except Exception as error:  # noqa: BLE001 -- as above
                yield _failure(sequence, error)
            else:
                yield "done", sequence.name, len(sequence), session.tracking, session.decoding
        if time.monotonic() - reported > REPORT_EVERY:
            yield "frames", frames
            frames, reported = 0, time.monotonic()
    yield "frames", frames


def _start(tracker, session):
    """Start on the first frame; returns the state where the tracker works in lockstep."""
    image = session.frame()
    began = time.perf_counter()
    info = {"init_bbox": session.first_box.tolist()}
    state = tracker.start(image, session.first_box) if hasattr(tracker, "step") else tracker.initialize(image, info)
    first = {"target_bbox": info["init_bbox"], "score": 1.0}
    session.add(first, time.perf_counter() - began)
    return state


def _advance(tracker, active, images):
    """Track one frame of every session in `images` {session: frame}; their states in `active` go on."""
    began = time.perf_counter()
    if not images:
        found = []
    elif hasattr(tracker, "step"):
        states, found = tracker.step([active[session] for session in images], list(images.values()))
        active.update(zip(images, states, strict=True))
    else:
        found = [tracker.track(*images.values())]
    seconds = (time.perf_counter() - began) / max(len(images), 1)
    for session, result in zip(images, found, strict=True):
        session.add(result, seconds)


def _failure(sequence, error):
    expected = isinstance(error, UserError)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    return "failed", sequence.name, reason, None if expected else "".join(traceback.format_exception(error))


# ---- several processes ----------------------------------------------------------------------------------------------


def _in_processes(experiment, waiting, run, processes, devices, batch, timeout):
    """As _work, in `processes` others. One that dies or hangs costs its sequences only, and another takes its place."""
    workers = {}

    def launch(number):
        worker = _Worker(experiment, run, devices[number % len(devices)], batch)
        workers[worker.pipe] = (number, worker)

    for number in range(processes):
        launch(number)
    try:
        while workers:
            for pipe in connection.wait(list(workers), timeout=REPORT_EVERY):
                number, worker = workers[pipe]
                try:
                    event = pipe.recv()
                except (EOFError, ConnectionResetError):
                    if not worker.started:
                        raise RuntimeError(f"a process ended before it could track ({worker.exit_text()})") from None
                    yield from worker.lost(f"the process tracking it died ({worker.exit_text()})")
                    del workers[pipe]
                    if waiting:
                        launch(number)
                    continue
                yield from worker.take(event, waiting)
            for pipe, (number, worker) in list(workers.items()):
                if timeout and worker.started and time.monotonic() - worker.heard > timeout:
                    worker.process.kill()
                    yield from worker.lost(f"no frame in {timeout:g} s (--timeout)")
                    del workers[pipe]
                    if waiting:
                        launch(number)
                elif worker.ended:
                    worker.process.join()
                    del workers[pipe]
    finally:
        for _, worker in workers.values():
            worker.process.terminate()


class _Worker:
    """The near end of one process: what it is working on, and when it was last heard."""

    def __init__(self, experiment, run, device, batch):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, experiment, run, device, batch), daemon=True)
        self.process.start()
        far.close()
        self.busy, self.started, self.ended, self.heard = {}, False, False, time.monotonic()

    def take(self, event, waiting):
        self.heard = time.monotonic()
        kind, *values = event
        if kind == "next":
            self.started = True
            sequence = waiting.popleft() if waiting else None
            if sequence is not None:
                self.busy[sequence.name] = sequence
            self.pipe.send(sequence)
        elif kind == "end":
            self.ended = True
        elif kind == "error":
            raise values[0]
        else:
            if kind != "frames":
                self.busy.pop(values[0], None)
            yield event

    def lost(self, reason):
        for name in self.busy:
            yield "failed", name, reason, None

    def exit_text(self):
        self.process.join(5)
        code = self.process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"


def _serve(pipe, experiment, run, device, batch):
    """The far end: build the tracker, ask for sequences, send what happens."""
    import cv2

    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    def next_sequence():
        pipe.send(("next",))
        sequence = pipe.recv()
        if sequence is None:
            raise IndexError
        return sequence

    try:
        for event in _work(experiment.build(device), next_sequence, run, batch):
            pipe.send(event)
        pipe.send(("end",))
    except UserError as error:
        pipe.send(("error", error))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
