"""Sequences that wait for work, and what became of them; shared with other evaluations of the same folder by locks."""

import errno
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from ...errors import MachineError
from . import results

log = logging.getLogger(__name__)

LOOK_AGAIN_EVERY = 1.0  # s between two looks at what other evaluations have in work
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP)  # what file systems answer that have none


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


class Queue:
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
