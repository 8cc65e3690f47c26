#!/usr/bin/env python3
"""Pack results of NT-VOT211 as its server (eval.ai, challenge 2375) takes them. Nothing is deleted.

One JSON file as the converter of the benchmark's repository writes it: {"<seq>": {"pred": [[x, y, w, h], ...]}, ...,
"time": [[-211000]]}. That converter cuts off fractions of a pixel; here boxes are rounded to whole pixels, which costs
a small target less. Where the tracker said that the target is absent the row is four zeros.
"""

import json
import sys
from pathlib import Path

if not __package__:  # run as a file, as users of STARK do
    sys.path[0], __package__ = str(Path(__file__).resolve().parents[3]), "lib.test.utils"

from ... import cli  # noqa: E402
from ...files import write_text  # noqa: E402
from . import packing  # noqa: E402

EXAMPLES = """
python lib/test/utils/transform_nt_vot211.py --tracker_name lunar --cfg_name baseline
python lib/test/utils/transform_nt_vot211.py --tracker_name lunar --cfg_name baseline --decimals 3
"""
SERVER = packing.Server("nt_vot211", ("nt_vot211", "nt-vot211", "NT-VOT211"), 211)
NO_TIMES = [[-211000]]  # the converter's, through whose filter no file of times passes


@cli.command
def main(argv=None):
    arguments = packing.arguments(__doc__, EXAMPLES)
    arguments.add_argument(
        "--decimals",
        type=int,
        default=0,
        metavar="N",
        help="keep fractions of a px; whether the server reads them is not documented",
    )
    options = arguments.parse_args(argv)
    cli.at_least(options, decimals=0)
    run, tracks = packing.collect(options, SERVER)
    packed = {track.name: {"pred": _numbers(track.boxes_xywh, options.decimals)} for track in tracks}
    path = packing.out_path(options, run, "nt_vot211_submit.json")
    write_text(path, json.dumps(packed | {"time": NO_TIMES}) + "\n")
    print(f"wrote {path}: {len(tracks)} sequences of {run}; submit it at eval.ai, challenge 2375")
    return 0


def _numbers(boxes_xywh, decimals):
    rounded = boxes_xywh.round(decimals)
    return (rounded if decimals else rounded.astype(int)).tolist()


if __name__ == "__main__":
    sys.exit(main())
