"""Several processes that track. One that dies or hangs costs only its sequences, and another takes its place."""

import multiprocessing
import os
import time
from multiprocessing import connection

from ...errors import UserError
from .work import REPORT_EVERY, work


def in_processes(experiment, queue, run, processes, batch, cores, timeout):
    """As `work`, in other processes. One that dies or hangs costs only its sequences, and another takes its place."""
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
        for event in work(experiment.build(number), next_sequence, run, batch, cores):
            pipe.send(event)
        pipe.send(("end",))
    except (UserError, ImportError) as error:
        pipe.send(("error", error))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
