"""Several runs through each video: a tracker is started at anchors spread over it, and goes to the farther end.

After VOT2020 (Kristan et al., The Eighth Visual Object Tracking VOT2020 Challenge Results, 2020), whose anchors are
about SPACING frames apart. One run from the first frame tells little of a short video: a target that is half hidden
there, or a tracker that loses it early by chance, decides for all of its frames.
"""

from dataclasses import dataclass, replace

import numpy as np

from .frames import OrderedFrames
from .sequence import Sequence

SPACING = 50  # frames between anchors, about


def runs(sequence):
    """The runs of a Sequence, in order of their anchors: a Sequence each, called `<sequence>@<frame of its anchor>`.

    Anchors are spread evenly from the first frame to the last, and each is moved to the nearest frame where the target
    is visible. A run goes forwards where at least as many frames come after its anchor as before it, else backwards.
    """
    last = len(sequence) - 1
    places = np.linspace(0, last, max(1, round(last / SPACING)) + 1)
    seen = np.flatnonzero(sequence.visible) if sequence.visible.any() else np.zeros(1, int)
    anchors = sorted({int(seen[np.abs(seen - place).argmin()]) for place in places})
    return [_run(sequence, anchor, last) for anchor in anchors]


def _run(sequence, anchor, last):
    order = range(anchor, last + 1) if 2 * anchor <= last else range(anchor, -1, -1)
    return replace(
        sequence,
        name=f"{sequence.name}@{anchor}",
        boxes_xywh=sequence.boxes_xywh[order],
        visible=sequence.visible[order],
        opener=_Opener(sequence, order),
        windows=None if sequence.windows is None else sequence.windows[order],
        frame_attributes={word: flags[order] for word, flags in sequence.frame_attributes.items()},
    )


@dataclass(frozen=True)
class _Opener:
    sequence: Sequence
    order: range

    def __call__(self):
        return OrderedFrames(self.sequence.frames(), self.order)
