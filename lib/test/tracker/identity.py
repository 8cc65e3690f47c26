"""A tracker that reports the first box in every frame: every tracker must beat it, and it tests the runner."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...contracts import Result, Tracker


class IdentityTracker(Tracker):
    """The tracker of script `identity`. It needs no weights and no device.

    Args:
        config: an `identity` configuration; nothing of it is read.
        weights: None.
        device: ignored.
    """

    def __init__(self, config: Any, weights: Any = None, device: Any = "cpu") -> None:
        self._result: Result | None = None

    def initialize(self, frame: np.ndarray, box: Sequence[float]) -> Result:
        x, y, w, h = map(float, box)
        self._result = Result((x, y, w, h), 1.0, True)
        return self._result

    def track(self, frame: np.ndarray) -> Result:
        assert self._result is not None, "initialize comes first"
        return self._result
