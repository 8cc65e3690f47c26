"""A whole evaluation with `lunar tiny`: in lockstep against one sequence at a time, and by two processes against one.

    OMP_NUM_THREADS=1 python tests/perf/bench_processes.py [--frames 40] [--width 1280] [--batches 4 16] [--rounds 3]

The data are the rendered night clips, enlarged and written as JPEG. In one process, torch and tracker at hand: frames a
second with and without decoding, and CPU time a frame. The plain baseline decodes every frame whole, one sequence at a
time; the others decode the surroundings of the target, or, ahead, whole frames by another thread, as evaluation does
where the network is not on the CPU.
Then the command itself: wall and CPU time of all its processes, over everything and over two frames, which is start-up.
Ways take turns; medians are printed, no time is asserted. Two processes need two free cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from lib import cli  # noqa: E402
from lib.data import benchmarks  # noqa: E402
from lib.data.image import encode_jpeg  # noqa: E402
from lib.test.evaluation import results, runner, work  # noqa: E402
from lib.test.tracker.lunar import LunarTracker  # noqa: E402

WEIGHTS = ROOT / "pretrained" / "lunar_tiny.safetensors"


class Ready:
    """An experiment whose tracker is there already."""

    def __init__(self, tracker):
        self.build = lambda: tracker


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 16])
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    cli.set_threads()
    cores = cli.share_of_cores()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write(folder / "all", args.frames, args.width)
        write(folder / "start", 2, args.width, clips=2)
        in_one_process(folder, args, cores)
        commands(folder, args.rounds)


def write(folder, count, width, clips=None):
    """The first `count` frames of rendered clips as JPEG, enlarged to a width in px."""
    for clip in benchmarks.load(benchmarks.DEMO)[:clips]:
        place, frames = folder / clip.name / "img", clip.frames()
        place.mkdir(parents=True)
        for index in range(min(count, len(clip))):
            image = frames[index]
            scale = width / image.shape[1]
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
            (place / f"{index:04d}.jpg").write_bytes(encode_jpeg(image, 90))
        np.savetxt(folder / clip.name / "groundtruth.txt", scale * clip.boxes_xywh[:count], "%.3f", ",")


def in_one_process(folder, args, cores):
    tracker = runner.Experiment("lunar", "tiny", (), WEIGHTS).build()
    sequences = benchmarks.load(folder / "all")
    frames = sum(map(len, sequences))
    ways = {"one at a time, whole frames": (1, False, False), "one at a time": (1, True, False)}
    for batch in args.batches:
        ways[f"--batch {batch}"] = (batch, True, False)
        if cores > 1:
            ways[f"--batch {batch}, decoded ahead"] = (batch, True, True)
    turns = [[evaluation(tracker, sequences, *way) for way in ways.values()] for _ in range(args.rounds)]
    print(f"{len(sequences)} sequences, {frames} JPEGs {args.width} px wide, {cores} cores; frames/s of one process")
    for name, (wall, tracking, cpu) in zip(ways, np.median(turns, axis=0), strict=True):
        rates = f"{frames / wall:7.1f} with decoding {frames / tracking:7.1f} without"
        print(f"{name:30}{rates}   {1000 * cpu / frames:6.2f} ms CPU a frame")


def evaluation(tracker, sequences, batch, partial, ahead):
    """(s in all, s of tracking, s of CPU) for tracking all sequences and writing their files."""
    with (
        tempfile.TemporaryDirectory() as folder,
        mock.patch.object(LunarTracker, "partial", partial),
        mock.patch.object(work, "_decodes_ahead", lambda tracker, cores: ahead),
    ):
        began, cpu = time.perf_counter(), time.process_time()
        summary = runner.evaluate(Ready(tracker), sequences, results.Run(folder, "lunar", "tiny"), batch=batch)
        assert len(summary.done) == len(sequences)
        return time.perf_counter() - began, summary.tracking_seconds, time.process_time() - cpu


def commands(folder, rounds):
    print("the command: s wall, s CPU")
    for data in ("start", "all"):
        turns = [[command(folder / data, processes) for processes in (0, 2)] for _ in range(rounds)]
        for name, (wall, cpu) in zip(("one process", "two processes"), np.median(turns, axis=0), strict=True):
            print(f"{name + (', start-up' if data == 'start' else ''):30}{wall:7.2f} {cpu:7.2f}")


def command(dataset, processes):
    """(s, s of CPU, children included) that tracking/test.py takes."""
    words = [sys.executable, "tracking/test.py", "lunar", "tiny", "--dataset", dataset, "--threads", str(processes)]
    with tempfile.TemporaryDirectory() as output:
        began = time.perf_counter()
        process = subprocess.Popen([*words, "--save_dir", output], cwd=ROOT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        assert status == 0
        return time.perf_counter() - began, usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
