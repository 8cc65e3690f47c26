"""Find the frames of training videos in which several objects look like the target, and write their search crops.

The tracker runs through every video. Each dataset becomes OUT/<dataset>.lmdb; DATA.CACHE=OUT makes train.py read it.
Interrupted, the same command goes on where it was.
"""

import logging
import sys

from .. import cli, config, registry

EXAMPLES = """
python tracking/mine_candidates.py keep_track default lasot_train output/candidates
python tracking/mine_candidates.py keep_track lite lunar_rendered output/candidates --checkpoint DiMP_final.safetensors
python tracking/train.py --script keep_track --config default --set DATA.CACHE=output/candidates
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help="a family that is trained on such frames")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    arguments.add_argument("dataset", help="name of a benchmark, a folder, or a comma list of them")
    arguments.add_argument("out", help="folder for the LMDBs")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument(
        "--checkpoint", help="weights of the network that finds candidates (default: as in tracking)"
    )
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    cli.add_set_flag(arguments)
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    cli.set_threads()
    from ..data import benchmarks
    from ..data.benchmarks.pack import pack_candidates

    datasets = benchmarks.load_all(options.dataset, options.data_root)
    mine = registry.miner(options.tracker_name, settings, options.checkpoint, cli.choose_devices(options.device)[0])
    for dataset, (sequences, _) in datasets.items():
        out = benchmarks.crops_path(dataset, options.out)
        line = cli.ProgressLine("frames")
        count = pack_candidates(
            sequences,
            out,
            lambda done, total, line=line, dataset=dataset: line.show(done, total, f"{dataset}:"),
            mine,
            mine.made_from,
        )
        line.clear()
        print(f"{out}: {count} crops, {(out / 'data.mdb').stat().st_size / 2**20:.0f} MiB")
    return 0
