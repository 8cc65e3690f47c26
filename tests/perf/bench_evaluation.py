"""A whole evaluation by one process and by two, what it costs to claim every sequence by a lock, and to decode frames.

    OMP_NUM_THREADS=1 python tests/perf/bench_evaluation.py [--sequences 8] [--frames 30] [--claims 500]

Tracks rendered night clips with OpenCV's MIL, files and all, then hands out sequences without tracking them, each with
claims and without, in turns. The best of three of each is printed; no time is asserted.

Frames are JPEGs of 1920 x 1080 px, of 600 KiB, and dark ones of 160 KiB; the crops of a tracker are cut out of them at
the top, in the middle and at the bottom: from the frame decoded whole; from its part, with the rest checked for damage,
as in evaluation; and from its part alone, as in training. CPU time of one thread, medians in turns.

A video file is read forwards, backwards as runs from its end do, and backwards with a pass through it for every frame.
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

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.data import benchmarks  # noqa: E402
from lib.data import image as images  # noqa: E402
from lib.data.crop import Crop  # noqa: E402
from lib.data.frames import ImageFrames, OrderedFrames, VideoFrames, partial_frame  # noqa: E402
from lib.data.sequence import Sequence  # noqa: E402
from lib.data.storage import Folder  # noqa: E402
from lib.data.video import KEPT  # noqa: E402
from lib.test.evaluation import results, runner, waiting  # noqa: E402
from lib.vis.video import VideoWriter  # noqa: E402

EXPERIMENT = runner.Experiment("opencv", "mil")
WIDTH, HEIGHT, ROUNDS = 1920, 1080, 5


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
    decoding()
    backwards()


def shortened(clip, count):
    opener = functools.partial(first_frames, clip.opener, min(count, len(clip)))
    return dataclasses.replace(clip, boxes_xywh=clip.boxes_xywh[:count], visible=clip.visible[:count], opener=opener)


def first_frames(opener, count):
    return OrderedFrames(opener(), range(count))


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
        queue = waiting.Queue(sequences, results.Run(folder, "opencv", "mil"), overwrite=False)
        start = time.perf_counter()
        while (sequence := queue.next()) is not None:
            queue.release(sequence.name)
        return time.perf_counter() - start


def decoding():
    """Print ms a frame of decoding and cropping."""
    cv2.setNumThreads(1)
    ways = {
        "whole": lambda frames, index: frames[index],
        "part, checked": lambda frames, index: partial_frame(frames, index, checked=True),
        "part": partial_frame,
    }
    for kind, size, light, base, noise in (("day", 600, 1.0, 110, 3.5), ("dark", 160, 0.25, 30, 2.0)):
        with tempfile.TemporaryDirectory() as folder:
            names = [f"{number}.jpg" for number in range(6)]
            for number, name in enumerate(names):
                picture = scene(np.random.default_rng(number), light, base, noise)
                made = (images.encode_jpeg(picture, quality) for quality in range(50, 98, 2))
                data = min(made, key=lambda data: abs(len(data) - 1024 * size))
                (Path(folder) / name).write_bytes(data)
            frames = ImageFrames(Folder(folder), names)
            print(
                f"{kind} frames, {np.mean([len(frames.read(index)) for index in range(6)]) / 1024:.0f} KiB: ms a frame"
            )
            for side in (128, 320):
                for place, cy in (("top", side / 2), ("middle", HEIGHT / 2), ("bottom", HEIGHT - side / 2)):
                    crop = Crop(0.6 * WIDTH, cy, side, 128)
                    turns = [[cost(crop, frames, way) for way in ways.values()] for _ in range(ROUNDS)]
                    found = zip(ways, np.median(turns, axis=0), strict=True)
                    texts = "   ".join(f"{name} {1000 * seconds:5.2f}" for name, seconds in found)
                    print(f"  crop of {side} px, {place:8}{texts}")


def backwards():
    """Print ms a frame of reading a video of 300 frames in either direction."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "v.mp4"
        with VideoWriter(path, 25) as video:
            clip = benchmarks.load(benchmarks.DEMO)[0].frames()
            for number in range(300):
                video.write(clip[number % len(clip)])
        ways = {
            "forwards": (range(300), KEPT),
            "backwards": (range(299, -1, -1), KEPT),
            "a pass a frame": (range(299, -1, -1), 0),
        }
        for name, (order, kept) in ways.items():
            with mock.patch("lib.data.frames.KEPT", kept):
                frames, start = VideoFrames(path), time.process_time()
                for index in order:
                    frames[index]
                print(f"video {name:16}{1000 * (time.process_time() - start) / 300:6.2f} ms a frame")


def scene(random, light, base, noise):
    """A frame with structure at every scale and sensor noise."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for scale in (4, 16, 64, 256):
        coarse = random.normal(0, 12 * scale**0.25, (HEIGHT // scale + 2, WIDTH // scale + 2, 3)).astype(np.float32)
        image += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    image = light * image + base + random.normal(0, noise, (HEIGHT, WIDTH, 1))
    return np.clip(image, 0, 255).astype(np.uint8)


def cost(crop, frames, open_frame):
    """Seconds a frame of reading, decoding and cropping."""
    began = time.thread_time()
    for index in range(len(frames)):
        crop.extract(open_frame(frames, index))
    return (time.thread_time() - began) / len(frames)


def claims_or_none(claims):
    """As it is, or without locks: a sequence is handed out as it comes."""
    if claims:
        return contextlib.nullcontext()
    return mock.patch.multiple(waiting.Queue, _claim=lambda self, sequence: True, release=lambda self, name: None)


if __name__ == "__main__":
    main()
