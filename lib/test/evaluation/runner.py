"""Tracking a whole benchmark: one process or several, one result file a sequence, nothing lost, nothing swallowed.

A sequence is the unit of work: it is tracked from its first frame to its last by one process, its files are written
when it is done, and it is not tracked again. A sequence that fails is listed with its reason; the others go on.
Several evaluations may share a folder, on one machine or many: each takes the next sequence that none has taken.
"""

import errno
import logging
import math
import multiprocessing
import os
import time
import traceback
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from ... import cli, registry
from ... import config as configuration
from ...contracts import ClipTracker, LockstepTracker, Result, Tracker
from ...data import plausible
from ...data.frames import PartialFrame, partial_frame
from ...data.sequence import squares
from ...errors import MachineError, UserError
from . import results

log = logging.getLogger(__name__)

REPORT_EVERY = 0.5  # s between two reports of progress from a worker
LOOK_AGAIN_EVERY = 1.0  # s between two looks at what other evaluations have in work
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what file systems answer that have none


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


@dataclass
class Summary:
    """The outcome of an evaluation.

    Attributes:
        done: names of the sequences that it tracked.
        skipped: names of those that were finished before it began.
        elsewhere: names of those that another evaluation finished meanwhile.
        failed: {sequence name: reason}.
        frames: frames tracked.
        tracking_seconds, decoding_seconds: summed over processes (s).
        look_ahead: of a ClipTracker, frames; None for other trackers.
    """

    done: list = field(default_factory=list)
    skipped: list = field(default_factory=list)
    elsewhere: list = field(default_factory=list)
    failed: dict = field(default_factory=dict)
    frames: int = 0
    tracking_seconds: float = 0.0
    decoding_seconds: float = 0.0
    look_ahead: float | None = None


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
    queue, tracked = _Queue(sequences, run, overwrite), 0
    summary = queue.summary
    try:
        while queue.waiting:
            if processes:
                number = min(processes, len(queue.waiting))
                events = _in_processes(experiment, queue, run, number, batch, cores, timeout)
            else:
                events = _work(experiment.build(), queue.next, run, batch, cores)
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


class _Queue:
    """Sequences that wait for work, each under a lock so that no other evaluation of the folder tracks it too.

    The lock is on a hidden file beside the results. The system frees it with its process, however that ends.

    Attributes:
        waiting: sequences that were not claimed yet.
        taken: sequences that others had locked.
        frames: of all sequences that are or will be tracked here.
    """

    def __init__(self, sequences, run, overwrite):
        self.run, self.summary = run, Summary()
        self.waiting, self.taken, self.locks, self.before = deque(), [], {}, {}
        self.unlocked = False
        for sequence in sequences:
            before = self._written(sequence)
            if before and not overwrite:
                self.summary.skipped.append(sequence.name)
            else:
                self.waiting.append(sequence)
                self.before[sequence.name] = before
        self.frames = sum(map(len, self.waiting))

    def next(self):
        """Claim and return the next sequence that is free, or None."""
        while self.waiting:
            sequence = self.waiting.popleft()
            if self._claim(sequence):
                return sequence
        return None

    def release(self, name):
        """Give up the claim. The lock's file is deleted while it is held: filelock copes if another had opened it."""
        lock = self.locks.pop(name)
        Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()

    def wait_for_others(self):
        """Return once others gave up a sequence, which then waits here again, or once nothing is left."""
        self._look_again()
        if self.taken and not self.waiting:
            log.info("waiting for %d sequences another evaluation tracks (Ctrl-C leaves them to it)", len(self.taken))
        while self.taken and not self.waiting:
            time.sleep(LOOK_AGAIN_EVERY)
            self._look_again()

    def _look_again(self):
        taken, self.taken = self.taken, []
        for sequence in taken:
            if self._claim(sequence):
                self.release(sequence.name)
                self.waiting.append(sequence)

    def _claim(self, sequence):
        path = results.boxes_path(self.run, sequence.dataset, sequence.name)
        lock = FileLock(path.with_name(f".{sequence.name}.lock"), fallback_to_soft=False)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock.acquire(blocking=False)
        except OSError as error:
            if isinstance(error, Timeout) or error.errno == errno.ESTALE:  # held, or over NFS given up this moment
                self.taken.append(sequence)
                return False
            if error.errno not in WITHOUT_LOCKS:
                raise MachineError(f"cannot write: {error.strerror}", lock.lock_file) from error
            if not self.unlocked:
                log.warning("%s: a file system without locks; evaluations at the same time repeat work", path.parent)
            self.unlocked = True
        self.locks[sequence.name] = lock
        if self._written(sequence) in (None, self.before[sequence.name]):
            return True
        self.release(sequence.name)
        self.summary.elsewhere.append(sequence.name)
        self.frames -= len(sequence)
        return False

    def _written(self, sequence):
        """What distinguishes a sequence's result file from a later one in its place; None if there is no file."""
        if not results.finished(self.run, sequence.dataset, sequence.name):
            return None
        status = results.written(self.run, sequence.dataset, sequence.name).stat()
        return status.st_ino, status.st_mtime_ns


class _Session:
    """One sequence while it is tracked: its frames, and the results so far.

    Args:
        sequence: of lib.data.sequence.Sequence.
        partial: whether its tracker only cuts parts out of its frames (lib/contracts.py).
        readers: a pool of threads that decodes whole frames ahead, or None.

    Attributes:
        tracking, decoding: seconds spent in the tracker, and in decoding frames.
    """

    def __init__(self, sequence, partial, readers):
        self.sequence, self.partial = sequence, partial
        self.tracking = self.decoding = 0.0
        before = sequence.start  # frames before the first ball of a dataset of points
        self.boxes, self.scores, self.times = [(math.nan,) * 4] * before, [0.0] * before, [0.0] * before
        self.first_box = sequence.first_box
        frames = sequence.frames()
        self.frames = frames if readers is None else _Ahead(frames, readers, before)

    def frame(self):
        began = time.perf_counter()
        index = len(self.boxes)
        image = partial_frame(self.frames, index, checked=True) if self.partial else self.frames[index]
        self.decoding += time.perf_counter() - began
        return image

    def add(self, result, seconds, decoding):
        """Take the Result of the next frame, the tracker's seconds without decoding, and those of decoding in it."""
        self.boxes.append(result.box)
        self.scores.append(result.score)
        self.times.append(seconds)
        self.tracking += seconds
        self.decoding += decoding

    @property
    def ended(self):
        return len(self.boxes) == len(self.sequence)


class _Ahead:
    """Frames in order; `readers` decode the next one while the tracker works on the last.

    The error of a damaged frame is raised when that frame is asked for. Only one thread at a time reads a source.
    """

    def __init__(self, frames, readers, first):
        self.frames, self.readers = frames, readers
        self.next = readers.submit(frames.__getitem__, first)

    def __getitem__(self, index):
        frame = self.next.result()
        if index + 1 < len(self.frames):
            self.next = self.readers.submit(self.frames.__getitem__, index + 1)
        return frame


class _OneByOne:
    """Drives a Tracker, which keeps the state of its one target itself."""

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    def start(self, frame, box):
        """The state after the first frame."""
        self.tracker.initialize(frame, box)

    def track(self, states, frames):
        """The next states and the results."""
        return states, [self.tracker.track(*frames)]


class _InLockstep:
    """Drives a LockstepTracker: the states of its targets go in and come out."""

    def __init__(self, tracker: LockstepTracker) -> None:
        self.start, self.track = tracker.start, tracker.track_frames


def _driver(tracker):
    """What drives a tracker, by its contract."""
    if isinstance(tracker, LockstepTracker):
        return _InLockstep(tracker)
    if isinstance(tracker, Tracker):
        return _OneByOne(tracker)
    raise TypeError(f"{type(tracker).__name__}: expected a tracker of lib/contracts.py")


def _work(tracker, next_sequence, run, batch, cores):
    """Track sequences and yield what happens.

    Args:
        tracker: a Tracker or a ClipTracker.
        next_sequence: function that returns the next sequence, None at the end.
        run: where the results go.
        batch: sequences in lockstep.
        cores: of this process.

    Yields:
        ("frames", count) | ("done", name, frames, tracking s, decoding s) | ("failed", name, reason, traceback or None)
        | ("look_ahead", frames) of a ClipTracker
    """
    if isinstance(tracker, ClipTracker):
        if batch > 1:
            raise UserError("--batch: this tracker takes one video at a time")
        yield "look_ahead", tracker.look_ahead
        yield from _work_in_clips(tracker, next_sequence, run)
        return
    driver = _driver(tracker)
    if batch > 1 and not isinstance(tracker, LockstepTracker):
        raise UserError("--batch: this tracker has no network to batch for")
    active, reported, frames = {}, time.monotonic(), 0
    partial = tracker.partial
    readers = ThreadPoolExecutor(cores - 1) if batch > 1 and _decodes_ahead(tracker, cores) else None
    waiting = iter(next_sequence, None)  # not asked again once it has ended
    while True:
        while len(active) < batch and (sequence := next(waiting, None)) is not None:
            try:
                session = _Session(sequence, partial, readers)
                active[session] = _start(driver, session)
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
            _advance(driver, active, images)
            frames += len(images)
        except Exception as error:  # noqa: BLE001 -- as above
            # In lockstep only a damaged frame tells which sequence failed. The others then track this frame again.
            culprits = [session for session, image in images.items() if _damaged(image)] or list(images)
            yield from (_failure(session.sequence, error) for session in culprits)
            active = {session: state for session, state in active.items() if session not in culprits}
        for session in [session for session in active if session.ended]:
            del active[session]
            sequence = session.sequence
            try:
                boxes = sequence.to_file(session.boxes)
                results.write(run, sequence.dataset, sequence.name, boxes, session.times, session.scores)
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


def _work_in_clips(tracker, next_sequence, run):
    """As _work, with a ClipTracker: every frame from the first on, no first box."""
    for sequence in iter(next_sequence, None):
        clip, reported, told = None, time.monotonic(), 0
        try:
            clip = _Clip(tracker, sequence)
            for index in range(len(sequence)):
                clip.take(index)
                if time.monotonic() - reported > REPORT_EVERY:
                    yield "frames", index + 1 - told
                    told, reported = index + 1, time.monotonic()
            clip.write(run)
        except MachineError:  # a full disk would fail every sequence
            raise
        except Exception as error:  # noqa: BLE001 -- reported as this sequence's failure, the others go on
            yield _failure(sequence, error)
        else:
            yield "done", sequence.name, len(sequence), sum(clip.times), clip.decoding
        yield "frames", len(sequence) - told


class _Clip:
    """One sequence while a ClipTracker works on it.

    Attributes:
        times: seconds of the tracker for each frame that it took. decoding: seconds of decoding.
    """

    def __init__(self, tracker, sequence):
        self.tracker, self.sequence, self.frames = tracker, sequence, sequence.frames()
        self.state, self.found, self.times, self.decoding = tracker.start(), [], [], 0.0

    def take(self, index):
        began = time.perf_counter()
        frame = self.frames[index]
        decoded = time.perf_counter()
        last = index + 1 == len(self.sequence)
        self.state, found = self.tracker.track_clip(self.state, [frame], last)
        self.found += found
        self.decoding += decoded - began
        self.times.append(time.perf_counter() - decoded)

    def write(self, run):
        """Write the points; on a dataset of boxes squares about them, as large as the first box."""
        sequence, found = self.sequence, self.found
        if len(found) != len(sequence):
            raise ValueError(f"{len(found)} answers for {len(sequence)} frames")
        points = np.array([each.point if each.present else (math.nan,) * 2 for each in found])
        scores = [each.score for each in found]
        where = run, sequence.dataset, sequence.name
        if sequence.task == "point":
            results.write_points(*where, points + sequence.origin, scores, self.times)
            return
        boxes = squares(points, math.sqrt(sequence.first_box[2] * sequence.first_box[3]))
        boxes[0], scores[0] = sequence.first_box, 1.0
        results.write(*where, sequence.to_file(boxes), self.times, scores)


def _decodes_ahead(tracker, cores):
    """Whether to decode whole frames ahead rather than parts of them in time, which costs half as much.

    It pays off unless the network is on the CPU, which needs the cores itself.
    """
    return not str(tracker.device).startswith("cpu") and cores > 2


def _start(driver, session):
    """Start on the first frame; returns the tracker's state."""
    frame, box = session.frame(), session.first_box
    for line in plausible.check(session.sequence, frame.shape[1::-1]):
        log.warning("%s", line)
    began = time.perf_counter()
    state = driver.start(frame, box)
    decoding = _decoding(frame)
    x, y, w, h = box.tolist()
    session.add(Result((x, y, w, h), 1.0, True), time.perf_counter() - began - decoding, decoding)
    return state


def _advance(driver, active, images):
    """Track one frame of every session in `images` {session: frame}; their states in `active` go on."""
    if not images:
        return
    began = time.perf_counter()
    states, found = driver.track([active[session] for session in images], list(images.values()))
    active.update(zip(images, states, strict=True))
    decoding = [_decoding(image) for image in images.values()]
    seconds = (time.perf_counter() - began - sum(decoding)) / len(images)
    for session, result, spent in zip(images, found, decoding, strict=True):
        session.add(result, seconds, spent)


def _decoding(image):
    """Seconds that a tracker spent decoding parts of a frame."""
    return image.seconds if isinstance(image, PartialFrame) else 0.0


def _damaged(image):
    return isinstance(image, PartialFrame) and image.damaged


def _failure(sequence, error):
    expected = isinstance(error, UserError)
    reason = str(error) if expected else f"{type(error).__name__}: {error}"
    return "failed", sequence.name, reason, None if expected else "".join(traceback.format_exception(error))


# ---- several processes ----------------------------------------------------------------------------------------------


def _in_processes(experiment, queue, run, processes, batch, cores, timeout):
    """As _work, in other processes. One that dies or hangs costs only its sequences, and another takes its place."""
    workers = {}

    def launch(number):
        worker = _Worker(experiment, run, number, batch, cores)
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
                    if queue.waiting:
                        launch(number)
                    continue
                yield from worker.take(event, queue)
            for pipe, (number, worker) in list(workers.items()):
                if timeout and worker.started and time.monotonic() - worker.heard > timeout:
                    worker.process.kill()
                    yield from worker.lost(f"no frame in {timeout:g} s (--timeout)")
                    del workers[pipe]
                    if queue.waiting:
                        launch(number)
                elif worker.ended:
                    worker.process.join()
                    del workers[pipe]
    finally:
        for _, worker in workers.values():
            worker.process.terminate()


class _Worker:
    """This end of one process: what it is tracking, and when it last answered."""

    def __init__(self, *how):
        context = multiprocessing.get_context("spawn")
        self.pipe, far = context.Pipe()
        self.process = context.Process(target=_serve, args=(far, *how), daemon=True)
        self.process.start()
        far.close()
        self.busy, self.started, self.ended, self.heard = {}, False, False, time.monotonic()

    def take(self, event, queue):
        self.heard = time.monotonic()
        kind, *values = event
        if kind == "next":
            self.started = True
            sequence = queue.next()
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


def _serve(pipe, experiment, run, number, batch, cores):
    """The other end of a process: build the tracker, ask for sequences, send what happens."""
    import cv2

    cv2.setNumThreads(int(os.environ.get("OMP_NUM_THREADS", "1")))

    def next_sequence():
        pipe.send(("next",))
        return pipe.recv()

    try:
        for event in _work(experiment.build(number), next_sequence, run, batch, cores):
            pipe.send(event)
        pipe.send(("end",))
    except (UserError, ImportError) as error:
        pipe.send(("error", error))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
