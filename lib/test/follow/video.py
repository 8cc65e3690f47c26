"""The loop over one video: track, draw, write, show; whatever ends it, what was tracked by then is saved."""

import collections
import contextlib
import itertools
import math
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from ... import cli
from ...contracts import ClipTracker
from ...data.frames import ImageFrames, VideoFrames, expected_length
from ...errors import FrameError, UserError
from ...vis.draw import COLOURS, draw_ball, draw_box
from ...vis.video import VideoWriter, annotate
from .first_boxes import check
from .saved import Found, Saved
from .targets import Targets

TAIL = 15  # frames of a ball's way that are drawn behind it


def has_display() -> bool:
    """Whether windows can be opened."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def follow(
    tracker: Targets | ClipTracker,
    frames: Any,
    boxes: dict,
    options: Any,
    saved: Saved | None = None,
    display: bool = False,
    watch: Any = None,
) -> None:
    """Track to the end of the frames, or until q or Esc.

    Args:
        tracker: of the targets, or one that finds a ball.
        frames: of lib.data.frames.open_frames.
        boxes: {target: (x, y, w, h)} in frame options.first_frame; {} for a ball.
        options: flags videofile, save_video, max_frames, first_frame, absent_thr.
        saved: where results are written; None where they are not wanted. Unfinished results there are gone on from.
        display: whether to open a window.
        watch: called with the number of frames done and of all, or None where nobody knows.

    Raises:
        UserError: no frame could be read.
        FrameError: at a damaged frame, when what came before is saved.
    """
    found, complete = Found(), False
    if saved and isinstance(tracker, Targets) and not options.save_video:
        found = _go_on(tracker, frames, saved)
    try:
        _follow(tracker, frames, boxes, options, display, found, saved, watch)
        complete = True
    except KeyboardInterrupt:
        print("\nstopped; saving what was tracked")
    finally:
        if saved and found.whole().places:
            saved.write(found, complete)
            print(f"wrote {saved.path}")
    if not found.places:
        raise UserError("no frame could be read", options.videofile)
    count = len(found.places)
    print(f"{count} frames, {count / sum(found.seconds):.1f} FPS without decoding and drawing")


def _go_on(tracker, frames, saved):
    """What was found before an interruption, the tracker being set to go on from there."""
    found = saved.partial() if isinstance(frames, VideoFrames | ImageFrames) else None
    if found is None:
        return Found()
    tracker.go_on(found.states[1])
    print(f"going on after {len(found.places)} frames that were tracked before")
    return found


def _follow(tracker, frames, boxes, options, display, found, saved, watch):
    """Track and fill `found`; a video that is being written ends with the last frame that could be tracked."""
    total = min(expected_length(frames) or sys.maxsize, options.max_frames or sys.maxsize)
    line = cli.ProgressLine("frames")
    ended = None
    with contextlib.ExitStack() as stack:
        video = stack.enter_context(VideoWriter(options.save_video, frames.fps)) if options.save_video else None
        if isinstance(tracker, ClipTracker):
            answers = _balls(tracker, frames, options, found)
        else:
            answers = _boxes(tracker, frames, boxes, options, found)
        try:
            for image, draw in answers:
                picture = draw(image) if video or display else None
                if video:
                    video.write(picture)
                if display and _show(picture):
                    break
                done = len(found.places)
                line.show(done, max(total, done) if total < sys.maxsize else done)
                if watch:
                    watch(done, total if total < sys.maxsize else None)
                if saved and saved.due():
                    saved.write(found, complete=False)
        except (FrameError, KeyboardInterrupt, cli.Terminated) as error:
            ended = error  # raised when the video is whole
        line.clear()
    if ended is not None:
        raise ended


def frames_from(frames: Any, number: int) -> Iterator[np.ndarray]:
    """The frames from a number on."""
    if not number or not isinstance(frames, VideoFrames | ImageFrames):
        yield from itertools.islice(frames, number, None)
        return
    for index in itertools.count(number):
        try:
            frame = frames[index]
        except IndexError:
            return
        yield frame


def _boxes(targets, frames, boxes, options, found):
    """Track the targets. Yields (frame, function that draws what was found on it)."""
    begun, first = len(found.places), options.first_frame
    left = None if options.max_frames is None else max(0, options.max_frames - begun)
    for index, image in enumerate(itertools.islice(frames_from(frames, begun), left), begun):
        results = {}
        began = time.perf_counter()
        if index == first:
            check(boxes, image)
        if index >= first:
            results = targets.track(image) if index > first else targets.start(image, boxes)
        found.seconds.append(time.perf_counter() - began)
        found.places.append({name: tuple(map(float, each.box)) for name, each in results.items()})
        found.scores.append({name: float(each.score) for name, each in results.items()})
        found.states = index + 1, targets.states
        yield image, lambda image, results=results: _drawn(image, results, options.absent_thr)


def _drawn(image, results, least):
    """The frame with the boxes of all targets whose score is not below `least`; one alone is shown enlarged too."""
    if len(results) == 1:
        (result,) = results.values()
        box = result.box if result.score >= least else [math.nan] * 4
        return annotate(image, box, label=f"{result.score:.2f}")
    for number, (name, result) in enumerate(results.items()):
        if result.score >= least:
            image = draw_box(image, result.box, COLOURS[number % len(COLOURS)], label=f"{name} {result.score:.2f}")
    return image


def _balls(tracker, frames, options, found):
    """Find a ball. Yields as _boxes; a frame comes when it is answered, and every one that was taken is."""
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
            found.seconds.append(seconds)
        elif found.seconds:
            found.seconds[-1] += seconds
        for result in results:
            point = result.point if result.present else (math.nan, math.nan)
            found.places.append({None: point})
            found.scores.append({None: result.score})
            tail.append(point if result.score >= options.absent_thr else (math.nan, math.nan))
            yield waiting.popleft(), lambda image, tail=tuple(tail): draw_ball(image, tail)
        if image is None:
            break
    if ended is not None:
        raise ended


def _show(image):
    """Show a frame; whether the user asked to stop."""
    cv2.imshow("lunar", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return cv2.waitKey(1) & 0xFF in (ord("q"), 27)
