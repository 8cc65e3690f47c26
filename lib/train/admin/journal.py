"""What a training tells: the log line, the same as JSON lines, and TensorBoard. Only rank 0 writes."""

import contextlib
import json
import logging
import time

from ...errors import MachineError
from ...files import write_text

log = logging.getLogger(__name__)


class Journal:
    """Lines for people on stdout and in logs/<name>.log, records for programs in logs/<name>.jsonl.

    Args:
        folder: where logs/ and tensorboard/ are (pathlib.Path).
        name: of the run, "<script>-<config>".
        active: whether this process writes at all.
    """

    def __init__(self, folder, name, active=True):
        self.active, self.name, self.folder = active, name, folder
        self.text, self.records = folder / "logs" / f"{name}.log", folder / "logs" / f"{name}.jsonl"
        self._board, self._began = None, 0
        if active:
            with _writing(self.text):
                self.text.parent.mkdir(parents=True, exist_ok=True)

    def begin(self, step, validated):
        """Forget the records after `step`, that of the checkpoint from which this run goes on; 0 forgets all.

        validated: whether that checkpoint comes after the validation at this step, whose record then stays.
        """
        self._began = step
        if not self.active or not self.records.exists():
            return
        kept = []
        for line in self.records.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:  # the process was killed while it wrote this line
                continue
            if record["step"] < step or (record["step"] == step and (validated or record["event"] == "train")):
                kept.append(line)
        write_text(self.records, "".join(f"{line}\n" for line in kept))

    def say(self, text):
        """A line for people."""
        if self.active:
            log.info(text)
            self._append(self.text, f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")

    def record(self, **values):
        """A line for programs, and what of it is a named number (`Loss/total`) for TensorBoard too."""
        if self.active:
            self._append(self.records, json.dumps(values) + "\n")
            if board := self.board():
                with _writing(board.log_dir):
                    for name, value in values.items():
                        if isinstance(value, float):
                            board.add_scalar(f"{values['event']}/{name}", value, values["step"])

    def picture(self, name, image, step):
        """A (3, H, W) uint8 tensor for TensorBoard."""
        if self.active and (board := self.board()):
            with _writing(board.log_dir):
                board.add_image(name, image, step)

    def board(self):
        """TensorBoard's writer, made when first needed because its import takes seconds; False where it is missing."""
        if self._board is None:
            try:
                from torch.utils.tensorboard import SummaryWriter

                script, _, config = self.name.partition("-")
                place = self.folder / "tensorboard" / "train" / script / config
                with _writing(place):
                    self._board = SummaryWriter(place, purge_step=self._began + 1 if self._began else None)
            except ImportError as error:
                log.warning("no TensorBoard (%s): pip install tensorboard", error)
                self._board = False
        return self._board

    def close(self):
        if self._board:
            with _writing(self._board.log_dir):
                self._board.close()

    def _append(self, path, text):
        with _writing(path), open(path, "a", encoding="utf-8") as file:
            file.write(text)


@contextlib.contextmanager
def _writing(path):
    try:
        yield
    except OSError as error:
        raise MachineError(f"cannot write: {error.strerror}", path) from error


def log_line(epoch, step, steps, fps, recent_fps, seconds, values, left):
    """The line that users of PyTracking, STARK and OSTrack know and parse.

    Args:
        epoch, step, steps: position, and steps of an epoch.
        fps, recent_fps: samples a second, since the epoch or this run began, and since the last line.
        seconds: (waiting for data, working, whole) per step since then.
        values: {name: mean over the epoch so far}.
        left: seconds until the training ends.
    """
    data, work, whole = seconds
    hours, minutes = divmod(round(left) // 60, 60)
    parts = [
        f"[train: {epoch}, {step} / {steps}] FPS: {fps:.1f} ({recent_fps:.1f})",
        f"DataTime: {data:.3f} ({data / max(whole, 1e-9):.3f})",
        f"ForwardTime: {work:.3f}",
        f"TotalTime: {whole:.3f}",
        *(f"{name}: {value:.5f}" for name, value in values.items()),
        f"ETA: {hours}:{minutes:02d}:{round(left) % 60:02d}",
    ]
    return "  ,  ".join(parts)
