"""Milliseconds a frame of a tracker, crop and decision included, by what runs its network, beside OSTrack's shape.

python tests/perf/bench_backends.py [FRAMES] [base]     base: also ViT-B/16, which takes minutes and 0.8 GB of disk

The plain baseline is a ViT-B/16 of OSTrack's shape, joint attention without elimination, in eager torch. Weights are
random. Frames are 640 x 480 px; the trackers take turns, so that other work on the machine hits all alike.
"""

import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.test.tracker.lunar import LunarTracker

OSTRACK = ("ostrack_256", ("MODEL.BACKBONE.CE_LOC=[]",))
SIZE = (480, 640, 3)


def main(frames=30, *more):
    engines = [
        "torch",
        *(name for name, package in (("onnx", "onnxruntime"), ("openvino", "openvino")) if find_spec(package)),
    ]
    cases = {"ViT-B as OSTrack, torch": (*OSTRACK, "torch")}
    for label, name in (("baseline_pairs", "baseline_pairs"), ("baseline", "baseline")) if "base" in more else ():
        cases |= {f"{label}, {engine}": (name, (), engine) for engine in engines}
    for name in ("tiny_pairs", "tiny"):
        cases |= {f"{name}, {engine}": (name, (), engine) for engine in engines}
    enhanced = ("MODEL.ENHANCER.ENABLE=true",)
    cases |= {f"tiny with enhancer, {engine}": ("tiny", enhanced, engine) for engine in engines}
    image = np.random.default_rng(0).integers(0, 60, SIZE, np.uint8)  # dark: the enhancer is fully on
    box = np.array([310.0, 230.0, 20.0, 20.0])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LUNAR_SAVE"] = folder  # where networks are exported to
        trackers, states, times = {}, {}, {name: [] for name in cases}
        for label, (name, changes, engine) in cases.items():
            torch.manual_seed(0)
            settings = config.load("lunar", name, [*changes, f"TEST.BACKEND={engine}", "TEST.WINDOW=mult"])
            trackers[label] = LunarTracker(settings)
            states[label] = trackers[label].start(image, box)
        for number in range(frames):
            for label, tracker in trackers.items():
                if number > 2 and label.startswith(("ViT-B", "baseline")) and number % 4:
                    continue  # a quarter of the frames is enough of what takes a hundred times as long
                began = perf_counter()
                tracker.step([states[label]], [image])
                times[label].append(1e3 * (perf_counter() - began))
    first = median(times["ViT-B as OSTrack, torch"][1:])
    print(f"CPU, {torch.get_num_threads()} thread(s), fp32, 640 x 480 px, medians of up to {frames} frames")
    for label, taken in times.items():
        print(f"{label:30} {median(taken[1:]):8.1f} ms a frame {first / median(taken[1:]):8.1f} times as fast")


if __name__ == "__main__":
    main(*(int(word) if word.isdecimal() else word for word in sys.argv[1:]))
