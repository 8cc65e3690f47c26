"""Track one object through a video file, a folder of frames, or a camera; watch it, or save it without a display."""

import itertools
import logging
import os
import sys
import time
from pathlib import Path

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import UserError

EXAMPLES = """
python tracking/video_demo.py lunar tiny night.mp4 --optional_box 311 120 9 7 --save_video tracked.mp4
python tracking/video_demo.py opencv mil frames/ --optional_box 311 120 9 7 --save_results
python tracking/video_demo.py opencv mil 0
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    paths = find_paths(output=options.save_dir)
    from ..data.frames import open_frames
    from ..test.evaluation.runner import build_tracker

    display = not options.no_display and _has_display()
    if options.optional_box is None and not display:
        raise UserError("there is no display to draw the first box on: give it as --optional_box x y w h")
    if not (display or options.save_video or options.save_results):
        raise UserError("there is no display here and nothing to save: add --save_video OUT.mp4 or --save_results")
    frames = open_frames(options.videofile, turn=not options.as_stored)
    tracker = build_tracker(options, settings, paths)
    _track(tracker, frames, options, display, paths.output)
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help=f"one of {', '.join(registry.names())}")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    arguments.add_argument("videofile", help="video file, folder, zip or LMDB of frames, or the number of a camera")
    arguments.add_argument(
        "--optional_box", type=float, nargs=4, metavar=("X", "Y", "W", "H"), help="first box, px (default: draw it)"
    )
    arguments.add_argument("--save_video", metavar="FILE", help="write the annotated video: .mp4, .avi or .webm")
    arguments.add_argument("--save_results", action="store_true", help="write the boxes under the output folder")
    arguments.add_argument("--as_stored", action="store_true", help="do not turn photographs as their EXIF data says")
    arguments.add_argument("--no_display", action="store_true", help="open no window even where there is a display")
    arguments.add_argument("--absent_thr", type=float, default=0.0, help="draw no box for a score below this")
    arguments.add_argument("--max_frames", type=int, metavar="N", help="stop after N frames (a camera never ends)")
    arguments.add_argument("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    cli.add_enhancer_flag(arguments)
    cli.add_config_flags(arguments)
    cli.add_backend_flag(arguments)
    options = arguments.parse_args(argv)
    if options.optional_box and min(options.optional_box[2:]) <= 0:
        raise UserError(f"--optional_box {options.optional_box}: width and height must be above 0")
    return options


def _track(tracker, frames, options, display, output):
    """Track to the end of the frames, or until q or Esc; whatever was tracked by then is saved."""
    import contextlib

    import numpy as np

    from ..data.frames import expected_length
    from ..test.evaluation import results
    from ..vis.video import VideoWriter, annotate

    found, scores, times = [], [], []
    total = min(expected_length(frames) or sys.maxsize, options.max_frames or sys.maxsize)
    line = cli.ProgressLine("frames")
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(VideoWriter(options.save_video, frames.fps)) if options.save_video else None
        try:
            for index, image in enumerate(itertools.islice(frames, options.max_frames)):
                if index == 0:
                    box = options.optional_box or _ask(image)
                    _check_inside(box, image)
                began = time.perf_counter()
                result = tracker.track(image) if index else tracker.initialize(image, {"init_bbox": box})
                times.append(time.perf_counter() - began)
                found.append(result["target_bbox"])
                scores.append(result["score"])
                shown = result["target_bbox"] if result["score"] >= options.absent_thr else [np.nan] * 4
                picture = annotate(image, shown, label=f"{result['score']:.2f}") if video or display else None
                if video:
                    video.write(picture)
                if display and _show(picture):
                    break
                line.show(index + 1, max(total, index + 1) if total < sys.maxsize else index + 1)
        except KeyboardInterrupt:
            print("\nstopped; saving what was tracked")
        line.clear()
    if not found:
        raise UserError("no frame could be read", options.videofile)
    if options.save_results:
        # not among the benchmarks' results: there is no ground truth to score it by
        name = results.run_name(options.tracker_param, enhancer=options.enhancer)
        run = results.Run(output / "test" / "video_demo", options.tracker_name, name)
        print(
            f"wrote {results.write(run, '', f'video_{Path(options.videofile).stem}', found, times, scores, flat=True)}"
        )
    if options.save_video:
        print(f"wrote {options.save_video}")
    print(f"{len(found)} frames, {len(found) / sum(times):.1f} FPS without decoding and drawing")


def _has_display():
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _ask(image):
    import cv2

    box = cv2.selectROI("lunar", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), showCrosshair=False)
    if min(box[2:]) <= 0:
        raise UserError("no box was drawn")
    return [float(value) for value in box]


def _show(image):
    """Show a frame; whether the user asked to stop."""
    import cv2

    cv2.imshow("lunar", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF in (ord("q"), 27)


def _check_inside(box, image):
    x, y, w, h = box
    height, width = image.shape[:2]
    if x + w <= 0 or y + h <= 0 or x >= width or y >= height:
        raise UserError(f"--optional_box {x:g} {y:g} {w:g} {h:g} lies off the frame of {width} x {height} px")
