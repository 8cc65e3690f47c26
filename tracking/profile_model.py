"""Parameters, multiply-accumulates, and the latency of every stage of a frame: decode, crop, network, head, rest.

Where an engine other than torch runs the network it is one stage.
"""

import statistics
import sys
import time
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib import cli, config, registry  # noqa: E402
from lib.errors import UserError  # noqa: E402

EXAMPLES = """
python tracking/profile_model.py --script lunar --config baseline
python tracking/profile_model.py --config tiny --set TEST.PRECISION=bf16 --size 1920 1080
python tracking/profile_model.py --config tiny --backend onnx
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("--script", default="lunar", help="a script with a network")
    arguments.add_argument("--config", default="baseline", help="configuration: experiments/<script>/<config>.yaml")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    arguments.add_argument(
        "--size", type=int, nargs=2, default=(1280, 720), metavar=("W", "H"), help="of the frame, px"
    )
    arguments.add_argument("--target", type=float, default=12.0, help="side of the target, px")
    arguments.add_argument("--loops", type=int, default=50, help="timed frames; the median is printed")
    arguments.add_argument("--warmup", type=int, default=5, help="frames before those")
    cli.add_config_flags(arguments)
    cli.add_backend_flag(arguments)
    options = arguments.parse_args(argv)
    if min(*options.size, options.loops) < 1 or options.target <= 0 or options.warmup < 0:
        raise UserError("--size, --loops and --target must be above 0")
    settings = config.load(options.script, options.config, options.overrides)
    entry = registry.entry(options.script)
    if not entry.has_network:
        raise UserError(f"{options.script} has no network to profile")
    cli.set_threads()
    device = cli.choose_devices(options.device)[0]
    _profile(entry.tracker()(settings, None, device), settings, device, options)
    return 0


def _profile(tracker, settings, device, options):
    import numpy as np
    import torch

    from lib.data import image as images
    from lib.data.crop import Crop
    from lib.models.profile import count, use_query

    name = (
        torch.cuda.get_device_name(device)
        if device.startswith("cuda")
        else f"{device}, {torch.get_num_threads()} threads"
    )
    cost = count(tracker.network if settings.TEST.BACKEND == "torch" else tracker.network.network)
    print(
        f"{options.script} {options.config} with random weights on {name}, "
        f"{settings.TEST.PRECISION}, {settings.TEST.BACKEND} (torch {torch.__version__})"
    )
    print(f"parameters        {cost.parameters / 1e6:8.2f} M")
    print(f"template, once    {cost.encode_template / 1e9:8.2f} GMACs")
    query = f", the query {cost.query / 1e9:.3f}" if cost.query else ""
    print(f"every frame       {cost.track / 1e9:8.2f} GMACs, of which the head {cost.head / 1e9:.2f}{query}")

    width, height = options.size
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 160, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    frame = np.ascontiguousarray(np.kron(coarse, np.ones((8, 8, 1), np.uint8))[:height, :width])
    jpeg = images.encode_jpeg(frame)
    side = options.target
    box = np.array([(width - side) / 2, (height - side) / 2, side, side])
    search = settings.DATA.SEARCH
    crop = Crop(width / 2, height / 2, max(side * search.FACTOR, search.MIN_SIDE), search.SIZE)
    state = tracker.start(frame, box)
    patch = torch.from_numpy(crop.extract(frame)).permute(2, 0, 1)[None].to(tracker.device)
    network = tracker.network

    @torch.inference_mode()
    def features():
        with tracker.autocast():
            return network.backbone(state.template, network.normalise(patch))

    tokens = features()

    @torch.inference_mode()
    def head():
        with tracker.autocast():
            return network.box_head(tokens, network.normalise(patch))

    @torch.inference_mode()
    def query():
        with tracker.autocast():
            use_query(network.query, state.query, tokens, windows)

    @torch.inference_mode()
    def engine():
        if not network.remembers:
            return network.track(state.template, patch)
        sure = torch.ones(1)
        return network.step(state.template, patch, state.query, windows, lambda *_: (windows, sure))

    windows = torch.tensor([[crop.cx, crop.cy, crop.side]], device=tracker.device)
    parts = {"network before the head": features, "head": head, **({"query": query} if network.remembers else {})}
    if settings.TEST.BACKEND != "torch":
        parts = {f"network ({settings.TEST.BACKEND})": engine}
    stages = {
        f"decode a {width} x {height} JPEG": lambda: images.decode(jpeg, "frame"),
        "crop": lambda: crop.extract(frame),
        **parts,
        "whole frame, without decoding": lambda: tracker.step([state], [frame]),
    }
    medians = {stage: _median_ms(work, device, options) for stage, work in stages.items()}
    for stage, milliseconds in medians.items():
        print(f"{stage:32s} {milliseconds:9.2f} ms")
    *parts, whole = list(medians.values())
    print(f"{'the rest: window, decoding, state':32s} {max(0.0, whole - sum(parts[1:])):9.2f} ms")
    print(f"{'frames per second':32s} {1000 / whole:9.1f}   ({1000 / (whole + parts[0]):.1f} with decoding)")
    square = torch.rand(1024, 1024, device=device)
    rate = 1024**3 / _median_ms(lambda: square @ square, device, options) * 1e3
    share = cost.track / (sum(parts[2:]) / 1e3) / rate
    print(f"{'matrix products of torch, fp32':32s} {rate / 1e9:9.1f} GMACs/s, of which the network reaches {share:.0%}")


def _median_ms(work, device, options):
    """Median of the wall time of one call, ms, with the device's queue empty before and after."""
    import torch

    synchronise = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    times = []
    for number in range(options.warmup + options.loops):
        synchronise()
        began = time.perf_counter()
        work()
        synchronise()
        if number >= options.warmup:
            times.append(time.perf_counter() - began)
    return 1000 * statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
