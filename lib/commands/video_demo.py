"""Track one object, or a ball, through a video file, a folder of frames, or a camera; watch it, or save it."""

import collections
import dataclasses
import itertools
import logging
import math
import os
import sys
import time
from pathlib import Path

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..contracts import ClipTracker
from ..errors import FrameError, UserError

EXAMPLES = """
python tracking/video_demo.py lunar tiny night.mp4 --optional_box 311 120 9 7 --save_video tracked.mp4
python tracking/video_demo.py opencv mil frames/ --optional_box 311 120 9 7 --save_results
python tracking/video_demo.py opencv mil 0
python tracking/video_demo.py mmfnet lite rally.mp4 --save_video ball.mp4
"""
TAIL = 15  # frames of a ball's way that are drawn behind it


@cli.command
def main(argv=None):
    return follow(_parse(argv))


def follow(options):
    """Do what the flags that `parse` read ask for, with options.tracker_name and options.tracker_param. Returns 0."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    paths = find_paths(output=options.save_dir)
    from ..data.frames import open_frames
    from ..files import check_not_over
    from ..test.evaluation.runner import build_tracker
    from ..test.tracker.weights import find_weights

    if options.show_first:
        return _show_first(open_frames(options.videofile, turn=not options.as_stored), options)
    display = not options.no_display and _has_display()
    if options.optional_box is None and not display and not _finds_balls(options):
        raise UserError(
            "there is no display to draw the first box on: give it as --optional_box x y w h "
            "(--show_first FILE.png writes the first frame with a grid to read it from)"
        )
    if not (display or options.save_video or options.save_results):
        raise UserError("there is no display here and nothing to save: add --save_video OUT.mp4 or --save_results")
    frames = open_frames(options.videofile, turn=not options.as_stored)
    if options.save_video:
        check_not_over(options.save_video, options.videofile)
    weights = find_weights(options.tracker_name, options.tracker_param, settings, paths, options.checkpoint)
    save = _saver(options, settings, weights, paths.output) if options.save_results else None
    if options.save_results and save is None:
        print("these results are there already; --overwrite tracks the video again")
        if not (options.save_video or display):
            return 0
    tracker = build_tracker(options, settings, paths)
    if isinstance(tracker, ClipTracker):
        _check_ball(tracker, options, display)
    _track(tracker, frames, options, display, save)
    return 0


def _finds_balls(options):
    """Whether the tracker needs no first box."""
    return issubclass(registry.tracker(options.tracker_name), ClipTracker)


def _check_ball(tracker, options, display):
    if options.optional_box:
        raise UserError("--optional_box: this tracker finds the ball itself and takes no first box")
    if math.isinf(tracker.look_ahead) and (options.save_video or display):
        raise UserError(
            "this configuration answers when it has seen the whole video, so nothing can be drawn meanwhile: "
            "--set TEST.FILL=none, and TEST.BACKGROUND_FRAMES=64 where it has a background; or only --save_results"
        )


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help=f"one of {', '.join(registry.names())}")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    return parse(arguments, argv)


def parse(arguments, argv):
    """The flags of a command that tracks through one video. Raises UserError for a box without area."""
    arguments.add_argument(
        "videofile",
        help="video file, folder, zip or LMDB of frames, images as img_%%04d.png or img_*.png, a stream's URL, "
        "or a camera's number",
    )
    arguments.add_argument(
        "--optional_box",
        "--box",
        type=float,
        nargs=4,
        metavar=("X", "Y", "W", "H"),
        help="first box, px (default: draw it)",
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
    options = arguments.parse_args(argv)
    cli.at_least(options, max_frames=1, runid=0)
    if options.optional_box:
        written = " ".join(f"{value:g}" for value in options.optional_box)
        if not all(map(math.isfinite, options.optional_box)):
            raise UserError(f"--optional_box {written}: expected four finite numbers, x y w h in px")
        if min(options.optional_box[2:]) <= 0:
            raise UserError(f"--optional_box {written}: width and height must be above 0")
    return options


def _show_first(frames, options):
    import cv2

    from ..files import atomic_path, check_not_over
    from ..vis.draw import draw_grid

    path = Path(options.show_first)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError("expected a name ending in .png or .jpg", path)
    check_not_over(path, options.videofile)
    image = next(iter(frames), None)
    if image is None:
        raise UserError("no frame could be read", options.videofile)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(draw_grid(image), cv2.COLOR_RGB2BGR))
    print(f"wrote {path}: {image.shape[1]} x {image.shape[0]} px; read x y w h off its grid for --optional_box")
    return 0


@dataclasses.dataclass
class _Found:
    """What was tracked so far, frame by frame. places: boxes, or the points of a ball, NaN where it is not seen."""

    places: list = dataclasses.field(default_factory=list)
    scores: list = dataclasses.field(default_factory=list)
    times: list = dataclasses.field(default_factory=list)


def _track(tracker, frames, options, display, save):
    """Track to the end of the frames, or until q or Esc. Whatever ends it, what was tracked by then is saved.

    save: called with what was found and whether that is all; None where the boxes are not wanted.
    """
    found, complete = _Found(), False
    try:
        _follow(tracker, frames, options, display, found)
        complete = True
    except KeyboardInterrupt:
        print("\nstopped; saving what was tracked")
    finally:
        if found.places and save:
            save(found, complete)
    if not found.places:
        raise UserError("no frame could be read", options.videofile)
    if options.save_video:
        print(f"wrote {options.save_video}")
    count = len(found.places)
    print(f"{count} frames, {count / sum(found.times):.1f} FPS without decoding and drawing")


def _follow(tracker, frames, options, display, found):
    """Track and fill `found`; a video that is being written ends with the last frame that could be tracked."""
    import contextlib

    from ..data.frames import expected_length
    from ..vis.video import VideoWriter

    total = min(expected_length(frames) or sys.maxsize, options.max_frames or sys.maxsize)
    line = cli.ProgressLine("frames")
    ended = None
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(VideoWriter(options.save_video, frames.fps)) if options.save_video else None
        answers = (_balls if isinstance(tracker, ClipTracker) else _boxes)(tracker, frames, options, found)
        try:
            for index, (image, draw) in enumerate(answers):
                picture = draw(image) if video or display else None
                if video:
                    video.write(picture)
                if display and _show(picture):
                    break
                line.show(index + 1, max(total, index + 1) if total < sys.maxsize else index + 1)
        except (FrameError, KeyboardInterrupt, cli.Terminated) as error:
            ended = error  # raised when the video is whole
        line.clear()
    if ended is not None:
        raise ended


def _boxes(tracker, frames, options, found):
    """Track a target. Yields (frame, function that draws what was found on it)."""
    import numpy as np

    from ..vis.video import annotate

    for index, image in enumerate(itertools.islice(frames, options.max_frames)):
        if index == 0:
            box = options.optional_box or _ask(image)
            _check_inside(box, image)
        began = time.perf_counter()
        result = tracker.track(image) if index else tracker.initialize(image, box)
        found.times.append(time.perf_counter() - began)
        found.places.append(result["target_bbox"])
        found.scores.append(result["score"])
        shown = result["target_bbox"] if result["score"] >= options.absent_thr else [np.nan] * 4
        yield image, lambda image, shown=shown, score=result["score"]: annotate(image, shown, label=f"{score:.2f}")


def _balls(tracker, frames, options, found):
    """Find a ball. Yields as _boxes; a frame comes when it is answered, and every one that was taken is."""
    from ..vis.draw import draw_ball

    state, waiting, tail, ended = tracker.start(), collections.deque(), collections.deque(maxlen=TAIL), None
    source = itertools.islice(frames, options.max_frames)
    while ended is None:
        try:
            image = next(source, None)
        except (FrameError, KeyboardInterrupt, cli.Terminated) as error:
            image, ended = None, error
        taken = [] if image is None else [image]
        drawn = not math.isinf(tracker.look_ahead)
        waiting.extend(image if drawn else None for image in taken)
        began = time.perf_counter()
        state, results = tracker.track_clip(state, taken, last=image is None)
        seconds = time.perf_counter() - began
        if taken:
            found.times.append(seconds)
        elif found.times:
            found.times[-1] += seconds
        for result in results:
            found.places.append(result.point if result.present else (math.nan, math.nan))
            found.scores.append(result.score)
            tail.append(found.places[-1] if result.score >= options.absent_thr else (math.nan, math.nan))
            yield waiting.popleft(), lambda image, tail=tuple(tail): draw_ball(image, tail)
        if image is None:
            break
    if ended is not None:
        raise ended


def _saver(options, settings, weights, output):
    """A function that writes the boxes or points found and a note of what they were made from.

    Raises UserError where the boxes of another run are in its place, and returns None where those of this one are.
    """
    from ..test.evaluation import provenance, results

    # not among the benchmarks' results: there is no ground truth to score it by
    name = results.run_name(options.tracker_param, options.runid, options.enhancer)
    run = results.Run(output / "test" / "video_demo", options.tracker_name, name)
    sequence = f"video_{Path(options.videofile).stem}"
    path, balls = results.boxes_path(run, "", sequence, flat=True), _finds_balls(options)
    path = path.with_suffix(results.POINTS) if balls else path
    made = provenance.describe(f"{options.tracker_name} {options.tracker_param}", settings, weights, options.enhancer)
    made["source"] = provenance.describe_source(options.videofile)
    made["box"] = options.optional_box
    made["frames"] = options.max_frames
    if not options.overwrite and provenance.is_there(path, made):
        return None

    def save(found, complete):
        count = len(found.places)
        if balls:
            results.write_points(run, "", sequence, found.places, found.scores, found.times[:count], flat=True)
        else:
            results.write(run, "", sequence, found.places, found.times, found.scores, flat=True)
        provenance.note(path, made, complete)
        print(f"wrote {path}")

    return save


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
