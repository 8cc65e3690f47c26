"""How long scoring takes: 700 sequences x 860 frames x 3 trackers, files included, against the plain way of doing it.

    OMP_NUM_THREADS=1 python tests/perf/bench_analysis.py [--sequences 700] [--frames 860] [--trackers 3]

The plain way is np.loadtxt for every file, and a table of comparisons, frames x thresholds, for every curve. Both read
boxes, ground truth and times, and must agree. The best of three runs of each is printed; no time is asserted.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.data.sequence import Sequence  # noqa: E402
from lib.data.textfile import read_boxes  # noqa: E402
from lib.test.analysis import metrics, scoring  # noqa: E402
from lib.test.evaluation import results  # noqa: E402


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequences", type=int, default=700)
    parser.add_argument("--frames", type=int, default=860)
    parser.add_argument("--trackers", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        names, runs = make(root, args)
        ours = best(lambda: score(root, names, runs))
        plain = best(lambda: score_plainly(root, names, runs))
    difference = max(np.abs(a - b).max() for a, b in zip(ours[1], plain[1], strict=True))
    rows = args.sequences * args.frames * (args.trackers + 1)
    print(f"{args.sequences} sequences x {args.frames} frames x {args.trackers} trackers, {rows:,} rows of boxes")
    print(f"ours, every score and curve: {ours[0]:.2f} s   plain, three curves: {plain[0]:.2f} s   ", end="")
    print(f"largest difference of a curve: {difference:.1e}")


def make(root, args):
    """Ground truth and results in `root`. Returns (names, {label: Run})."""
    generator = np.random.default_rng(0)
    names = [f"sequence_{index:04d}" for index in range(args.sequences)]
    runs = {f"tracker {index}": results.Run(root / "results", f"tracker{index}", "c") for index in range(args.trackers)}
    (root / "truth").mkdir()
    for name in names:
        truth = np.concatenate(
            [
                np.cumsum(generator.normal(size=(args.frames, 2)), 0) + 300,
                generator.uniform(4, 40, size=(args.frames, 2)),
            ],
            axis=1,
        )
        np.savetxt(root / "truth" / f"{name}.txt", truth, "%.2f", ",")
        for run in runs.values():
            boxes = truth + generator.normal(size=truth.shape)
            boxes[:, 2:] = np.abs(boxes[:, 2:]) + 0.5
            times = generator.uniform(0.005, 0.02, args.frames)
            path = results.boxes_path(run, "set", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savetxt(path, boxes, "%.3f", "\t")  # not results.write, whose 4,200 fsyncs would take minutes
            np.savetxt(path.with_name(f"{name}_time.txt"), times, "%f")
    return names, runs


def best(function, repeats=3):
    """(seconds of the fastest call, its result)."""
    fastest = np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        value = function()
        fastest = min(fastest, time.perf_counter() - start)
    return fastest, value


def score(root, names, runs):
    """What tracking/analysis_results.py does. Returns the mean curves of each tracker, concatenated, by label."""
    sequences = [Sequence(name, "set", read_boxes(root / "truth" / f"{name}.txt"), opener=None) for name in names]
    report = scoring.evaluate(runs, "set", sequences)
    trackers = sorted(report["trackers"], key=lambda tracker: tracker["label"])
    return [np.concatenate([tracker["curves"][name] for name in scoring.CURVES]) for tracker in trackers]


def score_plainly(root, names, runs):
    """The same curves, as evaluation code is usually written."""
    truths = {name: np.loadtxt(root / "truth" / f"{name}.txt", delimiter=",") for name in names}
    means = []
    for _, run in sorted(runs.items()):
        curves = []
        for name in names:
            truth = truths[name]
            boxes = np.loadtxt(run.folder / "set" / f"{name}.txt", delimiter="\t")
            np.loadtxt(run.folder / "set" / f"{name}_time.txt")
            boxes[0] = truth[0]
            low = np.maximum(boxes[:, :2], truth[:, :2])
            high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
            shared = np.clip(high - low, 0, None).prod(axis=1)
            overlap = shared / (boxes[:, 2:].prod(axis=1) + truth[:, 2:].prod(axis=1) - shared)
            offset = (boxes - truth)[:, :2] + (boxes - truth)[:, 2:] / 2
            error = np.sqrt((offset**2).sum(axis=1))
            relative = np.sqrt(((offset / truth[:, 2:]) ** 2).sum(axis=1))
            success = (np.minimum(overlap, 1)[:, None] > metrics.OVERLAPS).mean(axis=0)
            precision = (error[:, None] <= metrics.PIXELS).mean(axis=0)
            normalised = (relative[:, None] <= metrics.FRACTIONS).mean(axis=0)
            curves.append(np.concatenate([success, precision, normalised]))
        means.append(np.mean(curves, axis=0))
    return means


if __name__ == "__main__":
    main()
