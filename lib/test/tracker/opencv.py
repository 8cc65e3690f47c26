"""OpenCV's own trackers (MIL, Nano, CSRT, KCF) behind our contract, as peers in the same runner.

They take and return whole pixels, which by itself costs a tiny target much of its overlap.
"""

import ctypes
import os
from pathlib import Path

import cv2

from ...errors import MachineError, UserError


class OpenCVTracker:
    """config.TEST.TRACKER: mil | nano | csrt | kcf. weights: for nano the folder of its two ONNX files."""

    def __init__(self, config, weights=None, device="cpu"):
        self.name = config.TEST.TRACKER
        self.files = _nano_files(weights) if self.name == "nano" else None
        self._tracker = None
        self._box = None
        self._create()

    def initialize(self, image, info):
        self._tracker = self._create()
        if os.name == "posix":  # MIL draws its features with rand() of C: the same ones every time
            ctypes.CDLL(None).srand(1)
        x, y, w, h = info["init_bbox"]
        self._box = [float(x), float(y), float(w), float(h)]
        self._tracker.init(cv2.cvtColor(image, cv2.COLOR_RGB2BGR), self._whole_pixels(x, y, w, h))
        return {"target_bbox": self._box, "score": 1.0, "present": True}

    def track(self, image, info=None):
        found, box = self._tracker.update(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if found:
            self._box = [float(value) for value in box]
        score = float(found) if self.name != "nano" else float(self._tracker.getTrackingScore())
        return {"target_bbox": self._box, "score": score, "present": bool(found)}

    def _whole_pixels(self, x, y, w, h):
        """The box as OpenCV takes it. MIL never returns from init for a box below 5 px: it starts from 5 px there."""
        least = 5 if self.name == "mil" else 1
        width, height = max(least, round(w)), max(least, round(h))
        return round(x + (w - width) / 2), round(y + (h - height) / 2), width, height

    def _create(self):
        if self.name == "nano":
            parameters = cv2.TrackerNano_Params()
            parameters.backbone, parameters.neckhead = map(str, self.files)
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns each time, twice
            return cv2.TrackerNano_create(parameters)
        create = getattr(cv2, f"Tracker{self.name.upper()}_create", None)
        if create is None:
            raise MachineError(
                f"this OpenCV ({cv2.__version__}) has no {self.name.upper()}: it comes with opencv-contrib-python, "
                "installed instead of opencv-python"
            )
        return create()


def _nano_files(folder):
    files = [sorted(Path(folder).glob(f"*{part}*.onnx")) for part in ("backbone", "head")]
    if not all(files):
        raise UserError("expected *backbone*.onnx and *head*.onnx of NanoTrack (V1 or V2) here", folder)
    return [found[0] for found in files]
