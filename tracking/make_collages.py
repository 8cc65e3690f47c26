"""Write clips put together from photographs (lib/data/render/collage.py) as an LMDB, a dataset to train from.

Things cut out of the first frames of the given datasets move over others of these frames. Interrupted, the same command
goes on where it was.
"""

import logging
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib import cli  # noqa: E402

EXAMPLES = """
python tracking/make_collages.py coco17 output/crops/collages.lmdb
python tracking/make_collages.py /my/stills,/my/videos /fast/disk/collages.lmdb --clips 5000 --seed 1
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("dataset", help="photographs: name of a benchmark, a folder, or a comma list of them")
    arguments.add_argument("out", help="the LMDB to write")
    arguments.add_argument("--clips", type=int, default=2000, help="how many, of 32 frames each")
    arguments.add_argument("--seed", type=int, default=0, help="of the clips")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    cli.at_least(options, clips=1, seed=0)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    from lib.data import benchmarks
    from lib.data.benchmarks.pack import pack_frames
    from lib.data.render.collage import PhotoSource, collages

    datasets = benchmarks.load_all(options.dataset, options.data_root)
    photographs = PhotoSource([one for sequences, _ in datasets.values() for one in sequences])
    clips = collages(photographs, f"collages of {options.dataset}, seed {options.seed}", options.clips, options.seed)
    out, line = Path(options.out), cli.ProgressLine("frames")
    count = pack_frames(clips, out, lambda done, total: line.show(done, total, "collages:"))
    line.clear()
    print(f"{out}: {count} frames, {(out / 'data.mdb').stat().st_size / 2**20:.0f} MiB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
