"""What every command line in tracking/ shares: exit codes, the one-line error, threads."""

import argparse
import datetime
import errno
import functools
import io
import os
import re
import signal
import sys
import time
import traceback

from .config.paths import CHECKOUT
from .errors import MachineError, UserError

# What may befall any file, wherever it is opened: rights, a full or broken disk, too many open files.
NOT_OURS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)
PACKAGES = {"cv2": "opencv-python", "yaml": "pyyaml", "PIL": "pillow"}  # where a package is not called like its module

ASSOCIATE = "TEST.ASSOCIATE=true"  # what the flag --associate sets


def command(main):
    """Decorate `main(argv=None) -> int`: a UserError becomes one line on stderr and its exit code.

    Exit codes: 0 done, 1 a fault of ours (traceback kept), 2 bad input or usage, 3 the machine, 4 some sequences
    failed, 130 interrupted, 143 terminated. What befalls a file or a library anywhere counts as the machine's. With
    --debug on the command line the traceback behind the one line is shown too.
    """

    @functools.wraps(main)
    def wrapped(argv=None):
        previous = signal.getsignal(signal.SIGTERM)
        try:
            signal.signal(signal.SIGTERM, _terminated)
        except ValueError:  # only the main thread may set handlers; elsewhere the caller's stay
            previous = None
        if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal's encoding lacks must not end the work
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            return main(argv) or 0
        except BrokenPipeError:  # the reader of our output (head, less) has left
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except (UserError, ImportError, OSError) as error:
            known = _known(error)
            if known is None:
                raise
            if any(word.startswith("--debug") for word in (sys.argv[1:] if argv is None else argv)):
                traceback.print_exc()
            sys.stdout.flush()
            print(f"lunar: error: {known}", file=sys.stderr)
            return known.exit_code
        except KeyboardInterrupt:
            print("lunar: interrupted; what was finished is saved", file=sys.stderr)
            return 130
        except Terminated:
            print("lunar: terminated; what was finished is saved", file=sys.stderr)
            return 143
        finally:
            if previous is not None:
                signal.signal(signal.SIGTERM, previous)

    return wrapped


class Terminated(BaseException):
    """The process was asked to end (SIGTERM)."""


def _terminated(_signal, _frame):
    raise Terminated


def _known(error):
    """The UserError that an exception stands for, or None where it is a fault of ours."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, OSError):
        place = None if error.filename is None else str(error.filename)
        if error.errno == errno.ENAMETOOLONG:
            return UserError(error.strerror, place)
        return MachineError(error.strerror, place) if error.errno in NOT_OURS else None
    ours = __package__.partition(".")[0]
    module = (error.name or ours).partition(".")[0]
    if module == ours:
        return None
    if "libGL" in error.msg:  # what opencv-python needs of the system
        return MachineError(f"{error}; install it with: apt-get install libgl1 (or pip install opencv-python-headless)")
    package = PACKAGES.get(module, module)
    return MachineError(f"{error}; install it with: pip install {package} (or everything with: bash install.sh)")


# What `lunar NAME` runs: the command of tracking/ that is known by that name, and what the list of commands says of it.
SUBCOMMANDS = {
    "track": ("track", "track a target in a video or folder of images"),
    "video_demo": ("video_demo", "the same with the words of STARK's and OSTrack's video_demo.py"),
    "test": ("test", "run a tracker over benchmarks"),
    "analyse": ("analysis_results", "score results: tables, plots, report"),
    "train": ("train", "train a tracker or an enhancer"),
    "enhance": ("enhance", "brighten dark images and videos"),
    "export": ("export_onnx", "write a network as ONNX"),
    "profile": ("profile_model", "count parameters and operations, measure time"),
    "check": ("check_data", "check datasets"),
    "census": ("census", "describe a dataset: sizes, motion, brightness"),
    "trust": ("trust", "how far scores say that the target is lost"),
    "convert": ("convert", "write boxes in the form of CVAT, MOT, COCO, YOLO, VOC or LabelMe"),
    "ablate": ("ablate", "compare settings of one tracker"),
    "ablate_enhancer": ("ablate_enhancer", "compare enhancers"),
    "compare": ("vis_results", "draw the boxes of several trackers side by side"),
    "make_lmdb": ("make_lmdb", "pack a benchmark into an LMDB"),
    "make_crops": ("make_crops", "cache the crops around targets for training"),
    "mine_candidates": ("mine_candidates", "find frames in which several objects look like the target"),
    "make_collages": ("make_collages", "compose training clips from photographs"),
    "merge_weights": ("merge_weights", "combine checkpoints"),
    "vot": ("vot_results", "results in the form of the VOT toolkit"),
    "vot_trax": ("vot_trax", "a tracker for the VOT toolkit"),
    "local": ("create_default_local_file", "write local.yaml, which names the folders"),
    "config": ("show_config", "show configuration keys and values"),
}


def invocation(module):
    """How a user starts the command of lib/commands/<module>.py: from a checkout, or from the installed package."""
    if CHECKOUT:
        return f"python tracking/{module}.py"
    return next(f"lunar {name}" for name, (known, _) in SUBCOMMANDS.items() if known == module)


def parser(doc, examples):
    """An argument parser whose --help shows the defaults and ends with `examples` (str, one command a line)."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    if not CHECKOUT:
        examples = re.sub(r"python tracking/(\w+)\.py", lambda found: invocation(found[1]), examples)
    lines = "\n".join(f"  {line.strip()}" for line in examples.strip().splitlines())
    return argparse.ArgumentParser(
        description=doc, epilog=f"examples:\n{lines}", formatter_class=Formatter, allow_abbrev=False
    )


def add_config_flags(arguments):
    """The flags of every command that reads an experiment's configuration and writes under --save_dir."""
    add_set_flag(arguments)
    arguments.add_argument("--save_dir", help="where results and checkpoints are (default: ./output, see local.yaml)")
    arguments.add_argument("--debug", nargs="?", type=int, const=1, default=0, help="1: tracebacks and pictures")


def add_set_flag(arguments):
    """The flag of every command that reads an experiment's configuration."""
    arguments.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="A.B=V", help="change one configuration key"
    )


def at_least(options, **limits):
    """Raise UserError where one of the flags named is given and below its limit."""
    for name, least in limits.items():
        value = getattr(options, name)
        if value is not None and value < least:
            raise UserError(f"--{name} {value}: expected at least {least}")


def add_backend_flag(arguments):
    """The flag of every command that runs a network frame by frame; call it after add_config_flags."""
    arguments.add_argument(
        "--backend",
        dest="overrides",
        action="append",
        type="TEST.BACKEND={}".format,
        metavar="ENGINE",
        help="what runs the network: torch (default), onnx or openvino; the last two on the CPU, and faster there",
    )


def add_associate_flag(arguments):
    """The flag of every command that tracks; call it after add_config_flags."""
    arguments.add_argument(
        "--associate",
        dest="overrides",
        action="append_const",
        const=ASSOCIATE,
        help="follow similar objects beside the target and keep its identity, as KeepTrack does",
    )


def add_enhancer_flag(arguments):
    """The flag of every command that tracks."""
    arguments.add_argument(
        "--enhancer",
        metavar="NAME_OR_FILE",
        help="enhance what is seen by night: average, gamma, blur, blur_gamma, clahe, dcp, a .safetensors file, or "
        "a .pt file of SCI",
    )


def set_threads(processes=1):
    """Give every process its share of the cores, unless OMP_NUM_THREADS is set. Call before importing torch.

    More threads than free cores make torch many times slower, not faster; a child process inherits the setting.
    """
    os.environ.setdefault("OMP_NUM_THREADS", str(share_of_cores(processes)))


def share_of_cores(processes=1):
    """The cores for each of so many processes, at least 1."""
    return max(1, len(os.sched_getaffinity(0)) // max(1, processes)) if hasattr(os, "sched_getaffinity") else 1


def choose_devices(device="auto", count=None):
    """The devices of torch's to work on: [`device`], or for `auto` the first `count` GPUs (all), or the CPU.

    Raises MachineError for a device that this machine has not, UserError for a name that torch does not know.
    """
    import torch

    gpus = torch.cuda.device_count()
    if device == "auto" or (device == "cuda" and gpus):
        return [f"cuda:{number}" for number in range(min(gpus, count or gpus))] or ["cpu"]
    try:
        torch.zeros(1, device=device)
    except Exception as error:  # noqa: BLE001 -- torch raises five kinds for a device that is not there
        if device.split(":")[0] in ("cuda", "mps", "xpu"):
            raise MachineError(f"--device {device}: there is no such device here ({gpus} GPUs are visible)") from error
        raise UserError(f"--device {device}: expected auto, cpu, cuda, cuda:<number> or mps") from error
    return [device]


class ProgressLine:
    """One line on a terminal's stderr that is written over: what is done, at what rate, and the time left."""

    def __init__(self, unit):
        self.unit, self.began, self.shown, self.width = unit, time.monotonic(), 0.0, 0
        self.visible = sys.stderr.isatty()

    def show(self, done, total, text=""):
        now = time.monotonic()
        if not self.visible or (now - self.shown < 0.2 and done < total):
            return
        self.shown = now
        rate = done / max(now - self.began, 1e-9)
        left = datetime.timedelta(seconds=round((total - done) / rate)) if rate else "?"
        line = f"{text} {done}/{total} {self.unit}, {rate:.1f} {self.unit}/s, {left} left"
        print(f"\r{line.ljust(self.width)}", end="", file=sys.stderr, flush=True)
        self.width = len(line)

    def clear(self):
        if self.visible and self.width:
            print(f"\r{' ' * self.width}\r", end="", file=sys.stderr, flush=True)
