"""Frames a second of a whole tracker, crop to box, on a device: eager and compiled, by precision and number of videos.

python tests/perf/bench_gpu.py [--device cuda] [--frames 50] [--configs tiny baseline] [--batches 1 16 64]
                               [--precisions fp32 bf16]

Frames are 640 x 480 px, weights random; every step is that of the runner, in which one process makes all crops. "x" is
times the frames of the same configuration for one video, eager, in the first precision. "host" is the share of a step
that is not the network's: crops, decision, state. Also prints how far compiled boxes are from eager ones, px.
"""

import argparse
import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.test.tracker.lunar import LunarTracker

IMAGE = np.random.default_rng(0).integers(0, 255, (480, 640, 3), np.uint8)
BOX = np.array([310.0, 230.0, 20.0, 20.0])


def seconds(tracker, count, frames):
    """(median of a step of `count` videos, of its host's part; a box after one step; what start and that step took)."""
    began = perf_counter()
    states = [tracker.start(IMAGE, BOX + [3 * n % 64, n % 64, 0, 0]) for n in range(count)]
    _, (first, *_) = tracker.track_frames(states, [IMAGE] * count)
    compiling = perf_counter() - began
    tracker.track_frames(states, [IMAGE] * count)  # a CUDA graph is recorded at the second call
    times, host = [], []
    for _ in range(frames):
        began = perf_counter()
        tracker.track_frames(states, [IMAGE] * count)
        times.append(perf_counter() - began)
        began = perf_counter()
        crops = [tracker._search_crop(tracker._predict(state, IMAGE), IMAGE) for state in states]
        for state, crop in zip(states, crops, strict=True):
            crop.extract(IMAGE)
            tracker._conclude(state, IMAGE, BOX, 0.5)
        host.append(perf_counter() - began)
    return median(times), median(host), np.array(first["target_bbox"]), compiling


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--frames", type=int, default=50)
    parser.add_argument("--configs", nargs="+", default=["tiny", "baseline"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 16, 64])
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    args = parser.parse_args()
    name = torch.cuda.get_device_name() if args.device.startswith("cuda") else "CPU"
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} thread(s), medians of {args.frames} steps")
    for script in args.configs:
        first, boxes = None, {}
        for precision in args.precisions:
            for compiling in (False, True):
                torch.manual_seed(0)
                torch._dynamo.reset()
                settings = [f"TEST.PRECISION={precision}", f"TEST.COMPILE={compiling}"]
                tracker = LunarTracker(config.load("lunar", script, settings), device=args.device)
                for count in args.batches:
                    step, host, box, began = seconds(tracker, count, args.frames)
                    first = first or step / count
                    boxes[compiling] = box
                    line = f"{script:9} {precision} {'compiled' if compiling else 'eager':8} batch {count:3}"
                    line += f" {1e3 * step:9.2f} ms a step {count / step:9.1f} frames/s {first * count / step:7.2f} x"
                    line += f"  host {host / step:4.0%}  at first {began:6.1f} s"
                    print(line, flush=True)
                    if compiling and count == args.batches[-1]:
                        print(f"{'':9} largest difference of a box, px: {np.abs(boxes[True] - boxes[False]).max():.1e}")


if __name__ == "__main__":
    main()
