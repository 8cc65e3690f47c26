"""What a network is shown so that its int8 form knows the range of what it will see."""

from ...data import benchmarks
from .lunar import LunarTracker

FRAMES = 5  # of each video


def track_demo(config, network):
    """Track the first frames of the rendered demo with an ExportedLunar of this `lunar` configuration."""
    tracker = LunarTracker(config, network=network.network)
    tracker.network = network
    for sequence in benchmarks.load(benchmarks.DEMO):
        frames = sequence.frames()
        state = tracker.start(frames[0], sequence.first_box)
        for number in range(1, FRAMES):
            (state,), _ = tracker.track_frames([state], [frames[number]])
