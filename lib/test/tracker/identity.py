"""The first box for ever: a floor that every tracker must beat, and a probe of the runner."""


class IdentityTracker:
    def __init__(self, config, weights=None, device="cpu"):
        self._result = None

    def initialize(self, image, info):
        self._result = {"target_bbox": [float(value) for value in info["init_bbox"]], "score": 1.0, "present": True}
        return self._result

    def track(self, image, info=None):
        return self._result
