"""Processor time a frame of a tracker, crop and decision included, by what runs its network, beside OSTrack's shape.

python tests/perf/bench_backends.py [FRAMES] [base]     base: also ViT-B/16, which takes minutes, 1 GB of disk and 6 GB

The plain baseline is a ViT-B/16 of OSTrack's shape, joint attention without elimination, in eager torch; "medium" is
torch.set_float32_matmul_precision("medium"), which lets torch choose another library, and on some CPUs less precision.
Weights are random. Frames are 640 x 480 px; the runs of a network take turns, so that other work hits all alike.
"""

import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.test.tracker.lunar import LunarTracker

OSTRACK = ("ostrack_256", ("MODEL.BACKBONE.CE_LOC=[]",))
SIZE = (480, 640, 3)
RUNS = [("torch", "fp32"), ("torch", "medium"), ("torch", "bf16")]
RUNS += [("onnx", "fp32"), ("onnx", "int8")] if find_spec("onnxruntime") else []
RUNS += [("openvino", "fp32"), ("openvino", "bf16")] if find_spec("openvino") else []


def main(frames=30, *more):
    networks = {name: (name, ()) for name in ("tiny_pairs", "tiny")}
    networks["tiny with enhancer"] = ("tiny", ("MODEL.ENHANCER.ENABLE=true",))
    if "base" in more:
        networks |= {name: (name, ()) for name in ("baseline_pairs", "baseline")}
    print(f"CPU, {torch.get_num_threads()} thread(s), 640 x 480 px, medians of up to {frames} frames")
    print(f"{'':40} ms a frame   times OSTrack's: fp32   medium")
    for label, network in networks.items():
        cases = {("OSTrack's shape", "torch", precision): OSTRACK for precision in ("fp32", "medium")}
        cases |= {(label, *run): network for run in RUNS}
        with tempfile.TemporaryDirectory() as folder:
            os.environ["LUNAR_SAVE"] = folder  # where networks are exported to
            taken = measure(cases, frames)
        slow, fast = (taken["OSTrack's shape", "torch", precision] for precision in ("fp32", "medium"))
        for case, value in taken.items():
            print(
                f"{'{:20} {:9} {}'.format(*case):40} {value:10.1f} {slow / value:23.2f} {fast / value:8.2f}", flush=True
            )


def measure(cases, frames):
    """{(label, engine, precision): median ms a frame} of {(label, engine, precision): (configuration, changes)}."""
    image = np.random.default_rng(0).integers(0, 60, SIZE, np.uint8)  # dark: the enhancer is fully on
    trackers, states, times = {}, {}, {case: [] for case in cases}
    for case, (name, changes) in cases.items():
        _, engine, precision = case
        torch.manual_seed(0)
        wanted = (f"TEST.BACKEND={engine}", f"TEST.PRECISION={precision.replace('medium', 'fp32')}")
        trackers[case] = LunarTracker(config.load("lunar", name, [*changes, *wanted, "TEST.WINDOW=mult"]))
        states[case] = trackers[case].start(image, np.array([310.0, 230.0, 20.0, 20.0]))
    for number in range(frames):
        for case, tracker in trackers.items():
            if number > 2 and not case[0].startswith("tiny") and number % 4:
                continue  # a quarter of the frames is enough of what takes a hundred times as long
            torch.set_float32_matmul_precision("medium" if case[2] == "medium" else "highest")
            began = process_time()
            tracker.track_frames([states[case]], [image])
            times[case].append(1e3 * (process_time() - began))
    return {case: median(values[1:]) for case, values in times.items()}


if __name__ == "__main__":
    from words import words

    main(*(int(word) if word.isdecimal() else word for word in words(__doc__)))
