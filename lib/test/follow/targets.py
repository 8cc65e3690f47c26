"""One or several targets in one video, whatever tracker follows them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from ...contracts import LockstepTracker, Result, Tracker


class Targets:
    """Follows targets by their names. A tracker that works in lockstep takes all of them as one batch.

    Args:
        build: makes the tracker. It is called once for all targets if that tracker works in lockstep, else once for
            each.

    Attributes:
        tracker: the first that was built.
    """

    def __init__(self, build: Callable[[], Tracker]):
        self._build = build
        self.tracker = build()
        self._states: dict[Hashable, Any] = {}

    def start(self, frame: np.ndarray, boxes: Mapping[Hashable, Sequence[float]]) -> dict[Hashable, Result]:
        """Start on the first frame (H, W, 3), uint8 RGB, with {name: (x, y, w, h) in px}, and forget all before."""
        if isinstance(self.tracker, LockstepTracker):
            self._states = {name: self.tracker.start(frame, box) for name, box in boxes.items()}
            return {name: Result((x, y, w, h), 1.0, True) for name, (x, y, w, h) in boxes.items()}
        self._states, results = {}, {}
        for name, box in boxes.items():
            tracker = self.tracker if not self._states else self._build()
            results[name] = tracker.initialize(frame, box)
            self._states[name] = tracker
        return results

    def track(self, frame: np.ndarray) -> dict[Hashable, Result]:
        """Find every target in the next frame."""
        if isinstance(self.tracker, LockstepTracker):
            states, found = self.tracker.track_frames(list(self._states.values()), [frame] * len(self._states))
            self._states = dict(zip(self._states, states, strict=True))
        else:
            found = [tracker.track(frame) for tracker in self._states.values()]
        return dict(zip(self._states, found, strict=True))

    @property
    def states(self) -> dict[Hashable, Any] | None:
        """{name: its state after the last frame}, of which `go_on` goes on; None where the tracker's is no value."""
        return self._states if isinstance(self.tracker, LockstepTracker) else None

    def go_on(self, states: Mapping[Hashable, Any]) -> None:
        """Go on from such states, as if every frame before had been tracked."""
        self._states = dict(states)
