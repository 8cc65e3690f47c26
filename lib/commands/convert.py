"""Write the boxes of a dataset, or a tracker's results on it, in the form of an annotation program."""

from pathlib import Path

from .. import cli
from ..errors import UserError

EXAMPLES = """
python tracking/convert.py /my/videos out --to cvat --tolerance 0.5
python tracking/convert.py lunar_demo out --to mot --results output/test/tracking_results/lunar/tiny
python tracking/convert.py /my/videos#bird out --to yolo
"""


@cli.command
def main(argv=None):
    from ..data.exchange import FORMATS

    arguments = cli.parser(__doc__, EXAMPLES)
    add = arguments.add_argument
    add("dataset", help="name or folder; of any form that test.py reads, those below among them")
    add("output", help="folder; each video gets one in it")
    written = {name: one for name, one in FORMATS.items() if one.write}
    add("--to", required=True, choices=written, help="; ".join(f"{one.name}: {one.what}" for one in written.values()))
    add("--results", metavar="FOLDER", help="of one tracker and configuration: its boxes in the place of the true ones")
    add("--tolerance", type=float, default=0.0, metavar="PX", help="farthest that a thinned keyframe may move a corner")
    add("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    add("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    options = arguments.parse_args(argv)
    if not 0 <= options.tolerance < 1000:
        raise UserError(f"--tolerance {options.tolerance:g}: expected a number of px from 0 on")
    from ..data import benchmarks
    from ..data.exchange.tracks import Clip
    from ..files import write_bytes

    count = 0
    for sequence in benchmarks.load(options.dataset, options.data_root):
        boxes = _results(options.results, sequence) if options.results else None
        clip = Clip.of(sequence, boxes)
        for name, data in written[options.to].write(clip, options.tolerance).items():
            write_bytes(Path(options.output) / sequence.name / name, data)
        count += 1
    print(f"wrote {count} videos to {options.output} as {written[options.to].what}")
    return 0


def _results(folder, sequence):
    """The boxes of a tracker in a sequence, as this program counts pixels. Raises UserError where there are none."""
    from ..test.evaluation import imported, results

    found = imported.Imported(Path(folder), Path(folder).name).find(sequence.dataset, sequence.name)
    if found is None:
        raise UserError(f"no results of {sequence.name}, dataset {sequence.dataset}", folder)
    return results.boxes_of(found, sequence)
