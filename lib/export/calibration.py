"""What a tracker is shown so that the int8 form of its network knows the range of what it will see."""

from ..contracts import LockstepTracker
from ..data import benchmarks

FRAMES = 5  # of each video


def track_demo(tracker: LockstepTracker) -> None:
    """Track the first frames of the rendered demo."""
    for sequence in benchmarks.load(benchmarks.DEMO):
        frames = sequence.frames()
        state = tracker.start(frames[0], sequence.first_box)
        for number in range(1, FRAMES):
            (state,), _ = tracker.track_frames([state], [frames[number]])
