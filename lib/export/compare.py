"""By how much an engine differs from torch on frames of a video."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts import LockstepTracker, Run


def compare(tracker: LockstepTracker, runs: Mapping[str, Run], frames: Any, box: Any, count: int) -> float:
    """The largest difference of any output of any stage, while torch tracks.

    Args:
        tracker: a LockstepTracker that is Staged, running by torch.
        runs: what else runs its stages.
        frames: a frame source.
        box: x, y, w, h of the target in the first frame (px).
        count: frames to track.
    """
    both = {stage.name: _Both(stage.module, runs[stage.name]) for stage in tracker.stages() if stage.name in runs}
    tracker.use(both)
    try:
        state = tracker.start(frames[0], box)
        for number in range(1, min(count, len(frames))):
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
