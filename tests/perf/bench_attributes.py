"""How long derived attributes take: from boxes per 1,000 sequences, from pixels per sequence, against plain decoding.

    OMP_NUM_THREADS=1 python tests/perf/bench_attributes.py [--sequences 1000] [--frames 300] [--pixels 4]

Pixels are of 1920 x 1080 JPEG with a target of 16 px. The plain way decodes every frame whole and does nothing with it;
the same eight frames decoded whole are timed too. The best of three runs of each is printed; no time is asserted.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.data import attributes  # noqa: E402
from lib.data.frames import ImageFrames  # noqa: E402
from lib.data.image import encode_jpeg  # noqa: E402
from lib.data.sequence import Sequence  # noqa: E402
from lib.data.storage import Folder  # noqa: E402
from tests.perf.bench_analysis import best  # noqa: E402

SIZE = (1920, 1080)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--pixels", type=int, default=4, metavar="N", help="sequences to look at the pixels of")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    made = [sequence(rng, args.frames) for _ in range(args.sequences)]
    seconds, _ = best(lambda: [attributes.from_boxes(one, SIZE) for one in made])
    print(f"from boxes: {1000 * seconds / args.sequences:.2f} s for 1,000 sequences of {args.frames} frames")
    with tempfile.TemporaryDirectory() as folder:
        frames = files(rng, Path(folder), args.frames)
        some = made[: args.pixels]
        ours, _ = best(lambda: [attributes.from_pixels(one, frames) for one in some])
        picked = np.linspace(0, args.frames - 1, 8).round().astype(int)
        eight, _ = best(lambda: [frames[int(index)] for index in picked])
        plain, _ = best(lambda: [frames[index] for index in range(args.frames)], repeats=1)
    print(f"from pixels: {1000 * ours / len(some):.0f} ms a sequence", end="   ")
    print(f"decoding its eight frames whole: {1000 * eight:.0f} ms, all {args.frames}: {1000 * plain:.0f} ms")


def sequence(rng, count):
    """A target of 16 px that wanders about the middle."""
    centres = np.clip(np.cumsum(rng.normal(0, 3, (count, 2)), axis=0), -300, 300) + (960, 540)
    sides = 16 * np.exp(np.cumsum(rng.normal(0, 0.01, (count, 2)), axis=0))
    return Sequence("made", "made", np.concatenate([centres - sides / 2, sides], axis=1), opener=None)


def files(rng, folder, count):
    """`count` frames that share eight JPEG files."""
    noise = rng.integers(0, 60, (SIZE[1] // 4, SIZE[0] // 4, 3), dtype=np.uint8)
    for number in range(8):
        frame = np.roll(noise, number, axis=1).repeat(4, axis=0).repeat(4, axis=1)
        (folder / f"{number}.jpg").write_bytes(encode_jpeg(frame))
    return ImageFrames(Folder(folder), [f"{index % 8}.jpg" for index in range(count)])


if __name__ == "__main__":
    main()
