"""Several processes of one training: how many there are on this machine, and how they are started."""

import logging
from argparse import Namespace
from collections.abc import Sequence

from ..config.paths import CHECKOUT, SHIPPED
from ..errors import MachineError, UserError

log = logging.getLogger(__name__)

PACKAGE = __package__.partition(".")[0]


def count_processes(options: Namespace) -> int:
    """How many processes to start on this machine. options: the flags of train.py."""
    if options.mode == "single":
        if (options.nproc_per_node or 1) > 1:
            raise UserError(f"--mode single --nproc_per_node {options.nproc_per_node}: --mode multiple takes several")
        return 1
    if options.device == "cpu":
        return options.nproc_per_node or 1
    import torch

    gpus = torch.cuda.device_count()
    wanted, most = options.nproc_per_node, max(gpus, 1)
    if wanted is not None and wanted > most:
        found = f"--nproc_per_node {wanted}: {gpus} GPUs are visible"
        if options.mode == "multi_node":  # the other machines count on it
            raise MachineError(f"{found}; or use --device cpu")
        started = "process" if most == 1 else "processes"
        log.info("%s: starting %d %s instead (--device cpu starts as many as asked for)", found, most, started)
        return most
    return wanted or (1 if ":" in options.device else most)


def launch(options: Namespace, processes: int, words: Sequence[str]) -> int:
    """Run train.py as several processes through torchrun.

    Args:
        options: its flags.
        processes: how many on this machine.
        words: its command line, for each of them.

    Returns:
        The exit code of a process that failed, or 0.
    """
    from torch.distributed import run as torchrun
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    where = ["--standalone"]
    if options.mode == "multi_node":
        endpoint = f"{options.ip}:{options.port}"
        where = ["--nnodes", options.world_size, "--node_rank", options.rank, "--rdzv_backend", "c10d"]
        where += ["--rdzv_endpoint", endpoint, "--rdzv_id", f"{options.script}-{options.config}-{options.port}"]
    # A checkout is not on the import path of another process; the installed package is.
    here = [SHIPPED / "tracking" / "train.py"] if CHECKOUT else ["--module", PACKAGE, "train"]
    command = [*where, "--nproc_per_node", processes, *here, *words]
    try:
        torchrun.run(torchrun.parse_args([str(word) for word in command]))
    except ChildFailedError as error:
        # The code of a process that ended by itself says more than that of one which was killed when it lost the other.
        codes = [failure.exitcode for failure in error.failures.values()]
        return next((code for code in codes if code > 0), 128 - codes[0])
    except SignalException as error:
        return 128 + error.sigval
    return 0
