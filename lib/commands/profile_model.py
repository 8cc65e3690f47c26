"""Parameters, multiply-accumulates, and the whole budget of a frame, from JPEG file to box.

The frame is a dark one, so that an enhancer works, and only the part of it that the tracker looks at is decoded where
that is all it needs. Weights are random. What an engine, or what is compiled, runs as one is one part. The last column
is the share of what torch reaches here on square matrices, in the same arithmetic.
"""

import os
import tempfile
import time
from pathlib import Path
from statistics import median

from .. import cli, config, registry
from ..contracts import ClipTracker, Staged
from ..errors import UserError

EXAMPLES = """
python tracking/profile_model.py --script lunar --config baseline
python tracking/profile_model.py --config tiny --set TEST.PRECISION=bf16 --size 1920 1080
python tracking/profile_model.py --config tiny --set MODEL.ENHANCER.ENABLE=true --backend onnx
python tracking/profile_model.py --config tiny --trace trace.json
"""
PARTS = ("decode", "crop", "enhance", "network", "head", "query", "box", "rest")
DEAREST, TRACED = 15, 5  # operations listed by --trace, and frames that they are the mean of


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("--script", default=registry.DEFAULT, help="a script with a network")
    arguments.add_argument("--config", default="baseline", help="configuration: experiments/<script>/<config>.yaml")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    arguments.add_argument(
        "--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"), help="of the frame, px"
    )
    arguments.add_argument("--target", type=float, default=12.0, help="side of the target, px")
    arguments.add_argument("--loops", type=int, default=50, help="timed frames; the median is printed")
    arguments.add_argument("--warmup", type=int, default=5, help="frames before those")
    arguments.add_argument(
        "--trace",
        metavar="FILE",
        help=f"also list the {DEAREST} dearest operations, and write all of them as a Chrome trace: a flame graph "
        "in ui.perfetto.dev or chrome://tracing",
    )
    cli.add_config_flags(arguments)
    cli.add_backend_flag(arguments)
    options = arguments.parse_args(argv)
    if min(*options.size, options.loops) < 1 or options.target <= 0 or options.warmup < 0:
        raise UserError("--size, --loops and --target must be above 0")
    settings = config.load(options.script, options.config, options.overrides)
    family = registry.family(options.script)
    if not (family.network and family.tracker and issubclass(registry.tracker(options.script), Staged)):
        raise UserError(f"{options.script} has no network to profile")
    if issubclass(registry.tracker(options.script), ClipTracker):
        raise UserError(
            f"{options.script} takes windows of a video, which are not profiled here; test.py prints its FPS"
        )
    cli.set_threads()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else torch's profiler talks, also of GPUs that are not there
    device = cli.choose_devices(options.device)[0]
    with tempfile.TemporaryDirectory() as folder:
        frames = _one_frame(Path(folder), options.size)
        _profile(registry.tracker(options.script)(settings, None, device), settings, frames, options)
    return 0


def _one_frame(folder, size):
    """A source of one dark frame with some structure and grain."""
    import cv2
    import numpy as np

    from ..data.frames import ImageFrames
    from ..data.image import encode_jpeg
    from ..data.storage import Folder

    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 60, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    grain = rng.integers(0, 6, (size[1], size[0], 3), np.uint8)
    (folder / "1.jpg").write_bytes(encode_jpeg(cv2.resize(coarse, size) + grain))
    return ImageFrames(Folder(folder), ["1.jpg"])


def _profile(tracker, settings, frames, options):
    import numpy as np
    import torch

    from ..data.frames import PartialFrame, partial_frame
    from ..export.profile import count, device_module, matrix_rate, spent

    device, precision = tracker.device, settings.TEST.PRECISION
    name = f"{device}, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        name = torch.cuda.get_device_name(device)
    print(
        f"{options.script} {options.config} with random weights on {name}, {precision}, {settings.TEST.BACKEND}",
        end=" ",
    )
    print(f"(torch {torch.__version__})")

    (width, height), side = options.size, options.target
    box = np.array([(width - side) / 2, (height - side) / 2, side, side])
    state = tracker.start(frames[0], box)
    first = frames[0]

    def clock():
        device_module(device).synchronize()
        return time.perf_counter()

    def frame():
        """Decode and track one frame; returns the seconds of decoding while the tracker cuts its crop."""
        with tracker.span("decode"):
            image = partial_frame(frames, 0, checked=True) if tracker.partial else frames[0]
        tracker.track_frames([state], [image])
        return image.seconds if isinstance(image, PartialFrame) else 0.0

    def whole():
        began = clock()
        frame()
        return clock() - began

    def by_part():
        decoding = []
        found = spent(tracker, lambda: decoding.append(frame()), clock)
        return {**found, "crop": found["crop"] - decoding[0], "decode": found["decode"] + decoding[0]}

    for _ in range(options.warmup):
        frame()
    # In turns, so that other work on the machine hits all alike.
    turns = [
        (whole(), by_part(), spent(tracker, lambda: tracker.start(first, box), clock)["template"])
        for _ in range(options.loops)
    ]
    wholes, parts, templates = zip(*turns, strict=True)
    rate, cost = matrix_rate(device, precision), count(tracker.stages())
    macs = dict(cost.frame)
    if tracker.runs:  # an engine does these with the network
        macs = {"network": cost.per_frame - macs.get("enhance", 0), "enhance": macs.get("enhance", 0)}
    rows = {part: (median(each[part] for each in parts), macs.get(part)) for part in PARTS if part in parts[0]}
    took = median(wholes)
    rows |= {"whole frame": (took, cost.per_frame), "template, once": (median(templates), cost.per_start)}

    print(
        f"{cost.parameters / 1e6:.2f} M parameters; JPEG of {len(frames.read(0)) / 1024:.0f} KiB, {width} x {height} px"
    )
    print(f"matrix products of torch: {rate / 1e9:.1f} GMACs/s")
    print(f"{'':16}       ms  of a frame     GMACs  of that rate")
    for part, (seconds, products) in rows.items():
        work = f"{products / 1e9:10.3f} {products / seconds / rate:13.0%}" if products else ""
        print(f"{part:16}{1e3 * seconds:9.2f} {seconds / took:11.0%}{work}")
    print(f"frames per second {1 / took:.1f}, without decoding {1 / (took - rows['decode'][0]):.1f}")
    if options.trace:
        _trace(lambda: spent(tracker, frame, clock), device, Path(options.trace))


def _trace(work, device, path):
    """List the dearest operations of a frame, and write the trace of it."""
    from torch.profiler import ProfilerActivity, profile

    from ..files import atomic_path

    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        for _ in range(TRACED):
            work()

    def own(event):
        return event.self_device_time_total if on_gpu else event.self_cpu_time_total

    found = sorted(profiler.key_averages(), key=own, reverse=True)
    total = sum(map(own, found))
    print(f"\n{'dearest operations':32} calls       ms  of all")
    for event in found[:DEAREST]:
        print(
            f"{event.key[:32]:32}{event.count / TRACED:6.0f}{own(event) / TRACED / 1e3:9.3f}{own(event) / total:8.0%}"
        )
    with atomic_path(path) as temporary:
        profiler.export_chrome_trace(str(temporary))
