"""Train a tracker or an enhancer on the datasets of its configuration. An interrupted training goes on exactly."""

import logging
import os
import sys
from functools import partial
from pathlib import Path

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import UserError
from ..test.evaluation import closed_loop
from ..train import inputs
from ..train.launch import count_processes, launch

EXAMPLES = """
python tracking/train.py --script lunar --config baseline --mode multiple
python tracking/train.py --script lunar --config tiny --budget smoke --dry_run
python tracking/train.py --script lunar --config tiny --mode multiple --nproc_per_node 4 --set TRAIN.BATCH_SIZE=16
python tracking/train.py --script lunar --config tiny --mode multi_node --rank 0 --world-size 2 --ip 10.0.0.1
python tracking/train.py --script enhancer --config baseline --set DATA.TRAIN.DATASETS_NAME=[/my/day/photographs]
"""


@cli.command
def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    child = "LOCAL_RANK" in os.environ  # torchrun started this process as one of several
    level = logging.WARNING if child and os.environ.get("RANK", "0") != "0" else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stdout, force=True)
    # What is cheap to check comes first: a typing error is answered at once, before torch is imported.
    settings = config.load(options.script, options.config, options.overrides, options.budget)
    registry.trained(options.script)
    _check(options)
    paths = find_paths(options.data_root, options.save_dir)
    where = {"data_root": options.data_root, "use_lmdb": bool(options.use_lmdb)}
    names, key = settings.DATA.TRAIN.DATASETS_NAME, "DATA.TRAIN.DATASETS_NAME"
    train = inputs.load_datasets(names, options.script, key, needed=True, cache=settings.DATA.CACHE, **where)
    names, key = settings.DATA.VAL.DATASETS_NAME, "DATA.VAL.DATASETS_NAME"
    val = inputs.load_datasets(names, options.script, key, needed=False, **where)
    pretrained = inputs.pretrained(settings.MODEL.get("PRETRAIN_FILE"), paths)
    previous = inputs.previous_stage(options.script_prv, options.config_prv, paths, settings.TRAIN.get("START", ""))

    if not child:
        processes = count_processes(options)
        cli.set_threads(processes)
        if processes > 1 or options.mode == "multi_node":
            return launch(options, processes, sys.argv[1:] if argv is None else argv)
    from ..train.run_training import Job, run

    job = Job(
        script=options.script,
        name=options.config,
        config=settings,
        train=train,
        val=val,
        output=paths.output,
        seed=options.seed,
        resume=options.resume,
        device=options.device,
        dry_run=options.dry_run,
        pretrained=pretrained,
        previous=previous,
    )
    sequences = [sequence for group in val.values() for sequence in group]
    tracked = sequences and settings.TRAIN.get("VAL_FRAMES")
    track = partial(closed_loop.validate, options.script, sequences=sequences)
    return run(job, track if tracked else None)


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("--script", default=registry.DEFAULT, help="which tracker, or enhancer")
    arguments.add_argument("--config", default="baseline", help="experiments/<script>/<config>.yaml")
    arguments.add_argument("--budget", metavar="NAME", help="smoke, small or full: the BUDGETS of the configuration")
    arguments.add_argument(
        "--mode", default="multiple", choices=("single", "multiple", "multi_node"), help="processes and machines"
    )
    arguments.add_argument("--nproc_per_node", type=int, help="processes of this machine (default: its GPUs, or 1)")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    arguments.add_argument("--seed", type=int, default=42, help="seed of all random numbers")
    arguments.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|FILE",
        help="go on from the newest good checkpoint of this experiment; start anew; go on from this one",
    )
    arguments.add_argument("--dry_run", action="store_true", help="one batch, what it costs; writes nothing")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--use_lmdb", type=int, default=0, choices=(0, 1), help="1: benchmarks are LMDBs")
    arguments.add_argument("--script_prv", help="start from the last weights of this script (default: TRAIN.START) ...")
    arguments.add_argument("--config_prv", default="baseline", help="... and this configuration")
    arguments.add_argument("--rank", type=int, help="multi_node: number of this machine, from 0")
    arguments.add_argument("--world-size", "--world_size", type=int, help="multi_node: how many machines")
    arguments.add_argument("--ip", default="127.0.0.1", help="multi_node: address of machine 0")
    arguments.add_argument("--port", "--master_port", type=int, default=20000, help="multi_node: a free port there")
    cli.add_config_flags(arguments)
    return arguments.parse_args(argv)


def _check(options):
    cli.at_least(options, nproc_per_node=1)
    if not 0 <= options.seed < 2**32:
        raise UserError(f"--seed {options.seed}: expected 0 to 2^32 - 1")
    if options.resume not in ("auto", "never") and not Path(options.resume).is_file():
        raise UserError("--resume: expected auto, never or a checkpoint; there is no such file", options.resume)
    if options.mode == "multi_node":
        count, rank = options.world_size, options.rank
        if count is None or rank is None or not 0 <= rank < count:
            raise UserError(f"--mode multi_node: needs --world-size N and --rank 0 to N-1, found {count} and {rank}")
