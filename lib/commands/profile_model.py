"""Parameters, multiply-accumulates, and the whole budget of a frame, from JPEG file to box.

The frame is a dark one, so that an enhancer works, and only the part of it that the tracker looks at is decoded where
that is all it needs. Weights are random. What an engine, or what is compiled, runs as one is one part. The last column
is the share of what torch reaches here on square matrices, in the same arithmetic.
"""

import os
import tempfile
from pathlib import Path

from .. import cli, config, registry
from ..contracts import Staged
from ..errors import UserError

EXAMPLES = """
python tracking/profile_model.py --script lunar --config baseline
python tracking/profile_model.py --config tiny --set TEST.PRECISION=bf16 --size 1920 1080
python tracking/profile_model.py --config tiny --set MODEL.ENHANCER.ENABLE=true --backend onnx
python tracking/profile_model.py --config tiny --trace trace.json
"""
DEAREST = 15  # operations that --trace lists


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
    if registry.finds_balls(options.script):
        raise UserError(
            f"{options.script} takes windows of a video, which are not profiled here; test.py prints its FPS"
        )
    cli.set_threads()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else torch's profiler talks, also of GPUs that are not there
    device = cli.choose_devices(options.device)[0]
    from ..export import budget

    with tempfile.TemporaryDirectory() as folder:
        frames = budget.one_frame(Path(folder), options.size)
        budget.show(registry.tracker(options.script)(settings, None, device), settings, frames, options)
    return 0
