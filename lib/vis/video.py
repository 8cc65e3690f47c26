"""Writing videos, and the video of a tracked sequence: boxes on the frame, and the target enlarged in a corner."""

import math
from pathlib import Path

import cv2
import numpy as np

from ..data import boxes
from ..data.crop import Crop
from ..errors import MachineError
from ..files import atomic_path
from .draw import draw_box

PREDICTION = (255, 176, 0)
TRUTH = (80, 220, 120)
CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".webm": "VP90"}


class VideoWriter:
    """Write RGB frames to a video; a context manager. The file appears, whole, when the work has ended well.

    Raises MachineError for an extension that is not .mp4, .avi or .webm, or a codec that this OpenCV cannot write
    (it would otherwise write nothing and say nothing).
    """

    def __init__(self, path, fps=30.0):
        self.path, self.fps = Path(path), fps
        if self.path.suffix.lower() not in CODECS:
            raise MachineError(f"cannot write such a video: expected a name ending in {', '.join(CODECS)}", path)
        self._writer = None

    def __enter__(self):
        self._atomic = atomic_path(self.path)
        self._file = self._atomic.__enter__()
        return self

    def __exit__(self, *error):
        if self._writer is not None:
            self._writer.release()
        return self._atomic.__exit__(*error)

    def write(self, image):
        """Append a frame (H, W, 3) uint8 RGB; all of one size."""
        if self._writer is None:
            code = cv2.VideoWriter_fourcc(*CODECS[self.path.suffix.lower()])
            self._writer = cv2.VideoWriter(str(self._file), code, self.fps, (image.shape[1], image.shape[0]))
            if not self._writer.isOpened():
                raise MachineError(f"this OpenCV cannot write {CODECS[self.path.suffix.lower()]} video", self.path)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def annotate(image, box_xywh, truth_xywh=None, label=None):
    """The frame with the predicted box, the true one where known, and the target enlarged in a corner away from it."""
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
    """Write the video of a tracked sequence: frames source, (N, 4) predicted and true boxes, px."""
    with VideoWriter(path, getattr(frames, "fps", 30.0)) as video:
        for index in range(len(frames)):
            video.write(annotate(frames[index], boxes_xywh[index], truth_xywh[index], label=f"{index}"))
