#!/usr/bin/env python3
"""Pack results of GOT-10k's test set as its server (got-10k.aitestunion.com) takes them. Nothing is deleted.

The zip holds <seq>/<seq>_001.txt, rows `x,y,w,h`, and <seq>/<seq>_time.txt, seconds, as the got10k toolkit writes them.
Where the tracker said that the target is absent the row is four zeros.
"""

import sys
from pathlib import Path

if not __package__:  # run as a file, as users of STARK do
    sys.path[0], __package__ = str(Path(__file__).resolve().parents[3]), "lib.test.utils"

from ... import cli  # noqa: E402
from . import packing  # noqa: E402

EXAMPLES = """
python lib/test/utils/transform_got10k.py --tracker_name lunar --cfg_name baseline
python -m lib.test.utils.transform_got10k --tracker_name lunar --cfg_name baseline_001 --out submit.zip
"""
NAMES = tuple(f"GOT-10k_Test_{number:06d}" for number in range(1, 181))
SERVER = packing.Server("got10k_test", ("got10k_test", "got10k"), len(NAMES), NAMES, times=True)


@cli.command
def main(argv=None):
    options = packing.arguments(__doc__, EXAMPLES).parse_args(argv)
    run, tracks = packing.collect(options, SERVER)
    members = {}
    for track in tracks:
        members[f"{track.name}/{track.name}_001.txt"] = packing.rows(track.boxes_xywh, "%.3f")
        if track.times is not None:
            members[f"{track.name}/{track.name}_time.txt"] = packing.rows(track.times, "%.8f")
    path = packing.out_path(options, run, "got10k_submit.zip")
    packing.write_zip(path, members)
    print(f"wrote {path}: {len(tracks)} sequences of {run}; submit it at got-10k.aitestunion.com")
    return 0


if __name__ == "__main__":
    sys.exit(main())
