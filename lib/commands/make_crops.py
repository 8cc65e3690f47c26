"""Write the crops around a dataset's targets as a dataset of its own, to train from without decoding whole frames.

Each dataset becomes OUT/<dataset>.lmdb; DATA.CACHE=OUT makes train.py read it. A small target keeps the image's own
pixels, a large one is shrunk with its surroundings. Interrupted, the same command goes on where it was.
"""

import logging
import sys

from .. import cli
from ..errors import UserError

EXAMPLES = """
python tracking/make_crops.py /my/videos,/my/stills output/crops --every 10
python tracking/make_crops.py lasot_train,coco17 /fast/disk/crops --every 5 --size 384
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("dataset", help="name of a benchmark, a folder, or a comma list of them")
    arguments.add_argument("out", help="folder for the LMDBs")
    arguments.add_argument("--every", type=int, default=10, metavar="N", help="only every N-th visible frame")
    arguments.add_argument("--size", type=int, default=320, help="side of the stored crop, px")
    arguments.add_argument("--context", type=float, default=10.0, help="side of the crop / sqrt(w h) of the target")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    for name, low, high in (("every", 1, 10**6), ("size", 16, 4096), ("context", 1, 100)):
        if not low <= getattr(options, name) <= high:
            raise UserError(f"--{name} {getattr(options, name)}: expected {low} to {high}")
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    from ..data import benchmarks
    from ..data.benchmarks.pack import pack_crops

    for dataset, (sequences, _) in benchmarks.load_all(options.dataset, options.data_root).items():
        out = benchmarks.crops_path(dataset, options.out)
        line = cli.ProgressLine("frames")
        count = pack_crops(
            sequences,
            out,
            lambda done, total, line=line, dataset=dataset: line.show(done, total, f"{dataset}:"),
            options.every,
            options.size,
            options.context,
        )
        line.clear()
        print(f"{out}: {count} crops, {(out / 'data.mdb').stat().st_size / 2**20:.0f} MiB")
    return 0
