"""One video from its flags to its results: first boxes, tracker, what is saved, drawn and shown."""

import contextlib
import math
import tempfile
from pathlib import Path

from ... import config, registry
from ...config.paths import paths as find_paths
from ...data.frames import open_frames
from ...errors import UserError
from ...files import check_not_over
from ..evaluation import provenance, results
from ..evaluation.runner import build_tracker
from ..tracker.weights import find_weights
from . import first_boxes, video
from .page import Page
from .saved import Saved
from .targets import Targets

WEB = "web"  # the word after --box that asks for a page


def follow(options):
    """Track the video, folder, stream or camera options.videofile with options.tracker_name and options.tracker_param.

    Args:
        options: flags of video_demo.py.

    Raises:
        UserError: flags that do not go together, a box that is none, no frame, or results of another run in the way.
    """
    settings = config.load(options.tracker_name, options.tracker_param, options.overrides)
    paths = find_paths(output=options.save_dir)
    frames = open_frames(options.videofile, turn=not options.as_stored)
    if options.show_first:
        first_boxes.write_grid(_frame(frames, options), options.show_first, options.videofile)
        return
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
                return
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


def _frame(frames, options):
    """The frame in which the boxes are."""
    image = next(video.frames_from(frames, options.first_frame), None)
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


def _saved(options, settings, paths, boxes):
    """Where the results go. Raises UserError for names that are no plain file names."""
    weights = find_weights(options.tracker_name, options.tracker_param, settings, paths, options.checkpoint)
    made = provenance.describe(f"{options.tracker_name} {options.tracker_param}", settings, weights, options.enhancer)
    made["source"] = provenance.describe_source(options.videofile)
    made["box"] = [*boxes.values()][0] if len(boxes) == 1 else boxes or None
    made["frames"], made["first_frame"] = options.max_frames, options.first_frame
    name = results.run_name(options.tracker_param, options.runid, options.enhancer)
    run = results.Run(paths.output / "test" / "video_demo", options.tracker_name, name)
    return Saved(run, options.videofile, made, boxes, options.overwrite)
