"""An enhancer before any tracker: what lies about the target is enhanced, the rest of the frame stays as it is.

By day nothing is done and nothing copied: where the gate is closed the tracker is given the very frame.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ...data import boxes
from ...data.crop import window_on
from ...data.image import brightness
from ...models.enhancer.averaging import average

# Side of the window in target sizes, and at least, px. NanoTrack looks 4 to 5 sizes far, MIL takes its background from
# 50 px around, lunar's window has 4 sizes and at least 64 px.
REACH, LEAST = 6.0, 160.0
LARGE = 640  # px: longest side of a window from which it is enhanced at half its size; trackers shrink it more
LOST_GROWTH, LOST_FRAMES = 1.15, 8  # of the window, in each of the first frames without the target, as lunar's grows
GRID = 16  # px: coarsest cell of the enhancers' networks; a window in steps of it keeps the cells where they are


class FrameEnhancer:
    """Enhanced copies of frames (H, W, 3) uint8 RGB, which themselves are never changed.

    enhancer: of lib.models.enhancer. device: torch's. What it keeps of a video from frame to frame goes in and out.
    """

    def __init__(self, enhancer, device="cpu"):
        self.enhancer, self.device = enhancer.to(device).eval(), torch.device(device)

    def gate(self, light):
        """The gate at a mean brightness (lib.data.image.brightness), in [0, 1]; exactly 0 in good light."""
        return float(self.enhancer.gate_at(torch.tensor(light)))

    def enhance(self, image, gate, window=None, memory=None):
        """A copy of the image, enhanced in `window` (x0, y0, x1, y1 px; None: all over); the image itself at gate 0.

        memory: of the frames before, None for the first one or a single image. Returns (image, memory).
        """
        if gate == 0:
            return image, None
        x0, y0, x1, y1 = window or (0, 0, *image.shape[1::-1])
        part, size = image[y0:y1, x0:x1], (x1 - x0, y1 - y0)
        shrink = 2 ** max(0, math.frexp(max(size) / LARGE)[1]) if window else 1
        if shrink > 1:
            least = [max(1, side // shrink) for side in size]
            part = cv2.resize(part, least, interpolation=cv2.INTER_AREA)
        part, memory = self._averaged(part, (x0 // shrink, y0 // shrink), memory, shrink)
        with torch.inference_mode():
            part = _pixels(self.enhancer(*self._inputs(part, gate))[0])
        out = image.copy()
        out[y0:y1, x0:x1] = part if shrink == 1 else cv2.resize(part, size)
        return out, memory

    @torch.inference_mode()
    def steps(self, image, gate, memory=None):
        """The whole image after each of the enhancer's steps, the last one being the result, and the memory.

        Returns ([(H, W, 3) uint8], memory).
        """
        image, memory = self._averaged(image, (0, 0), memory)
        return [_pixels(after[0]) for after in self.enhancer.steps(*self._inputs(image, gate))], memory

    def _averaged(self, part, corner, memory, shrink=1):
        if not self.enhancer.average:
            return part, None
        known = memory[1] if memory and memory[0] == shrink else None  # a target of quite another size starts anew
        part, known = average(part, corner, known)
        return part, (shrink, known)

    def _inputs(self, image, gate):
        return as_tensor(image, self.device), torch.tensor([gate], device=self.device)


@dataclass(frozen=True)
class Sight:
    """Where a tracker is about to look, and in what light.

    box_xywh: (4,) px, last reported. absent: frames in a row for which the tracker said that the target is not there.
    light: mean brightness of the frames so far, None before the first. memory: of FrameEnhancer.
    """

    box_xywh: tuple
    absent: int = 0
    light: float | None = None
    memory: tuple | None = None

    def window(self, width, height):
        """(x0, y0, x1, y1) px: what to enhance of a frame, never empty."""
        cx, cy, w, h = boxes.xywh_to_cxcywh(np.array(self.box_xywh)).tolist()
        growth = LOST_GROWTH ** min(self.absent, LOST_FRAMES)
        side = growth * max(REACH * math.sqrt(max(w, 0.0) * max(h, 0.0)), LEAST)
        return window_on(cx, cy, side, (width, height), GRID)

    def after(self, result):
        """The Sight for the next frame, once the tracker has answered."""
        box = tuple(result["target_bbox"])
        known = all(map(math.isfinite, box))
        absent = 0 if result["present"] else self.absent + 1
        return replace(self, box_xywh=box if known else self.box_xywh, absent=absent)


class EnhancedTracker:
    """A tracker that sees enhanced frames: those of `tracker`, results unchanged.

    tracker: as in lib/test/tracker; one that works in lockstep (`start`, `step`) still does.
    """

    def __init__(self, tracker, frame_enhancer):
        self.tracker, self.frame_enhancer, self.device = tracker, frame_enhancer, frame_enhancer.device
        self._sight = None
        if hasattr(tracker, "step"):  # by which the runner tells the two kinds apart
            self.start, self.step = self._start, self._step

    def initialize(self, image, info):
        self._sight, seen = self._look(Sight(tuple(info["init_bbox"])), image)
        return self.tracker.initialize(seen, info)

    def track(self, image, info=None):
        sight, seen = self._look(self._sight, image)
        result = self.tracker.track(seen, info)
        self._sight = sight.after(result)
        return result

    def _start(self, image, box_xywh):
        sight, seen = self._look(Sight(tuple(box_xywh)), image)
        return sight, self.tracker.start(seen, box_xywh)

    def _step(self, states, images):
        looked = [self._look(sight, image) for (sight, _), image in zip(states, images, strict=True)]
        inner, results = self.tracker.step([state for _, state in states], [seen for _, seen in looked])
        sights = [sight.after(result) for (sight, _), result in zip(looked, results, strict=True)]
        return list(zip(sights, inner, strict=True)), results

    def _look(self, sight, image):
        """(the Sight with this frame's light, the frame enhanced where the tracker will look)."""
        light = brightness(image, sight.light)
        window = sight.window(*image.shape[1::-1])
        gate = self.frame_enhancer.gate(light) * self.frame_enhancer.enhancer.strength
        seen, memory = self.frame_enhancer.enhance(image, gate, window, sight.memory)
        return replace(sight, light=light, memory=memory), seen


def as_tensor(image, device="cpu"):
    """(H, W, 3) uint8 array -> (1, 3, H, W) in [0, 1]."""
    planes = np.ascontiguousarray(image.transpose(2, 0, 1))  # the filters of most enhancers are faster on these
    return torch.from_numpy(planes)[None].to(device).float() / 255


def _pixels(image):
    """(3, H, W) in [0, 1] -> (H, W, 3) uint8 array."""
    return (image * 255 + 0.5).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
