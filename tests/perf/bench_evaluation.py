"""A whole evaluation by one process and by two, and what it costs to claim every sequence by a lock.

    OMP_NUM_THREADS=1 python tests/perf/bench_evaluation.py [--sequences 8] [--frames 30] [--claims 500]

Tracks rendered night clips with OpenCV's MIL, files and all, then hands out sequences without tracking them, each with
claims and without, in turns. The best of three of each is printed; no time is asserted.
"""

import argparse
import contextlib
import dataclasses
import functools
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.data import benchmarks  # noqa: E402
from lib.data.sequence import Sequence  # noqa: E402
from lib.test.evaluation import results, runner  # noqa: E402

EXPERIMENT = runner.Experiment("opencv", "mil")


class FirstFrames:
    """The first `count` frames of a source."""

    def __init__(self, opener, count):
        self.frames, self.count = opener(), count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return self.frames[index]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=8)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--claims", type=int, default=500)
    args = parser.parse_args()
    sequences = [shortened(clip, args.frames) for clip in benchmarks.load(benchmarks.DEMO)[: args.sequences]]
    frames = sum(map(len, sequences))
    print(f"{len(sequences)} sequences, {frames} frames, opencv mil")
    ways = {"one process": (0, True), "one process, no claims": (0, False), "two processes": (2, True)}
    turns = [[evaluation(sequences, *way) for way in ways.values()] for _ in range(3)]
    for name, seconds in zip(ways, map(min, zip(*turns, strict=True)), strict=True):
        print(f"{name:24}{seconds:7.2f} s {frames / seconds:7.1f} frames/s")
    boxes = np.zeros((1, 4))
    many = [Sequence(f"{number:05d}", "set", boxes, opener=None) for number in range(args.claims)]
    with_claims, without = map(min, zip(*([queue(many, True), queue(many, False)] for _ in range(3)), strict=True))
    print(f"claim and release: {1000 * with_claims / args.claims:.3f} ms a sequence, without claims: ", end="")
    print(f"{1000 * without / args.claims:.3f} ms ({args.claims} sequences)")


def shortened(clip, count):
    opener = functools.partial(FirstFrames, clip.opener, min(count, len(clip)))
    return dataclasses.replace(clip, boxes_xywh=clip.boxes_xywh[:count], visible=clip.visible[:count], opener=opener)


def evaluation(sequences, processes, claims):
    """Seconds of tracking and writing all of them."""
    with tempfile.TemporaryDirectory() as folder, claims_or_none(claims):
        start = time.perf_counter()
        summary = runner.evaluate(EXPERIMENT, sequences, results.Run(folder, "opencv", "mil"), processes=processes)
        assert len(summary.done) == len(sequences)
        return time.perf_counter() - start


def queue(sequences, claims):
    """Seconds of handing all of them out and taking them back."""
    with tempfile.TemporaryDirectory() as folder, claims_or_none(claims):
        waiting = runner._Queue(sequences, results.Run(folder, "opencv", "mil"), overwrite=False)
        start = time.perf_counter()
        while (sequence := waiting.next()) is not None:
            waiting.release(sequence.name)
        return time.perf_counter() - start


def claims_or_none(claims):
    """As it is, or without locks: a sequence is handed out as it comes."""
    if claims:
        return contextlib.nullcontext()
    return mock.patch.multiple(runner._Queue, _claim=lambda self, sequence: True, release=lambda self, name: None)


if __name__ == "__main__":
    main()
