"""Milliseconds that each enhancer adds to a frame of 640 x 360 px, beside the trackers it goes before, in one run.

    python tests/perf/bench_enhance.py [FRAMES]

A night frame and the window about a target of 12 px, as `--enhancer` of tracking/test.py has it; the same by day, where
the gate is closed; and the whole frame and a photograph of 1080p, as tracking/enhance.py has them. The networks have
random weights. One thread, the cases in turn, medians of its own time (what else the machine does counts little); the
share of `lunar tiny` that a window costs is printed beside, for at most a third may go to what runs before a tracker.
Asserts nothing.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from statistics import fmean, median
from time import thread_time

import cv2
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.data import night
from lib.data.image import brightness
from lib.models.enhancer import TYPES, build_enhancer
from lib.test.tracker.enhanced import FrameEnhancer, Sight
from lib.test.tracker.lunar import LunarTracker
from lib.test.tracker.opencv import OpenCVTracker

WIDTH, HEIGHT = 640, 360
BOX = [310.0, 170.0, 12.0, 12.0]


def main(frames=40):
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 255, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    day = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    dark = night.darken(day, night.night_strength("moderate"), rng)
    window = Sight(tuple(BOX)).window(WIDTH, HEIGHT)
    cases = {}
    for script, name, kind in (("opencv", "mil", OpenCVTracker), ("lunar", "tiny", LunarTracker)):
        tracker = kind(config.load(script, name))
        tracker.initialize(dark, BOX)
        cases[f"{script} {name}"] = [lambda tracker=tracker: tracker.track(dark)]
    enhancers = {name: build_enhancer(name) for name in TYPES}
    enhancers["... averaged"] = build_enhancer("haze_diffusion", average=True)
    for name, enhancer in enhancers.items():
        views = ((dark, window), (day, window), (dark, None), (cv2.resize(dark, (1920, 1080)), None))
        cases[name] = [Sequel(enhancer, *view) for view in views]
    times = {name: [[] for _ in works] for name, works in cases.items()}
    for frame in range(frames + 3):
        for name, works in cases.items():
            works = works if frame < 6 or len(works) < 4 else works[:3]  # of the large photograph few are enough
            for work, found in zip(works, times[name], strict=False):
                began = thread_time()
                work()
                if frame >= 3:
                    found.append(1000 * (thread_time() - began))
    across, down = window[2] - window[0], window[3] - window[1]
    print(f"OpenCV {cv2.__version__}, torch {torch.__version__}, one thread, medians of {frames}, ms")
    print(f"{'':16s} window {across} x {down}   by day   whole frame     1080p   window / tiny (means)")
    tiny = fmean(times["lunar tiny"][0])  # means: of a video the network looks at every fourth frame only
    for name, found in times.items():
        print(
            f"{name:16s}"
            + "".join(f"{median(values):{width}.2f}" for values, width in zip(found, (11, 13, 13, 13), strict=False))
            + (f"{fmean(found[0]) / tiny:13.2f}" if len(found) > 1 else "")
        )


class Sequel:
    """What EnhancedTracker does to the next frame of a video."""

    def __init__(self, enhancer, image, window):
        purpose = "tracker" if window else "people"
        self.frames, self.image, self.window = FrameEnhancer(enhancer, purpose=purpose), image, window
        self.memory = None

    def __call__(self):
        gate = self.frames.gate(brightness(self.image))
        _, self.memory = self.frames.enhance(self.image, gate, self.window, self.memory)


if __name__ == "__main__":
    from words import words

    main(*map(int, words(__doc__)))
