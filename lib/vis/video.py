"""Writing videos, and the video of a tracked sequence: boxes on the frame, and the target enlarged in a corner."""

import math
import os
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

from ..data import boxes
from ..data.crop import Crop
from ..errors import MachineError
from ..files import atomic_path, check_not_over
from .draw import draw_box

PREDICTION = (255, 176, 0)
TRUTH = (80, 220, 120)
# Extension: codec, its options and its form of pixels. H.264 in 4:2:0 is what every browser plays.
CODECS = {
    ".mp4": ("libx264", {"preset": "veryfast", "crf": "18"}, "yuv420p"),
    ".avi": ("mjpeg", {"qmin": "2", "qmax": "3"}, "yuvj420p"),
    ".webm": ("libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "crf": "24", "b": "0"}, "yuv420p"),
}
CONTAINER = {".mp4": {"movflags": "faststart"}}  # so that a browser begins before it has all of it


class VideoWriter:
    """Context manager that writes RGB frames to a video. The file appears, complete, when the block ends without error.

    The format 4:2:0 needs even sizes, so the last column or row of an odd size is repeated.

    Raises:
        MachineError: the extension is not .mp4, .avi or .webm.
        UserError: the file is one of `inputs`.
    """

    def __init__(self, path: str | os.PathLike, fps: float = 30.0, inputs: Sequence = ()):
        self.path, self.fps = Path(path), Fraction(fps).limit_denominator(1001)
        if self.path.suffix.lower() not in CODECS:
            raise MachineError(f"cannot write such a video: expected a name ending in {', '.join(CODECS)}", path)
        check_not_over(path, *inputs)
        self._container = self._stream = None

    def __enter__(self):
        self._atomic = atomic_path(self.path)
        self._file = self._atomic.__enter__()
        return self

    def __exit__(self, *error):
        try:
            if error[0] is None:
                self._finish()
        except BaseException:
            self._atomic.__exit__(*sys.exc_info())
            raise
        finally:
            self._container = None
        return self._atomic.__exit__(*error)

    def write(self, image: np.ndarray) -> None:
        """Append a frame (H, W, 3) uint8 RGB; all of one size."""
        if self._container is None:
            self._start(image.shape[1], image.shape[0])
        if image.shape[0] % 2 or image.shape[1] % 2:
            image = cv2.copyMakeBorder(image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._container.mux(self._stream.encode(frame))

    def _start(self, width, height):
        extension = self.path.suffix.lower()
        codec, options, pixels = CODECS[extension]
        self._container = av.open(f"file:{self._file}", "w", container_options=CONTAINER.get(extension, {}))
        self._stream = self._container.add_stream(codec, rate=self.fps, options=options)
        self._stream.width, self._stream.height = width + width % 2, height + height % 2
        self._stream.pix_fmt = pixels

    def _finish(self):
        if self._container is not None:
            self._container.mux(self._stream.encode(None))
            self._container.close()


def annotate(image, box_xywh, truth_xywh=None, label=None):
    """Draw the predicted box, the true box if known, and the enlarged target in the corner away from it."""
    drawn = image
    if truth_xywh is not None:
        drawn = draw_box(drawn, truth_xywh, TRUTH)
    drawn = draw_box(drawn, box_xywh, PREDICTION, label=label)
    height, width = image.shape[:2]
    side = min(height, width) // 4
    cx, cy, w, h = boxes.xywh_to_cxcywh(box_xywh)
    if not math.isfinite(cx) or max(w, h) > side / 2:
        return drawn
    zoom = Crop(cx, cy, max(4.0 * max(w, h), 16.0), side)
    inset = draw_box(zoom.extract(image), zoom.to_patch(box_xywh), PREDICTION)
    if truth_xywh is not None:
        inset = draw_box(inset, zoom.to_patch(truth_xywh), TRUTH)
    inset = cv2.copyMakeBorder(inset[1:-1, 1:-1], 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(128, 128, 128))
    left = width - side if cx < width / 2 else 0
    drawn = np.array(drawn)
    drawn[:side, left : left + side] = inset
    return drawn


def save_tracked(path, frames, boxes_xywh, truth_xywh):
    """Write the video of a tracked sequence from a frame source and the predicted and true boxes (N, 4), px."""
    with VideoWriter(path, getattr(frames, "fps", 30.0)) as video:
        for index in range(len(frames)):
            video.write(annotate(frames[index], boxes_xywh[index], truth_xywh[index], label=f"{index}"))
