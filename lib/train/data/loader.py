"""Batches of samples, prepared by worker processes and independent of their number."""

import contextlib
import signal
import threading

import cv2
import torch
from torch.utils.data import DataLoader

from ...errors import MachineError, UserError


def epoch_batches(samples, batch_size, *, epoch, rank=0, world=1, start=0):
    """The batches of one process in an epoch, as keys of a data set of samples.

    Args:
        samples: how many make an epoch; an incomplete last global batch is dropped.
        batch_size: of each process. Global batch b holds the indices from b batch_size world on, of which process
            `rank` of `world` takes its contiguous part.
        epoch: number of the epoch.
        start: first batch to deliver, to resume within an epoch.

    Returns:
        [[(epoch, index)]].
    """
    whole = batch_size * world
    firsts = (batch * whole + rank * batch_size for batch in range(start, samples // whole))
    return [[(epoch, index) for index in range(first, first + batch_size)] for first in firsts]


def make_loader(sample_set, batches, workers, *, device="cpu"):
    """A DataLoader that delivers `batches` of a data set of samples in their order.

    Args:
        sample_set: a Samples.
        batches: from epoch_batches.
        workers: processes that prepare samples; 0 for this one.
        device: batches are pinned in memory for "cuda".

    With workers, OpenCV is left with one thread in this process too.

    Raises (while iterating):
        MachineError: a worker was killed. UserError, FrameError: as raised by the sample set, in one line.
    """
    return _Loader(
        sample_set,
        batch_sampler=batches,
        num_workers=workers,
        worker_init_fn=_start_worker if workers else None,
        pin_memory=torch.device(device).type == "cuda",
        prefetch_factor=4 if workers else None,
    )


class _Loader(DataLoader):
    def __iter__(self):
        if not self.num_workers:
            yield from super().__iter__()
            return
        # A fork inherits OpenCV's pool without its threads, and would wait for them: end them here.
        cv2.setNumThreads(1)
        iterator = super().__iter__()
        if threading.current_thread() is threading.main_thread():
            _leave_dead_workers_to_the_iterator()
        try:
            yield from iterator
        except UserError as error:  # a worker's error comes with its traceback: what follows its name is the message
            name = f"{type(error).__module__}.{type(error).__qualname__}: "
            raise type(error)(str(error).rpartition(name)[2].removesuffix(r"\n")) from error
        except (RuntimeError, ConnectionError, EOFError) as error:
            # As torch says it, or as a tensor in the memory of a dead worker shows; not a worker's own exception.
            text = str(error)
            if text.startswith("Caught ") or isinstance(error, RuntimeError) and "DataLoader worker (pid" not in text:
                raise
            raise MachineError(
                "a data worker was killed: memory or shared memory (/dev/shm) ran out, or someone ended it; "
                f"try fewer TRAIN.NUM_WORKER or a smaller TRAIN.BATCH_SIZE ({text})"
            ) from error
        finally:
            # Left to the garbage collector it may be ended by a worker forked later, which hangs there.
            iterator._shutdown_workers()


def _start_worker(_):
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer ends its workers itself
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _leave_dead_workers_to_the_iterator():
    """Keep torch's SIGCHLD handler from raising: that may be anywhere in the main thread, as in writing a checkpoint.

    The iterator finds a dead worker itself, within 5 s.
    """
    report = signal.getsignal(signal.SIGCHLD)
    if not callable(report) or hasattr(report, "quiet"):
        return

    def handler(number, frame):
        with contextlib.suppress(RuntimeError):
            report(number, frame)

    handler.quiet = True
    signal.signal(signal.SIGCHLD, handler)
