"""A tracking function for CVAT: its users track with a tracker of this project (docs.cvat.ai, auto-annotation API).

    pip install cvat-cli
    cvat-cli --server-host HOST function create-native lunar --function-file docs/recipes/cvat_function.py
    cvat-cli --server-host HOST function run-agent ID --function-file docs/recipes/cvat_function.py

`-p family=str:opencv -p config=str:mil` in both commands takes another tracker.
"""

import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import load_tracker  # noqa: E402 -- of this checkout; installed: from lunar_tracking import load_tracker


class Follow:
    """The three methods that CVAT calls. A shape is a rectangle: left, top, right, bottom in px."""

    def __init__(self, family, config):
        import cvat_sdk.auto_annotation as cvat

        self._cvat, self._names = cvat, (family, config)
        load_tracker(*self._names)  # what is wrong is said at the start
        self.spec = cvat.TrackingFunctionSpec(supported_shape_types=["rectangle"])

    def preprocess_image(self, context, image):
        return np.ascontiguousarray(image.convert("RGB"))

    def init_tracking_state(self, context, frame, shape):
        left, top, right, bottom = shape.points
        tracker = load_tracker(*self._names)
        tracker.initialize(frame, (left, top, right - left, bottom - top))
        return tracker

    def track(self, context, frame, tracker):
        result = tracker.track(frame)
        if not result.present:
            return None
        x, y, w, h = result.box
        return self._cvat.TrackableShape(type="rectangle", points=[x, y, x + w, y + h])


def create(family="lunar", config="tiny"):
    """What CVAT's command line calls."""
    return Follow(family, config)
