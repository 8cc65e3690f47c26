"""Milliseconds that a night adds to a frame of 640 x 480 px: the plain nights, the video nights, and training crops.

    python tests/perf/bench_night.py [BLOCKS]

A textured scene that moves by 2 px a frame, read forwards, and for the video nights backwards too: per frame of BLOCKS
groups of pictures. Crops are 160 x 160 px. One thread, the cases in turn, medians over the turns of its own time (what
else the machine does counts little); asserts nothing.
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from statistics import median
from time import thread_time

import av
import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.data.camera_night import record_crop, sample_camera_night
from lib.data.night import darken, sample_night
from lib.data.video_night import BLOCK, NIGHTS, STRENGTHS, night_frames

WIDTH, HEIGHT, CROP = 640, 480, 160
TURNS = 5


class Scene:
    """Frames in memory that move over a textured scene."""

    fps = 30.0

    def __init__(self, count):
        coarse = np.random.default_rng(0).integers(60, 255, (HEIGHT // 8, (WIDTH + 2 * count) // 8 + 1, 3), np.uint8)
        wide = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
        self.images = [np.ascontiguousarray(wide[:, 2 * i : 2 * i + WIDTH]) for i in range(count)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index]


def frames(scene, night, order):
    """ms a frame to read all frames of a scene by night."""
    shown = night_frames(scene, night, "bench")
    began = thread_time()
    for index in order:
        shown[index]
    return 1000 * (thread_time() - began) / len(scene)


def crops(record, draw):
    """ms a crop, its night's draw included."""
    day, count = Scene(1).images[0][:CROP, :CROP].copy(), 40
    began = thread_time()
    for seed in range(count):
        rng = np.random.default_rng(seed)
        record(day, draw(rng), rng)
    return 1000 * (thread_time() - began) / count


def main(blocks=3):
    cv2.setNumThreads(1)
    scene = Scene(blocks * BLOCK)
    forwards, backwards = range(len(scene)), range(len(scene) - 1, -1, -1)
    cases = {f"@{night}": lambda night=night: frames(scene, night, forwards) for night in NIGHTS}
    cases |= {f"@{night}, backwards": lambda night=night: frames(scene, night, backwards) for night in STRENGTHS}
    cases["crop, plain night"] = lambda: crops(darken, sample_night)
    cases["crop, camera night"] = lambda: crops(record_crop, sample_camera_night)
    found = {name: [] for name in cases}
    for turn in range(TURNS + 1):
        for name, work in cases.items():
            time = work()
            if turn:
                found[name].append(time)
    print(f"OpenCV {cv2.__version__}, PyAV {av.__version__}, one thread, medians of {TURNS} turns, ms")
    for name, values in found.items():
        print(f"{name:28s}{median(values):7.2f}")


if __name__ == "__main__":
    from words import words

    main(*map(int, words(__doc__)))
