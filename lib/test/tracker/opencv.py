"""OpenCV's own trackers (MIL, Nano, CSRT, KCF) under our contract, as peers in the same runner.

They take and return whole pixels, which by itself costs a tiny target much of its overlap.
"""

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ...contracts import Result, Tracker
from ...errors import MachineError, UserError


class OpenCVTracker(Tracker):
    """The tracker of script `opencv`.

    Args:
        config: an `opencv` configuration; TEST.TRACKER is mil, nano, csrt or kcf.
        weights: for nano the folder of its two ONNX files; None for the others.
        device: ignored, OpenCV runs on the CPU.

    Raises:
        UserError: the folder lacks one of the two files.
        MachineError: this OpenCV has no such tracker.
    """

    def __init__(self, config: Any, weights: Any = None, device: Any = "cpu") -> None:
        self.name = config.TEST.TRACKER
        self.files = _nano_files(weights) if self.name == "nano" else None
        self._tracker = self._create()  # so that a missing tracker is known before the first frame
        self._box: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)

    def initialize(self, frame: np.ndarray, box: Sequence[float]) -> Result:
        self._tracker = self._create()
        if os.name == "posix":  # MIL draws its features with rand() of C: the same ones every time
            ctypes.CDLL(None).srand(1)
        x, y, w, h = map(float, box)
        self._box = (x, y, w, h)
        self._tracker.init(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR), self._whole_pixels(x, y, w, h))
        return Result(self._box, 1.0, True)

    def track(self, frame: np.ndarray) -> Result:
        found, box = self._tracker.update(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if found:
            x, y, w, h = map(float, box)
            self._box = (x, y, w, h)
        score = float(found) if self.name != "nano" else float(self._tracker.getTrackingScore())
        return Result(self._box, score, bool(found))

    def _whole_pixels(self, x, y, w, h):
        """The box in whole px, as OpenCV takes it. MIL gets at least 5 px: below that its init never returns."""
        least = 5 if self.name == "mil" else 1
        width, height = max(least, round(w)), max(least, round(h))
        return round(x + (w - width) / 2), round(y + (h - height) / 2), width, height

    def _create(self):
        if self.name == "nano":
            parameters = cv2.TrackerNano_Params()
            parameters.backbone, parameters.neckhead = map(str, self.files)
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # OpenCV 5 warns each time, twice
            return cv2.TrackerNano_create(parameters)
        create = vars(cv2).get(f"Tracker{self.name.upper()}_create")
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
