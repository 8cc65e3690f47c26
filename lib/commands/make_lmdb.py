"""Write a dataset (images, video, still images, XML or JSON) as one LMDB, which is again a dataset.

`--use_lmdb 1` of train.py looks for <data root>/<name>.lmdb, which is the default of OUT. Interrupted, the same command
goes on where it was.
"""

import logging
import sys
from pathlib import Path

from .. import cli

EXAMPLES = """
python tracking/make_lmdb.py got10k_train
python tracking/make_lmdb.py /my/videos /fast/disk/videos.lmdb
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("dataset", help="name of a benchmark, or a folder")
    arguments.add_argument("out", nargs="?", help="the LMDB to write (default: <data root>/<name>.lmdb)")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    from ..data import benchmarks
    from ..data.benchmarks.pack import pack_frames

    sequences = benchmarks.load(options.dataset, options.data_root)
    out = Path(options.out or benchmarks.lmdb_path(options.dataset, options.data_root))
    line = cli.ProgressLine("frames")
    count = pack_frames(sequences, out, lambda done, total: line.show(done, total, f"{sequences[0].dataset}:"))
    line.clear()
    print(f"{out}: {count} frames, {(out / 'data.mdb').stat().st_size / 2**20:.0f} MiB")
    return 0
