"""Lunar Tracking: trackers of one tiny object through dark video, and what it takes to train and to judge them.

tracker = load_tracker("lunar", "tiny")
tracker.initialize(frame, box)      # frame (H, W, 3) uint8 RGB; box x, y, w, h in px
result = tracker.track(next_frame)  # result.box, result.score, result.present
"""

import os

# What OpenCV would print on its own about a bad file is in our one-line errors; a user's own setting wins.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

__version__ = "0.1.0"

from .api import evaluate, list_trackers, load_dataset, load_tracker, score  # noqa: E402
from .contracts import Result, Tracker  # noqa: E402

__all__ = [
    "Result",
    "Tracker",
    "__version__",
    "evaluate",
    "list_trackers",
    "load_dataset",
    "load_tracker",
    "score",
]
