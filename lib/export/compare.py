"""By how much an engine differs from torch on frames of a video."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import ClipTracker, Run


def compare(tracker: Any, runs: Mapping[str, Run], frames: Any, box: Any, count: int) -> float:
    """The largest difference of any output of any stage, while torch tracks.

    Args:
        tracker: a LockstepTracker or a ClipTracker that is Staged, running by torch.
        runs: what else runs its stages.
        frames: a frame source.
        box: x, y, w, h of the target in the first frame (px); a ClipTracker does without.
        count: frames to track.
    """
    both = {stage.name: _Both(stage.module, runs[stage.name]) for stage in tracker.stages() if stage.name in runs}
    tracker.use(both)
    try:
        numbers = range(min(count, len(frames)))
        if isinstance(tracker, ClipTracker):
            tracker.track_clip(tracker.start(), [frames[number] for number in numbers], last=True)
        else:
            state = tracker.start(frames[0], box)
            for number in numbers[1:]:
                (state,), _ = tracker.track_frames([state], [frames[number]])
    finally:
        tracker.use({})
    return max(each.difference for each in both.values())


class _Both:
    """Runs a stage by torch and by another engine, returns what torch returns and keeps by how much they differ."""

    def __init__(self, module: nn.Module, run: Run) -> None:
        self.module, self.run, self.difference = module, run, 0.0

    def __call__(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        with torch.inference_mode():
            found = self.module(*tensors)
        for one, other in zip(found, self.run(tensors), strict=True):
            self.difference = max(self.difference, float((one.float() - other.float()).abs().max()))
        return found
