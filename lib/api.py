"""The public API: load a tracker, track, load a dataset, evaluate, score. `lib/__init__.py` exports it.

Heavy packages are imported where they are first needed, so that `import lunar_tracking` is quick.
"""

import math
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from . import cli, config, registry
from .contracts import ClipTracker, Result, Tracker
from .data.boxes import box_fault
from .errors import UserError
from .test.follow.targets import Targets

Box = Sequence[float]
WHOLE = None  # the name of the target where there is only one


class LoadedTracker(Tracker):
    """A tracker of one or several targets in one video that refuses input it would read wrongly.

    Args:
        build: makes the tracker of a family. It is called once for all targets if that tracker works in lockstep, else
            once for each target.
    """

    def __init__(self, build: Callable[[], Tracker]):
        self._targets = Targets(build)
        self.device = self._targets.tracker.device
        self._size: tuple[int, ...] | None = None
        self._several = False

    def initialize(self, frame: np.ndarray, box: Box | Mapping[Hashable, Box]) -> Any:
        """Start on the first frame of a video and forget what came before.

        Args:
            frame (H, W, 3): uint8 RGB, C-contiguous.
            box: x, y, w, h of the target (px, continuous coordinates), or {id: box} for several targets.

        Returns:
            Result, or {id: Result} for several targets.

        Raises:
            ValueError: the frame is no such array, or a box is not finite, empty or outside the frame.
        """
        _check_frame(frame, None)
        if isinstance(box, Mapping) and "init_bbox" in box:  # as STARK's trackers are called
            box = box["init_bbox"]
        self._several = isinstance(box, Mapping)
        boxes = dict(box) if isinstance(box, Mapping) else {WHOLE: box}
        if not boxes:
            raise ValueError("box: expected at least one target, found an empty mapping")
        checked = {name: _checked_box(each, frame, name) for name, each in boxes.items()}
        self._size = frame.shape
        return self._answer(self._targets.start(frame, checked))

    def track(self, frame: np.ndarray) -> Any:
        """Find the target, or every target, in the next frame.

        Args:
            frame (H, W, 3): uint8 RGB, C-contiguous, of the first frame's size.

        Returns:
            Result, or {id: Result} where `initialize` was given several targets.

        Raises:
            ValueError: the frame is no such array.
            RuntimeError: `initialize` was not called before.
        """
        if self._size is None:
            raise RuntimeError("track: call initialize(frame, box) on the first frame before")
        _check_frame(frame, self._size)
        return self._answer(self._targets.track(frame))

    def _answer(self, results: dict[Hashable, Result]) -> Any:
        return results if self._several else results[WHOLE]


def _check_frame(frame: Any, size: tuple[int, ...] | None) -> None:
    if not isinstance(frame, np.ndarray):
        raise ValueError(f"frame: expected a numpy array (H, W, 3), uint8 RGB; found {type(frame).__name__}")
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        advice = "; cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB) makes one of a grey image" if frame.ndim == 2 else ""
        raise ValueError(f"frame: expected shape (H, W, 3), RGB; found {frame.shape}{advice}")
    if frame.dtype != np.uint8:
        hints = {"f": "scale it to 0..255 and convert it", "u": "scale it to 0..255 once for the whole video"}
        hint = hints.get(frame.dtype.kind, "convert it")
        raise ValueError(f"frame: expected dtype uint8, found {frame.dtype}; {hint}")
    if not frame.flags.c_contiguous:
        raise ValueError("frame: expected a C-contiguous array; np.ascontiguousarray(frame) makes one")
    if size is not None and frame.shape != size:
        raise ValueError(f"frame: expected the size of the first frame {size}, found {frame.shape}")


def _checked_box(box: Any, frame: np.ndarray, name: Hashable) -> tuple[float, float, float, float]:
    what = "box" if name is WHOLE else f"box of {name!r}"
    try:
        x, y, w, h = (float(value) for value in box)
    except (TypeError, ValueError):
        raise ValueError(f"{what}: expected 4 numbers x, y, w, h; found {box!r}") from None
    if fault := box_fault((x, y, w, h), frame.shape[1::-1]):
        raise ValueError(f"{what}: {fault}")
    return x, y, w, h


def list_trackers() -> dict[str, list[str]]:
    """The trackers that `load_tracker` knows: {family: its configurations}."""
    return {family: config.names(family) for family in registry.names()}


def load_tracker(
    family: str = registry.DEFAULT,
    name: str = "tiny",
    *,
    checkpoint: str | None = None,
    device: str = "auto",
    backend: str | None = None,
    enhancer: str | None = None,
    settings: Sequence[str] = (),
) -> Any:
    """Build a tracker with its weights.

    A family that finds a ball has a ClipTracker: no first box, see `lib/contracts.py`.

    Args:
        family: a key of `list_trackers()`.
        name: one of its configurations, such as "tiny".
        checkpoint: weights, a file; None takes those that ship or were trained last.
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
        backend: what runs the network: "torch", "onnx" or "openvino"; None is torch where it is installed, else onnx.
        enhancer: low-light enhancer before the tracker: a name such as "average", or a .safetensors file.
        settings: changes of the configuration, such as ["TEST.MIN_BOX=2"].

    Raises:
        UserError: there is no such tracker, configuration, weights file or setting.
    """
    from .config.paths import paths
    from .test.evaluation.runner import Experiment
    from .test.tracker.weights import find_weights

    overrides = [*settings, *([f"TEST.BACKEND={backend}"] if backend else [])]
    values = config.load(family, name, overrides)
    weights = find_weights(family, name, values, paths(), checkpoint)
    cli.set_threads()
    experiment = Experiment(family, name, tuple(overrides), weights, enhancer, device)
    if registry.finds_balls(family):
        return experiment.build()
    return LoadedTracker(cast("Callable[[], Tracker]", experiment.build))


def load_dataset(name_or_folder: str, data_root: str | None = None) -> list:
    """The sequences (data.sequence.Sequence) of a benchmark, or of a folder, zip or LMDB of your own.

    A sequence has `name`, `boxes_xywh` (N, 4), `visible` (N,), and `frames()`, whose items are (H, W, 3) uint8 RGB.

    Args:
        name_or_folder: see docs/add_a_dataset.md; `NAME@heavy` shows it by night.
        data_root: folder that holds the benchmarks; None takes ./data.

    Raises:
        UserError: nothing readable is there; the message says what was looked for.
    """
    from .data import benchmarks

    return list(benchmarks.load(name_or_folder, data_root))


@dataclass(frozen=True)
class Track:
    """What a tracker answered for one sequence of N frames, the first frame included.

    Attributes:
        boxes_xywh (N, 4): px.
        scores (N,): confidence in [0, 1].
        present (N,): bool.
        seconds (N,): time of each frame without decoding.
    """

    boxes_xywh: np.ndarray
    scores: np.ndarray
    present: np.ndarray
    seconds: np.ndarray


def evaluate(
    tracker: Tracker, sequences: Sequence, progress: Callable[[str, int, int], None] | None = None
) -> dict[str, Track]:
    """Track every sequence from its first box to its last frame, in this process.

    `python tracking/test.py` does the same with several processes, result files and resuming.

    Args:
        tracker: from `load_tracker`, or your own subclass of Tracker.
        sequences: from `load_dataset`.
        progress: called with (name of the sequence, frames tracked, its frames).

    Returns:
        {name of the sequence: Track}.

    Raises:
        UserError: a frame cannot be read, or a sequence has no first box.
    """
    if isinstance(tracker, ClipTracker):
        raise UserError("evaluate: this tracker finds balls and needs no first box; tracking/test.py runs it")
    tracks = {}
    for sequence in sequences:
        frames = sequence.frames()
        found, seconds = [Result((math.nan,) * 4, 0.0, False)] * sequence.start, [0.0] * sequence.start
        for index in range(sequence.start, len(sequence)):
            frame = frames[index]
            began = time.perf_counter()
            first = index == sequence.start
            found.append(tracker.initialize(frame, sequence.first_box.tolist()) if first else tracker.track(frame))
            seconds.append(time.perf_counter() - began)
            if progress:
                progress(sequence.name, index + 1, len(sequence))
        boxes, scores, present = zip(*((each.box, each.score, each.present) for each in found), strict=True)
        tracks[sequence.name] = Track(np.array(boxes), np.array(scores), np.array(present), np.array(seconds))
    return tracks


def score(tracks: Mapping[str, Track | np.ndarray], sequences: Sequence, protocol: str = "clean") -> dict[str, float]:
    """Scores in [0, 1], means over the sequences, as test/analysis/metrics.py defines them.

    Args:
        tracks: for every sequence a Track, or boxes (N, 4) px, rows of NaN where the tracker said absent.
        sequences: from `load_dataset`.
        protocol: how frames without a target count: "clean" leaves them out; "stark", "pytracking".

    Returns:
        {"auc", "op50", "op75", "p20", "p5", "np_auc", "np20", "ao", "sr50", "sr75"}.

    Raises:
        ValueError: a sequence has no track, or one of another length.
    """
    from .test.analysis import metrics

    if protocol not in metrics.PROTOCOLS:
        raise ValueError(f"protocol: expected one of {', '.join(metrics.PROTOCOLS)}; found {protocol!r}")
    scores = []
    for sequence in sequences:
        if sequence.name not in tracks:
            raise ValueError(f"{sequence.name}: there is no track of this sequence")
        track = tracks[sequence.name]
        boxes = np.asarray(track.boxes_xywh if isinstance(track, Track) else track, np.float64)
        if boxes.shape != (len(sequence), 4):
            raise ValueError(f"{sequence.name}: expected boxes ({len(sequence)}, 4), found {boxes.shape}")
        scores.append(metrics.score(boxes, sequence.boxes_xywh, sequence.visible, protocol, sequence.dataset))
    return {name: float(value) for name, value in metrics.summary(scores).items() if np.ndim(value) == 0}
