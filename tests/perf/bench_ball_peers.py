"""Background subtraction as a ball tracker, a floor for all others: MOG2 and the largest blob.

    python tests/perf/bench_ball_peers.py --dataset shuttlecock --data_root DIR --save_dir OUT

Results are written as by test.py, so tracking/analysis_results.py --results OUT shows it beside others. A blob is what
MOG2 calls foreground (no shadow), opened by 3x3. The largest one up to 0.5 % of the frame is the ball.
"""

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from lib.contracts import ClipTracker, PointResult
from lib.data import benchmarks
from lib.test.evaluation import results, runner

LARGEST = 0.005  # share of the frame


class Mog2(ClipTracker):
    """The state is OpenCV's own and goes on in place."""

    def start(self):
        return cv2.createBackgroundSubtractorMOG2()

    def track_clip(self, state, frames, last):
        return state, [self._find(state.apply(frame)) for frame in frames]

    def _find(self, mask):
        blobs = cv2.morphologyEx((mask == 255).astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
        _, _, stats, centres = cv2.connectedComponentsWithStats(blobs)
        areas = stats[1:, cv2.CC_STAT_AREA].astype(float)
        areas[areas > LARGEST * mask.size] = 0
        if not areas.any():
            return PointResult((math.nan, math.nan), 0.0, False)
        best = 1 + int(areas.argmax())
        x, y = centres[best] + 0.5
        return PointResult((float(x), float(y)), float(areas.max() / (LARGEST * mask.size)), True)


class Experiment:
    def build(self):
        return Mog2()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="ball_rendered")
    parser.add_argument("--data_root")
    parser.add_argument("--save_dir", default="output")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    for dataset, (sequences, folder) in benchmarks.load_all(args.dataset, args.data_root).items():
        run = results.Run(results.results_root(args.save_dir), "mog2", "largest_blob")
        summary = runner.evaluate(Experiment(), sequences, run)
        results.write_source(run, dataset, folder)
        print(f"{dataset}: {len(summary.done)} sequences, failed: {summary.failed or 'none'}")


if __name__ == "__main__":
    main()
