"""A tracker for the VOT toolkit, which calls this from trackers.ini: docs/vot.md has the lines.

It speaks TraX on standard input and output: told an image's file and a rectangle (of a polygon, the one around it), it
answers each further image with a rectangle and the confidence.
"""

import sys

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import UserError

EXAMPLES = """
python tracking/vot_trax.py lunar tiny
python tracking/vot_trax.py lunar baseline --checkpoint /my/Lunar_ep0300.pth.tar --device cuda
python tracking/vot_trax.py opencv mil --enhancer average
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    from ..test.evaluation import trax
    from ..test.evaluation.runner import build_tracker

    if sys.stdin.isatty():
        raise UserError(
            "speaks TraX on standard input, which is a terminal: let the VOT toolkit call it, see docs/vot.md"
        )
    tracker = build_tracker(options, settings, find_paths(output=options.save_dir))
    with open(sys.stdout.fileno(), "wb", buffering=0, closefd=False) as sink:
        trax.serve(tracker, f"{options.tracker_name} {options.tracker_param}", sys.stdin.buffer, sink)
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help=f"one of {', '.join(registry.names())}")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    arguments.add_argument("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    cli.add_enhancer_flag(arguments)
    cli.add_config_flags(arguments)
    cli.add_backend_flag(arguments)
    cli.add_associate_flag(arguments)
    return arguments.parse_args(argv)
