"""How long intervals and comparisons over sequences take, and the measures of VOT: no time is asserted.

    OMP_NUM_THREADS=1 python tests/perf/bench_statistics.py [--sequences 434] [--scores 10] [--draws 10000]

The plain way draws sequence numbers and takes the mean of each draw, score by score. The best of three runs of each is
printed. VOT is 60 sequences of 356 frames, ground truth turned, results upright, in a temporary folder.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.test.analysis import statistics, vot  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=434)
    parser.add_argument("--scores", type=int, default=10)
    parser.add_argument("--draws", type=int, default=10_000)
    args = parser.parse_args()
    values = np.random.default_rng(0).random((args.sequences, args.scores))
    ours = best(lambda: statistics.interval(values, draws=args.draws))
    plain = best(lambda: plainly(values, args.draws))
    pair = best(lambda: statistics.compare(values[:, 0], values[:, -1] + 0.01, draws=args.draws))
    print(f"{args.sequences} sequences x {args.scores} scores, {args.draws} draws")
    print(f"intervals: {ours:.3f} s   plain: {plain:.3f} s   one comparison: {pair:.3f} s")
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        sequences = vot.read_truth(Path(folder) / "truth.json")
        seconds = best(lambda: vot.evaluate(Path(folder) / "baseline", sequences, (100, 356)))
    frames = sum(len(one.corners) for one in sequences)
    print(f"VOT, {len(sequences)} sequences, {frames} frames, files included: {seconds:.2f} s a tracker")


def plainly(values, draws):
    drawn = np.random.default_rng(0).integers(0, len(values), (draws, len(values)))
    return [np.quantile(column[drawn].mean(axis=1), (0.025, 0.975)) for column in values.T]


def make(folder):
    generator, truth = np.random.default_rng(0), {}
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    for number in range(60):
        half, angle = generator.uniform(20, 60, (356, 1, 2)), generator.uniform(0, np.pi, (356, 1))
        x, y = (half * corner).transpose(2, 0, 1)
        centre = generator.uniform(100, 380, (356, 1, 2))
        turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], -1) + centre
        name = f"sequence{number}"
        truth[name] = {"gt_rect": turned.reshape(-1, 8).round(2).tolist(), "width": 640, "height": 480}
        place = folder / "baseline" / name
        place.mkdir(parents=True)
        boxes = np.concatenate([centre - half, 2 * half], axis=2)[1:, 0]
        rows = "".join(",".join(f"{value:.4f}" for value in box) + "\n" for box in boxes)
        (place / f"{name}_001.txt").write_text("1\n" + rows)
    (folder / "truth.json").write_text(json.dumps(truth))


def best(work):
    times = []
    for _ in range(3):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


if __name__ == "__main__":
    main()
