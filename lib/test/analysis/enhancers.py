"""Low-light enhancers measured: against the day that a night was made of, on real nights, and before trackers."""

import hashlib
import multiprocessing
import os
import signal
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from ...contracts import LockstepTracker
from ...data import image as images
from ...data.night import STRENGTHS, darken, sample_night
from ...errors import MachineError, UserError
from ...models.enhancer import Enhancer, load_enhancer
from ..tracker.enhanced import FrameEnhancer, as_tensor, enhanced, purpose_of
from . import metrics

NIGHTS = ("noisy", "processed", "moderate", "heavy")
SIDE = 256  # px, of the part of a photograph that is looked at, and of the image that is timed
TIMED = 15  # runs of which the median is taken
BLOCK = 16  # px: side of the blocks in which noise is measured
LIT = (0.03, 0.5)  # mean brightness of blocks in which it is: neither black nor blown out
FLAT = 0.1  # share of them, those with the least structure
WHITE = 0.95  # brightness from which a pixel counts as blown out
MEASURES = ("brightness", "noise", "ratio", "white", "order")  # of a real image, see measure_image and order_error
ORDERED = 50  # px: shorter side of the images whose order of tones is compared
TRACKED = ("auc", "p5", "np_auc")


@dataclass(frozen=True)
class Variant:
    """One enhancer to be measured.

    Attributes:
        source: name or file, see load_enhancer; None for frames as they are.
        averaged: whether frames are averaged over time first.
        identity: equal only for variants that compute the same; for a file it is that of its contents.
    """

    source: str | None = None
    averaged: bool = False
    identity: str = "none"

    @classmethod
    def of(cls, source: str, averaged: bool = False) -> "Variant":
        """The Variant of a name or a file."""
        path = Path(os.path.expanduser(source))
        same = digest(path.read_bytes()) if path.is_file() else source
        return cls(source, averaged, f"average+{same}" if averaged else same)

    def load(self) -> Enhancer | None:
        """The enhancer; None for frames as they are.

        Raises:
            UserError: no such enhancer.
        """
        if self.source is None:
            return None
        enhancer = load_enhancer(self.source)
        enhancer.average = self.averaged or enhancer.average
        return enhancer


NONE = Variant()


def digest(data: bytes) -> str:
    """16 hexadecimal digits of bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


class Bench:
    """What one process measures with. It keeps what it loads, and works on one thread so that times compare.

    Args:
        distances: functions of two images (B, 3, H, W) in [0, 1], each returning (B).
    """

    def __init__(self, distances: Sequence[Callable] = ()) -> None:
        self.distances = distances
        self._made: dict = {}
        torch.set_num_threads(1)
        cv2.setNumThreads(1)

    def photograph(self, sequence: Any, variants: Sequence[Variant]) -> np.ndarray:
        """How near each variant comes to the day image that its night was made from.

        Args:
            sequence: lib.data.sequence.Sequence, whose first frame is taken.
            variants: V of them.

        Returns:
            (V, nights, distances).
        """
        day = _centre(sequence.frames()[0])
        truth = as_tensor(day)
        shown = [as_tensor(night) for night in nights(day, sequence.name)]
        return np.array([[self._distances(variant, image, truth) for image in shown] for variant in variants])

    @torch.inference_mode()
    def _distances(self, variant, image, truth):
        enhancer = self._enhancer(variant)
        result = enhancer(image, torch.ones(1)) if enhancer else image
        return [distance(result, truth).item() for distance in self.distances]

    @torch.inference_mode()
    def milliseconds(self, variant: Variant) -> float:
        """Median time for one dark image of SIDE x SIDE px (ms)."""
        enhancer, times = self._enhancer(variant), []
        image = as_tensor(np.random.default_rng(0).integers(0, 60, (SIDE, SIDE, 3), np.uint8))
        for _ in range(TIMED if enhancer else 0):
            began = time.perf_counter()
            enhancer(image, torch.ones(1))
            times.append(time.perf_counter() - began)
        return 1000 * float(np.median(times)) if times else 0.0

    def still(self, path: str | Path, variants: Sequence[Variant]) -> np.ndarray:
        """Each variant's result for people on a real image, with the gate for its brightness: (V, MEASURES)."""
        image = images.decode(Path(path).read_bytes(), path)
        blocks, brightness, rows = flattest(image), images.brightness(image), []
        for variant in variants:
            enhancer = self._enhancer(variant)
            frames = FrameEnhancer(enhancer) if enhancer else None
            result = frames.enhance(image, frames.gate(brightness))[0] if frames else image
            rows.append([*measure_image(result, blocks), order_error(image, result)])
        return np.array(rows)

    def clip(self, sequence: Any, count: int, wanted: Sequence[tuple]) -> list[dict]:
        """Track the first frames of a sequence with several trackers; each frame is decoded once for all of them.

        Args:
            sequence: lib.data.sequence.Sequence.
            count: frames.
            wanted: pairs (Experiment, Variant).

        Returns:
            A dict for each: TRACKED in [0, 1], and "tracker_ms", "enhancer_ms", medians over the frames.
        """
        first_box, frames = sequence.first_box, sequence.frames()
        runs = [_Run(self._tracker(experiment), self._enhancer(variant)) for experiment, variant in wanted]
        image = frames[0]
        for run in runs:
            run.start(image, first_box)
        for index in range(1, count):
            image = frames[index]
            for run in runs:
                run.track(image)
        truth, visible = sequence.boxes_xywh[:count], sequence.visible[:count]
        return [run.result(truth, visible) for run in runs]

    def check(self, experiments: Iterable) -> None:
        """Build every tracker once, so that its errors are known before the work.

        Raises:
            UserError: a tracker cannot be built.
        """
        for experiment in experiments:
            self._tracker(experiment)

    def _enhancer(self, variant):
        if variant not in self._made:
            self._made[variant] = variant.load()
        return self._made[variant]

    def _tracker(self, experiment):
        """A new tracker, except that one LockstepTracker serves all runs: it stores nothing of a video."""
        tracker = self._made.get(experiment)
        if not isinstance(tracker, LockstepTracker):
            tracker = self._made[experiment] = experiment.build()
        return tracker


METHODS = {"photograph": Bench.photograph, "still": Bench.still, "clip": Bench.clip}


class _TimedEnhancer(FrameEnhancer):
    """A FrameEnhancer that keeps the `seconds` of the last frame."""

    def enhance(self, *image_and_more):
        began = time.perf_counter()
        result = super().enhance(*image_and_more)
        self.seconds = time.perf_counter() - began
        return result


class _Run:
    """One tracker behind one enhancer, or none, on one sequence."""

    def __init__(self, tracker, enhancer):
        self.enhancer = _TimedEnhancer(enhancer, purpose=purpose_of(tracker)) if enhancer else None
        self.tracker = enhanced(tracker, self.enhancer) if enhancer else tracker
        self.state, self.boxes, self.seconds = None, [], []

    def start(self, frame, box):
        if isinstance(self.tracker, LockstepTracker):
            self.state = self.tracker.start(frame, box)
        else:
            self.tracker.initialize(frame, box)
        self.boxes.append(box.tolist())

    def track(self, frame):
        began = time.perf_counter()
        if isinstance(self.tracker, LockstepTracker):
            (self.state,), (result,) = self.tracker.track_frames([self.state], [frame])
        else:
            result = self.tracker.track(frame)
        whole, part = time.perf_counter() - began, self.enhancer.seconds if self.enhancer else 0.0
        self.boxes.append(result.box)
        self.seconds.append((whole - part, part))

    def result(self, truth, visible):
        total = metrics.summary([metrics.score(self.boxes, truth, visible)])
        times = np.median(self.seconds, axis=0) if self.seconds else np.zeros(2)
        return {
            **{name: float(total[name]) for name in TRACKED},
            **dict(zip(("tracker_ms", "enhancer_ms"), (1000 * times).tolist(), strict=True)),
        }


def nights(day: np.ndarray, name: str) -> list[np.ndarray]:
    """The NIGHTS of a day image (H, W, 3) uint8, the same every time; the random ones depend on `name`."""
    shown = []
    for number, night in enumerate(NIGHTS):
        rng = np.random.default_rng([zlib.crc32(name.encode()), number])
        params = STRENGTHS.get(night) or sample_night(rng, processed=float(night == "processed"))
        shown.append(darken(day, params, rng))
    return shown


def flattest(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Blocks of an image (H, W, 3) uint8 in which noise can be measured: (rows, columns) of BLOCK px.

    They are the flattest tenth, by the rms of what a mean of 3x3 px leaves, of those that are neither dark nor bright.
    """
    smooth = cv2.blur(image.astype(np.float32) / 255, (3, 3))
    spread, light = _blocks(smooth).std(axis=2).mean(axis=2), _brightness(image)
    fit = (light >= LIT[0]) & (light <= LIT[1])
    if fit.any():
        fit &= spread <= np.quantile(spread[fit], FLAT)
    rows, columns = np.nonzero(fit)
    return rows, columns


def measure_image(image: np.ndarray, blocks: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """An image in numbers, each in [0, 1] except the ratio.

    Args:
        image (H, W, 3): uint8.
        blocks: rows and columns of the blocks in which noise is measured, see `flattest`.

    Returns:
        (4,), the first of MEASURES: mean brightness (largest channel); noise, the median rms of the finest detail of
        the blocks; the median of that over the block's brightness; the share of pixels blown out. NaN for noise without
        blocks.
    """
    value = image.max(axis=2)
    plain = image.astype(np.float32) / 255
    fine = (plain - cv2.blur(plain, (3, 3))) * np.sqrt(9 / 8)  # of white noise it has that noise's rms
    noise = np.sqrt(np.square(_blocks(fine)[blocks]).mean(axis=(1, 2)))
    light = np.maximum(_brightness(image)[blocks], 1 / 255)
    found = (np.median(noise), np.median(noise / light)) if len(noise) else (np.nan, np.nan)
    return np.array([value.mean() / 255, *found, (value > 255 * WHITE).mean()])


def order_error(image: np.ndarray, result: np.ndarray) -> float:
    """Share of all pairs of places whose order of lightness is another in the result (Wang et al. 2013, TIP 22:3538).

    Args:
        image, result (H, W, 3): uint8. Lightness is the largest channel, of means over an image of ORDERED px.
    """
    scale = ORDERED / min(image.shape[:2])
    size = tuple(max(1, round(side * scale)) for side in image.shape[1::-1])
    before, after = (
        cv2.resize(each.max(axis=2).astype(np.float32), size, interpolation=cv2.INTER_AREA).ravel()
        for each in (image, result)
    )
    return float(np.mean([((before >= x) != (after >= y)).mean() for x, y in zip(before, after, strict=True)]))


def _brightness(image):
    return _blocks(image.max(axis=2, keepdims=True).astype(np.float32) / 255).mean(axis=(2, 3))


def _blocks(image):
    """(H, W, C) -> (rows, columns, BLOCK * BLOCK, C), without an incomplete last row or column."""
    rows, columns = (side // BLOCK for side in image.shape[:2])
    whole = image[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, -1)
    return whole.swapaxes(1, 2).reshape(rows, columns, BLOCK * BLOCK, image.shape[2])


def _centre(image):
    y, x = (max(0, side - SIDE) // 2 for side in image.shape[:2])
    return np.ascontiguousarray(image[y : y + SIDE, x : x + SIDE])


def measure(bench: Bench, method: str, tasks: Sequence[tuple], processes: int = 1) -> Iterator[tuple[int, Any]]:
    """Measure tasks, here or in other processes.

    Args:
        bench: for this process; those of other processes are like it.
        method: one of METHODS.
        tasks: arguments of each call.
        processes: 1 works here.

    Yields:
        Number of the task and its result, or the UserError in its place, in the order in which they end.

    Raises:
        MachineError: a process died.
    """
    if min(processes, len(tasks)) <= 1:
        for number, task in enumerate(tasks):
            yield number, _attempt(bench, method, task)
        return
    workers = ProcessPoolExecutor(
        min(processes, len(tasks)), multiprocessing.get_context("spawn"), _open_bench, (bench.distances,)
    )
    try:
        numbers = {workers.submit(_attempt_here, method, task): number for number, task in enumerate(tasks)}
        for future in as_completed(numbers):
            yield numbers[future], future.result()
        workers.shutdown()  # what is timed next has the cores for itself
    except BrokenProcessPool:
        raise MachineError("a process died, most often for want of memory; what was finished is saved") from None
    finally:
        workers.shutdown(wait=False, cancel_futures=True)


def _attempt(bench, method, task):
    try:
        return METHODS[method](bench, *task)
    except UserError as error:
        return error


def _open_bench(distances):
    global _bench
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # the process that started this one says what there is to say
    _bench = Bench(distances)


def _attempt_here(method, task):
    return _attempt(_bench, method, task)
