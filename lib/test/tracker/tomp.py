"""The online tracker of ToMP."""

from typing import Any

import numpy as np

from ...models.tomp import ALIAS
from . import tomp_steps
from .dimp_steps import Seen, Uniform
from .online import OnlineTracker, crop_settings
from .tomp_steps import ToMPSettings, ToMPState

RELEASED_MIN_BOX = 10.0  # smallest side of a box in the released tracker, px


class ToMPTracker(OnlineTracker):
    """The tracker of script `tomp`. Nothing in it is random. Arguments: see OnlineTracker."""

    script = "tomp"
    steps = tomp_steps
    unused = (*OnlineTracker.unused, ALIAS)

    def make_settings(self) -> ToMPSettings:
        test, stride = self.config.TEST, self.network.stride
        crops = crop_settings(self.config.DATA, test)
        return ToMPSettings(
            **crops,
            remember=test.REMEMBER,
            min_box=RELEASED_MIN_BOX if test.FAITHFUL else test.MIN_BOX,
            sigma=crops["size"] / stride / crops["factor"] / 4,
            stride=stride,
        )

    def first(self, frame: np.ndarray, box_xywh: list[float], uniform: Uniform) -> ToMPState:
        return tomp_steps.first_frame(self.network, frame, box_xywh, self.settings)

    def next(self, target: Any, seen: Seen, uniform: Uniform) -> ToMPState:
        return tomp_steps.next_state(self.network, target, seen, self.settings)
