"""Track objects, or a ball, through a video file, a folder of frames, or a camera; watch it, or save it."""

import argparse
import contextlib
import logging
import math
import sys
import tempfile
from pathlib import Path

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import UserError

EXAMPLES = """
python tracking/video_demo.py lunar tiny night.mp4 --optional_box 311 120 9 7 --save_video tracked.mp4
python tracking/video_demo.py lunar tiny night.mp4 --box 311 120 9 7 --box 40 52 8 8 --save_results
python tracking/video_demo.py lunar tiny night.mp4 --box web
python tracking/video_demo.py opencv mil frames/ --box first.txt --save_results
python tracking/video_demo.py opencv mil 0
python tracking/video_demo.py mmfnet lite rally.mp4 --save_video ball.mp4
"""
WEB = "web"  # the word after --box that asks for a page


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help=f"one of {', '.join(registry.names())}")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    return follow(parse(arguments, argv))


def follow(options):
    """Do what the flags that `parse` read ask for, with options.tracker_name and options.tracker_param. Returns 0."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    paths = find_paths(output=options.save_dir)
    from ..data.frames import open_frames
    from ..files import check_not_over
    from ..test.evaluation.runner import build_tracker
    from ..test.follow import first_boxes, video
    from ..test.follow.page import Page
    from ..test.follow.targets import Targets

    frames = open_frames(options.videofile, turn=not options.as_stored)
    if options.show_first:
        first_boxes.write_grid(_frame(frames, options), options.show_first, options.videofile)
        return 0
    display = not options.no_display and video.has_display()
    ball = registry.finds_balls(options.tracker_name)
    _check(options, display, ball)
    if options.save_video:
        check_not_over(options.save_video, options.videofile)
    with contextlib.ExitStack() as stack:
        page, boxes = None, {}
        if options.box_file == WEB:
            page = stack.enter_context(Page(frames, Path(options.videofile).name))
            options.first_frame, boxes = page.ask()
        elif options.box_file:
            boxes = first_boxes.read(options.box_file, options.first_frame)
        elif options.optional_box:
            boxes = first_boxes.numbered(options.optional_box)
        elif not ball:
            boxes = first_boxes.ask(_frame(frames, options))
        saved = _saved(options, settings, paths, boxes) if options.save_results else None
        if saved and saved.complete():
            print("these results are there already; --overwrite tracks the video again")
            saved = None
            if not (options.save_video or display):
                return 0
        tracker = (
            build_tracker(options, settings, paths)
            if ball
            else Targets(lambda: build_tracker(options, settings, paths))
        )
        if ball:
            _check_look_ahead(tracker, options, display)
        named = options.save_video
        if page and not named:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            options.save_video = str(Path(folder) / "tracked.mp4")
        video.follow(tracker, frames, boxes, options, saved, display, page.watch if page else None)
        if named:
            print(f"wrote {named}")
        if page:
            page.show(Path(options.save_video))
    return 0


def _frame(frames, options):
    """The frame in which the boxes are."""
    from ..test.follow.video import frames_from

    image = next(frames_from(frames, options.first_frame), None)
    if image is None:
        raise UserError(f"no frame {options.first_frame} could be read", options.videofile)
    return image


def _check(options, display, ball):
    """Raise UserError for flags that do not go together, before any work."""
    given = bool(options.optional_box or options.box_file)
    if ball and (given or options.first_frame):
        raise UserError("--optional_box: this tracker finds the ball itself and takes no first box")
    if not (given or display or ball):
        raise UserError(
            "there is no display to draw the first box on: give it as --optional_box x y w h, or draw it in a browser "
            "with --box web (--show_first FILE.png writes the first frame with a grid to read it from)"
        )
    if not (display or options.save_video or options.save_results or options.box_file == WEB):
        raise UserError("there is no display here and nothing to save: add --save_video OUT.mp4 or --save_results")
    if options.box_file == WEB and options.save_video and Path(options.save_video).suffix.lower() != ".mp4":
        raise UserError("--box web shows the video on its page: --save_video needs a name ending in .mp4")


def _check_look_ahead(tracker, options, display):
    if math.isinf(tracker.look_ahead) and (options.save_video or display):
        raise UserError(
            "this configuration answers when it has seen the whole video, so nothing can be drawn meanwhile: "
            "--set TEST.FILL=none, and TEST.BACKGROUND_FRAMES=64 where it has a background; or only --save_results"
        )


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
    options = arguments.parse_args(_with_box_file(sys.argv[1:] if argv is None else argv))
    cli.at_least(options, max_frames=1, runid=0, first_frame=0)
    if options.optional_box and options.box_file:
        raise UserError("--box: expected numbers, a file or web, not two of them")
    for box in options.optional_box or ():
        written = " ".join(f"{value:g}" for value in box)
        if not all(map(math.isfinite, box)):
            raise UserError(f"--optional_box {written}: expected four finite numbers, x y w h in px")
        if min(box[2:]) <= 0:
            raise UserError(f"--optional_box {written}: width and height must be above 0")
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


def _saved(options, settings, paths, boxes):
    """Where the results go. Raises UserError for names that are no plain file names."""
    from ..test.evaluation import provenance, results
    from ..test.follow.saved import Saved
    from ..test.tracker.weights import find_weights

    weights = find_weights(options.tracker_name, options.tracker_param, settings, paths, options.checkpoint)
    made = provenance.describe(f"{options.tracker_name} {options.tracker_param}", settings, weights, options.enhancer)
    made["source"] = provenance.describe_source(options.videofile)
    made["box"] = [*boxes.values()][0] if len(boxes) == 1 else boxes or None
    made["frames"], made["first_frame"] = options.max_frames, options.first_frame
    name = results.run_name(options.tracker_param, options.runid, options.enhancer)
    run = results.Run(paths.output / "test" / "video_demo", options.tracker_name, name)
    return Saved(run, options.videofile, made, boxes, options.overwrite)
