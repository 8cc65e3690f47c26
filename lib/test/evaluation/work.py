"""One process's work: sequences through a tracker, one by one, in lockstep or in clips; each is written when done."""

import logging
import math
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...contracts import ClipTracker, LockstepTracker, Result, Tracker
from ...data import plausible
from ...data.frames import PartialFrame, partial_frame
from ...data.sequence import squares
from ...errors import MachineError, UserError
from . import results

log = logging.getLogger(__name__)

REPORT_EVERY = 0.5  # s between two reports of progress


class Session:
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


def work(tracker, next_sequence, run, batch, cores):
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
                session = Session(sequence, partial, readers)
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
    """As `work`, with a ClipTracker: every frame from the first on, no first box."""
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
