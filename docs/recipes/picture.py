"""Draw a tracker's results as one PNG: a row for each sequence, columns along time, the target enlarged in a corner.

Example: python tracking/test.py lunar tiny --dataset lunar_demo
         python docs/recipes/picture.py docs/tracked.png --sequences tiny_drone_city car_traffic walker_crowd
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np

from lib import cli
from lib.config.paths import paths
from lib.data import benchmarks
from lib.data.sequence import named
from lib.errors import UserError
from lib.files import atomic_path
from lib.test.evaluation import results
from lib.vis.video import annotate

GAP = 4  # px of white between two frames


@cli.command
def main(argv=None):
    options = _parse(argv)
    sequences = benchmarks.load(options.dataset, options.data_root)
    name, _, config = options.tracker.partition(":")
    run = results.Run(results.results_root(options.results or paths().output), name, config)
    rows = []
    for wanted in options.sequences:
        found = named(sequences, wanted)
        if not found:
            raise UserError(f"--sequences {wanted}: there is no such sequence in {sequences[0].dataset}")
        (sequence,) = found
        found = results.find(run, options.dataset, sequence.name)
        if found is None:
            raise UserError(f"no results of {sequence.name} by {options.tracker}; make them with tracking/test.py")
        boxes_xywh = sequence.from_file(results.read(found, len(sequence))[0])
        rows.append(row(sequence, boxes_xywh, options.columns, options.width, options.gain))
    picture = stacked(rows, axis=0)
    with atomic_path(Path(options.picture)) as file:
        cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    print(f"wrote {options.picture}")
    return 0


def row(sequence, boxes_xywh, columns, width, gain):
    """One sequence as a strip of frames.

    Args:
        sequence: data.sequence.Sequence of N frames.
        boxes_xywh (N, 4): the tracker's boxes, px.
        columns: frames to show, evenly spread over the sequence.
        width: of each, px.
        gain: factor on the brightness of what is drawn.

    Returns:
        uint8 RGB (H, W, 3).
    """
    frames, pictures = sequence.frames(), []
    for index in np.linspace(0, len(sequence) - 1, columns).round().astype(int):
        frame = cv2.convertScaleAbs(frames[index], alpha=gain)
        scale = width / frame.shape[1]
        frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        truth = sequence.boxes_xywh[index] * scale if sequence.visible[index] else None
        pictures.append(annotate(frame, boxes_xywh[index] * scale, truth))
    return stacked(pictures, axis=1)


def stacked(pictures, axis):
    """The pictures in a row (axis 1) or a column (axis 0), with a white gap between them."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for one in pictures for part in (gap, one)][1:], axis=axis)


def _parse(argv):
    arguments = cli.parser(__doc__.splitlines()[0], "python docs/recipes/picture.py tracked.png --sequences ball_park")
    arguments.add_argument("picture", help="the PNG to write")
    arguments.add_argument("--sequences", nargs="+", required=True, help="names of sequences, one for each row")
    arguments.add_argument("--tracker", default="lunar:tiny", metavar="NAME:CONFIG", help="whose results are drawn")
    arguments.add_argument("--dataset", default="lunar_demo", help="the benchmark or folder of the sequences")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data)")
    arguments.add_argument("--results", help="the results, or the --save_dir of test.py (default: ./output)")
    arguments.add_argument("--columns", type=int, default=4, help="frames of each sequence")
    arguments.add_argument("--width", type=int, default=256, help="of each frame, px")
    arguments.add_argument("--gain", type=float, default=1.0, help="brighten: multiply every brightness by this")
    options = arguments.parse_args(argv)
    cli.at_least(options, columns=1, width=32)
    return options


if __name__ == "__main__":
    sys.exit(main())
