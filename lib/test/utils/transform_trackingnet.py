#!/usr/bin/env python3
"""Pack results of TrackingNet's test set as its server (eval.tracking-net.org) takes them. Nothing is deleted.

The zip holds <seq>.txt for each of the 511 sequences, rows `x,y,w,h`. Where the tracker said that the target is absent
the row is four zeros.
"""

import sys
from pathlib import Path

if not __package__:  # run as a file, as users of STARK do
    sys.path[0], __package__ = str(Path(__file__).resolve().parents[3]), "lib.test.utils"

from ... import cli  # noqa: E402
from . import packing  # noqa: E402

EXAMPLES = """
python lib/test/utils/transform_trackingnet.py --tracker_name lunar --cfg_name baseline
python -m lib.test.utils.transform_trackingnet --tracker_name lunar --cfg_name baseline --data_root /my/data
"""
SERVER = packing.Server("trackingnet", ("trackingnet", "trackingnet_test"), 511)


@cli.command
def main(argv=None):
    options = packing.arguments(__doc__, EXAMPLES).parse_args(argv)
    run, tracks = packing.collect(options, SERVER)
    path = packing.out_path(options, run, "trackingnet_submit.zip")
    packing.write_zip(path, {f"{track.name}.txt": packing.rows(track.boxes_xywh, "%.3f") for track in tracks})
    print(f"wrote {path}: {len(tracks)} sequences of {run}; submit it at eval.tracking-net.org")
    return 0


if __name__ == "__main__":
    sys.exit(main())
