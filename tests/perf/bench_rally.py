"""Milliseconds that a rendered rally takes: to be planned, its first frame (with the hall), and every other frame.

    python tests/perf/bench_rally.py [--size 1920x1080] [--frames 16] [--seed 0]

CPU time of one thread, so that other work on the machine does not change it much.
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2

from lib.data.render.flight import SPORTS
from lib.data.render.rally import rendered_rallies


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    size = tuple(map(int, args.size.split("x")))
    cv2.setNumThreads(1)
    print(f"{'sport':14} {'plan':>8} {'first':>8} {'frame':>8}   ms, {args.size}, {args.frames} frames")
    for sport in SPORTS:
        marks = [time.process_time()]
        (rally,) = rendered_rallies(1, args.seed, size, args.frames, sport)
        marks.append(time.process_time())
        rally[0]
        marks.append(time.process_time())
        for index in range(1, args.frames):
            rally[index]
        marks.append(time.process_time())
        plan, first, rest = (1000 * (after - before) for before, after in zip(marks, marks[1:], strict=False))
        print(f"{sport:14} {plan:8.0f} {first:8.0f} {rest / (args.frames - 1):8.1f}")


if __name__ == "__main__":
    main()
