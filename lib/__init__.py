"""Lunar Tracking: trackers of one tiny object through dark video, and what it takes to train and to judge them.

tracker = load_tracker("lunar", "tiny")
tracker.initialize(frame, box)      # frame (H, W, 3) uint8 RGB; box x, y, w, h in px
result = tracker.track(next_frame)  # result.box, result.score, result.present
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import evaluate, list_trackers, load_dataset, load_tracker, score
    from .contracts import Result, Tracker

# What OpenCV would print on its own about a bad file is in our one-line errors; a user's own setting wins.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

__version__ = "0.1.0"

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


def __getattr__(name: str) -> Any:
    """Import what __all__ names when it is first used, so that --help does not wait for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "contracts" if name in ("Result", "Tracker") else "api"
    return getattr(importlib.import_module(f".{module}", __name__), name)


def __dir__() -> list[str]:
    return __all__
