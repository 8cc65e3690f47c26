"""Track objects, or a ball, through a video file, a folder of frames, or a camera; watch it, or save it."""

import argparse
import logging
import sys

from .. import cli, registry
from ..data.boxes import box_fault
from ..errors import UserError

EXAMPLES = """
python tracking/video_demo.py lunar tiny night.mp4 --optional_box 311 120 9 7 --save_video tracked.mp4
python tracking/video_demo.py lunar tiny night.mp4 --box 311 120 9 7 --box 40 52 8 8 --save_results
python tracking/video_demo.py lunar tiny night.mp4 --box web
python tracking/video_demo.py opencv mil frames/ --box first.txt --save_results
python tracking/video_demo.py opencv mil 0
python tracking/video_demo.py mmfnet lite rally.mp4 --save_video ball.mp4
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help=f"one of {', '.join(registry.names())}")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    return start(parse(arguments, argv))


def start(options):
    """Follow what the flags that `parse` read ask for. Returns 0."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    from ..test.follow.session import follow

    follow(options)
    return 0


def parse(arguments, argv):
    """The flags of a command that tracks through one video. Raises UserError for a box without area."""
    arguments.add_argument(
        "videofile",
        help="video file, folder, zip or LMDB of frames, images as img_%%04d.png or img_*.png, a stream's URL, "
        "- for the standard input, or a camera's number",
    )
    arguments.add_argument(
        "--optional_box",
        "--box",
        type=float,
        nargs=4,
        action="append",
        metavar=("X", "Y", "W", "H"),
        help="first box, px (default: draw it); again for more targets. Or --box FILE: text with `x y w h`, or a line "
        "`id x y w h` for each target, or annotations; or --box web: draw it on a page in a browser",
    )
    arguments.add_argument("--box_file", help=argparse.SUPPRESS)
    arguments.add_argument(
        "--first_frame", type=int, default=0, metavar="N", help="number of the frame, from 0, in which the boxes are"
    )
    arguments.add_argument(
        "--show_first", metavar="FILE", help="only write the first frame with a grid, as .png or .jpg"
    )
    arguments.add_argument("--save_video", metavar="FILE", help="write the annotated video: .mp4, .avi or .webm")
    arguments.add_argument(
        "--save_results", action="store_true", help="write the boxes, or the ball's points, under the output folder"
    )
    arguments.add_argument("--as_stored", action="store_true", help="do not turn photographs as their EXIF data says")
    arguments.add_argument("--no_display", action="store_true", help="open no window even where there is a display")
    arguments.add_argument("--absent_thr", type=float, default=0.0, help="draw nothing for a score below this")
    arguments.add_argument("--max_frames", type=int, metavar="N", help="stop after N frames (a camera never ends)")
    arguments.add_argument("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    arguments.add_argument("--runid", type=int, metavar="N", help="suffix of the results' folder, to keep several runs")
    arguments.add_argument("--overwrite", action="store_true", help="replace results that are there")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    cli.add_enhancer_flag(arguments)
    cli.add_config_flags(arguments)
    cli.add_backend_flag(arguments)
    cli.add_associate_flag(arguments)
    options = arguments.parse_args(_with_box_file(sys.argv[1:] if argv is None else argv))
    cli.at_least(options, max_frames=1, runid=0, first_frame=0)
    if options.optional_box and options.box_file:
        raise UserError("--box: expected numbers, a file or web, not two of them")
    for box in options.optional_box or ():
        if fault := box_fault(box):
            raise UserError(f"--optional_box: {fault}")
    return options


def _with_box_file(words):
    """The words of the command line, `--box` before anything but a number written as `--box_file`."""
    changed = list(map(str, words))
    for index, (word, after) in enumerate(zip(changed, changed[1:], strict=False)):
        if word in ("--box", "--optional_box"):
            try:
                float(after)
            except ValueError:
                changed[index] = "--box_file"
    return changed
