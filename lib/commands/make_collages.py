"""Write clips put together from photographs (lib/data/render/collage.py) as an LMDB, a dataset to train from.

Things cut out of the first frames of the given datasets move over others of these frames. Interrupted, the same command
goes on where it was.
"""

import logging
import sys
from pathlib import Path

from .. import cli
from ..errors import UserError

EXAMPLES = """
python tracking/make_collages.py coco17 output/crops/collages.lmdb
python tracking/make_collages.py /my/stills,/my/videos /fast/disk/collages.lmdb --clips 5000 --seed 1
python tracking/make_collages.py /my/stills collages.lmdb --segmenter u2netp.onnx --lively --size 480 360
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("dataset", help="photographs: name of a benchmark, a folder, or a comma list of them")
    arguments.add_argument("out", help="the LMDB to write")
    arguments.add_argument("--clips", type=int, default=2000, help="how many, of 32 frames each")
    arguments.add_argument("--seed", type=int, default=0, help="of the clips")
    arguments.add_argument(
        "--segmenter",
        metavar="FILE.onnx",
        help="a salient-object network (U2-Net) that finds the outlines of labelled objects; its answers are kept in"
        " the folder `masks` beside OUT (default: GrabCut finds the outlines)",
    )
    arguments.add_argument(
        "--lively", action="store_true", help="also large turns, narrowing, strong growth, and leaving the view"
    )
    arguments.add_argument(
        "--size", type=int, nargs=2, default=[320, 240], metavar=("WIDTH", "HEIGHT"), help="of the frames, px"
    )
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    cli.at_least(options, clips=1, seed=0)
    if not 64 <= min(options.size) <= max(options.size) <= 4096:
        raise UserError("--size {} {}: expected 64 to 4096 px on both sides".format(*options.size))
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    from ..data import benchmarks
    from ..data.benchmarks.pack import pack_frames
    from ..data.render.collage import PhotoSource, Style, collages
    from ..data.render.segmenter import Segmenter

    out, style = Path(options.out), Style(tuple(options.size), options.lively)
    segmenter = Segmenter(options.segmenter, out.absolute().parent / "masks") if options.segmenter else None
    datasets = benchmarks.load_all(options.dataset, options.data_root)
    photographs = PhotoSource([one for sequences, _ in datasets.values() for one in sequences], segmenter)
    name = f"collages of {options.dataset}, seed {options.seed}{style}"
    if segmenter:
        name += f", segmenter {Path(options.segmenter).name}"
    line = cli.ProgressLine("scenes")
    show = lambda done, total: line.show(done, total, "boxes:")  # noqa: E731
    clips = collages(photographs, name, options.clips, options.seed, style, show)
    line.clear()
    line = cli.ProgressLine("frames")
    count = pack_frames(clips, out, lambda done, total: line.show(done, total, "collages:"))
    line.clear()
    print(f"{out}: {count} frames, {(out / 'data.mdb').stat().st_size / 2**20:.0f} MiB")
    return 0
