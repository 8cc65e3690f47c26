"""A low-light enhancer before any tracker. It changes the surroundings of the target and leaves the rest of the frame.

In good light the gate is closed: nothing is copied, and the tracker gets the frame itself.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from ...contracts import LockstepTracker, Result, Tracker
from ...data import boxes
from ...data.crop import window_on
from ...data.image import brightness
from ...models.enhancer import Enhancer, light, noise
from ...models.enhancer.averaging import average

# Side of the window in target sizes, and at least, px. NanoTrack looks 4 to 5 sizes far, MIL takes its background from
# 50 px around, the one-stream tracker's window has 4 sizes and at least 64 px.
REACH, LEAST = 6.0, 160.0
LARGE = 640  # px: longest side of a window from which it is enhanced at half its size; trackers shrink it more
LOOK = 4  # frames: so often the network looks at a video; its light changes slowly, and the lift is smooth
KEPT = 0.9  # share of the last frame's in the mean lift, so that a video does not flicker
LOST_GROWTH, LOST_FRAMES = 1.15, 8  # of the window, in each of the first frames without the target
PHOTOGRAPH, WINDOW = 192, 64  # px: longest side of the thumbnail in which a network looks at light
GRID = 16  # px: coarsest cell of the enhancers' networks; a window in steps of it keeps the cells where they are


@dataclass(frozen=True)
class Purpose:
    """What enhanced frames are for: people and trackers want other strengths of the same network.

    A tracker that was trained on dark images gets frames averaged over time and nothing else: it needs no other light,
    and misses what a blur takes.

    Attributes:
        exposure: mean brightness that a dark frame is given, [0, 1]; 0 leaves light and noise alone.
        spread: share of the differences between places in the network's lift that is kept, [0, 1].
        denoise: factor of the noise that is removed (lib.models.enhancer.noise).
        blur: sigma of the blur where noise is all blotches, px.
    """

    exposure: float
    spread: float
    denoise: float
    blur: float


PURPOSES = {
    "people": Purpose(0.36, 0.15, 0.5, 0.0),
    "tracker": Purpose(0.36, 1.0, 1.0, 1.0),
    "night_tracker": Purpose(0.0, 0.0, 0.0, 0.0),
}


def purpose_of(tracker: Tracker) -> str:
    """The one of PURPOSES that frames before a tracker have."""
    return "night_tracker" if tracker.knows_night else "tracker"


class Memory(NamedTuple):
    """What is kept of the frames of a video so far.

    Attributes:
        shrink: factor by which windows were shrunk; where it changes all else starts again.
        averaged: of lib.models.enhancer.averaging; None without averaging.
        levels: of the noise, see lib.models.enhancer.noise; None for an enhancer that does not lift.
        lift: mean of the last frame's lift; None likewise.
        looked: what the network found when it last looked, (h, w); None likewise.
        age: frames since then.
    """

    shrink: int
    averaged: Any = None
    levels: tuple | None = None
    lift: float | None = None
    looked: np.ndarray | None = None
    age: int = 0


class FrameEnhancer:
    """Makes enhanced copies of frames (H, W, 3) uint8 RGB. The frames themselves are never changed.

    An enhancer that `lifts` looks at a thumbnail; noise is measured and removed, and the light changed, at full
    resolution. Others work on the pixels themselves. What is remembered of a video is passed in and returned as
    `memory`, never stored here.

    Args:
        enhancer: of lib/models/enhancer.
        device: where it runs, as torch names it.
        purpose: one of PURPOSES.
        strength: of the gate, [0, 1]; None for that of the purpose: 1 for people, the enhancer's own for a tracker.
    """

    def __init__(
        self, enhancer: Enhancer, device: Any = "cpu", purpose: str = "people", strength: float | None = None
    ) -> None:
        self.enhancer, self.device = enhancer.to(device).eval(), torch.device(device)
        self.purpose, self.side = PURPOSES[purpose], PHOTOGRAPH if purpose == "people" else WINDOW
        own = 1.0 if purpose == "people" else enhancer.strength
        self.strength = own if strength is None else strength

    def gate(self, brightness: float) -> float:
        """The gate in [0, 1] at a mean brightness (lib.data.image.brightness), with the strength of the purpose;
        exactly 0 in good light."""
        return float(self.enhancer.gate_at(torch.tensor(brightness))) * self.strength

    def enhance(
        self,
        image: np.ndarray,
        gate: float,
        window: tuple[int, int, int, int] | None = None,
        memory: tuple | None = None,
    ) -> tuple[np.ndarray, tuple | None]:
        """Enhance a window of a frame.

        Args:
            image (H, W, 3): uint8 RGB.
            gate: in [0, 1]; at 0 the image itself is returned.
            window: x0, y0, x1, y1 (px); None for the whole image.
            memory: what this method returned for the last frame; None for the first frame or a single image.

        Returns:
            The enhanced copy, and the memory for the next frame.
        """
        if gate == 0:
            return image, None
        x0, y0, x1, y1 = window or (0, 0, *image.shape[1::-1])
        part, size = image[y0:y1, x0:x1], (x1 - x0, y1 - y0)
        shrink = 2 ** max(0, math.frexp(max(size) / LARGE)[1]) if window else 1
        if shrink > 1:
            least = [max(1, side // shrink) for side in size]
            part = cv2.resize(part, least, interpolation=cv2.INTER_AREA)
        parts, memory = self._after_steps(part, gate, (x0 // shrink, y0 // shrink), memory, shrink, last=True)
        out = image.copy()
        out[y0:y1, x0:x1] = parts[-1] if shrink == 1 else cv2.resize(parts[-1], size)
        return out, memory

    def steps(
        self, image: np.ndarray, gate: float, memory: tuple | None = None
    ) -> tuple[list[np.ndarray], tuple | None]:
        """The whole image after each of the enhancer's steps; the last one is the result.

        Args:
            image, gate, memory: as for `enhance`.

        Returns:
            The images (H, W, 3) uint8, and the memory for the next frame.
        """
        return self._after_steps(image, gate, (0, 0), memory)

    @torch.inference_mode()
    def _after_steps(self, part, gate, corner, memory, shrink=1, last=False):
        """The window after each step, or after the last one alone, and the memory."""
        # A window shrunk by another factor has other pixels: all starts again.
        memory = memory if memory and memory.shrink == shrink else Memory(shrink)
        if self.enhancer.average:
            part, averaged = average(part, corner, memory.averaged)
            memory = memory._replace(averaged=averaged)
        if not self.enhancer.lifts:
            images, gates = as_tensor(part, self.device), torch.tensor([gate], device=self.device)
            steps = [self.enhancer(images, gates)] if last else self.enhancer.steps(images, gates)
            return [_pixels(after[0]) for after in steps], memory
        if not self.purpose.exposure:
            return [part], memory
        return self._lifted(part, gate, memory, last)

    def _lifted(self, part, gate, memory, last):
        small = light.thumbnail(part, self.side)
        known, age = memory.looked, (memory.age + 1) % LOOK
        if last and age and known is not None and known.shape == small.shape[:2]:
            lifts = [known]
        else:
            lifts, age = light.lifts(self.enhancer, small, gate, self.device), 0
        clean, levels = noise.clean(part, gate * self.purpose.denoise, memory.levels)
        clean = noise.blurred(clean, gate * self.purpose.blur * noise.blotches(levels))
        value = float(small.max(axis=2).mean()) / 255
        wanted = value + gate * max(0.0, self.purpose.exposure - value)
        lift = light.exposed(small, lifts[-1], wanted, self.purpose.spread)
        mean = float(lift.mean())
        kept = mean if memory.lift is None else KEPT * memory.lift + (1 - KEPT) * mean
        lift = lift * (kept / max(mean, 1e-6))  # without flicker
        shares = [1.0] if last else [float(each.mean()) / max(float(lifts[-1].mean()), 1e-6) for each in lifts]
        memory = memory._replace(levels=levels, lift=kept, looked=lifts[-1], age=age)
        return [light.brighten(clean, share * lift) for share in shares], memory


@dataclass(frozen=True)
class Sight:
    """Where a tracker will look next, and in what light.

    Attributes:
        box_xywh: the last reported box (px).
        absent: frames in a row for which the tracker said that the target is not there.
        brightness: mean brightness of the frames so far; None before the first.
        memory: of FrameEnhancer.
    """

    box_xywh: tuple[float, float, float, float]
    absent: int = 0
    brightness: float | None = None
    memory: tuple | None = None

    def window(self, width: int, height: int) -> tuple[int, int, int, int]:
        """x0, y0, x1, y1 (px): what to enhance of a frame of width x height px; never empty."""
        cx, cy, w, h = boxes.xywh_to_cxcywh(np.array(self.box_xywh)).tolist()
        growth = LOST_GROWTH ** min(self.absent, LOST_FRAMES)
        side = growth * max(REACH * math.sqrt(max(w, 0.0) * max(h, 0.0)), LEAST)
        return window_on(cx, cy, side, (width, height), GRID)

    def after(self, result: Result) -> "Sight":
        """The Sight for the next frame, once the tracker has answered."""
        box = result.box
        known = all(map(math.isfinite, box))
        absent = 0 if result.present else self.absent + 1
        return replace(self, box_xywh=box if known else self.box_xywh, absent=absent)


def enhanced(tracker: Tracker, frame_enhancer: FrameEnhancer) -> "EnhancedTracker | EnhancedLockstepTracker":
    """The same tracker, but it sees enhanced frames. A lockstep tracker stays one. Results pass unchanged."""
    if isinstance(tracker, LockstepTracker):
        return EnhancedLockstepTracker(tracker, frame_enhancer)
    return EnhancedTracker(tracker, frame_enhancer)


class EnhancedTracker(Tracker):
    """A Tracker that sees enhanced frames; made by `enhanced`."""

    def __init__(self, tracker: Tracker, frame_enhancer: FrameEnhancer) -> None:
        self.tracker, self.frame_enhancer, self.device = tracker, frame_enhancer, frame_enhancer.device
        self._sight: Sight | None = None

    def initialize(self, frame: np.ndarray, box: Sequence[float]) -> Result:
        x, y, w, h = map(float, box)
        self._sight, seen = _enhance(self.frame_enhancer, Sight((x, y, w, h)), frame)
        return self.tracker.initialize(seen, box)

    def track(self, frame: np.ndarray) -> Result:
        sight, seen = _enhance(self.frame_enhancer, self._sight, frame)
        result = self.tracker.track(seen)
        self._sight = sight.after(result)
        return result


class EnhancedLockstepTracker(LockstepTracker):
    """A LockstepTracker that sees enhanced frames; made by `enhanced`. A state is (Sight, the tracker's state)."""

    def __init__(self, tracker: LockstepTracker, frame_enhancer: FrameEnhancer) -> None:
        self.tracker, self.frame_enhancer, self.device = tracker, frame_enhancer, frame_enhancer.device

    def start(self, frame: np.ndarray, box: Sequence[float]) -> tuple[Sight, Any]:
        x, y, w, h = map(float, box)
        sight, seen = _enhance(self.frame_enhancer, Sight((x, y, w, h)), frame)
        return sight, self.tracker.start(seen, box)

    def track_frames(
        self, states: Sequence[tuple[Sight, Any]], frames: Sequence[np.ndarray]
    ) -> tuple[list[tuple[Sight, Any]], list[Result]]:
        pairs = [_enhance(self.frame_enhancer, sight, frame) for (sight, _), frame in zip(states, frames, strict=True)]
        inner, results = self.tracker.track_frames([state for _, state in states], [seen for _, seen in pairs])
        sights = [sight.after(result) for (sight, _), result in zip(pairs, results, strict=True)]
        return list(zip(sights, inner, strict=True)), results


def _enhance(frame_enhancer, sight, frame):
    """The Sight with this frame's brightness, and the frame enhanced where the tracker will look."""
    level = brightness(frame, sight.brightness)
    window = sight.window(*frame.shape[1::-1])
    gate = frame_enhancer.gate(level)
    seen, memory = frame_enhancer.enhance(frame, gate, window, sight.memory)
    return replace(sight, brightness=level, memory=memory), seen


def as_tensor(image: np.ndarray, device: Any = "cpu") -> torch.Tensor:
    """(H, W, 3) uint8 array -> (1, 3, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))  # the filters of most enhancers are faster on these
    return torch.from_numpy(planes)[None].to(device).float() / 255


def _pixels(image):
    """(3, H, W) in [0, 1] -> (H, W, 3) uint8 array."""
    return (image * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
