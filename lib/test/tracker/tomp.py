"""The online tracker of ToMP."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.tomp import ALIAS, ToMP
from ...models.tomp.build import build_network
from .online import OnlineTracker, crop_settings
from .tomp_steps import ToMPSettings, ToMPState, first_frame, next_frame

LEAST = 10.0  # px: the original's smallest side of a box


class ToMPTracker(OnlineTracker):
    """The tracker of script `tomp`.

    Args:
        config: a `tomp` configuration.
        weights, device: as for OnlineTracker.
        network: one to take instead of building it.
    """

    unused = (*OnlineTracker.unused, ALIAS)

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: ToMP | None = None,
    ) -> None:
        super().__init__(config, network if network is not None else build_network(config), weights, device)
        crops, stride = crop_settings(config.DATA, config.TEST), self.network.stride
        self.settings = ToMPSettings(
            **crops,
            remember=config.TEST.REMEMBER,
            least=LEAST if config.TEST.FAITHFUL else config.TEST.MIN_BOX,
            sigma=crops["size"] / stride / crops["factor"] / 4,
            stride=stride,
        )

    def first(self, frame: np.ndarray, box_xywh: list[float]) -> ToMPState:
        return first_frame(self.network, frame, box_xywh, self.settings)

    def next(self, state: ToMPState, frame: np.ndarray) -> ToMPState:
        return next_frame(self.network, state, frame, self.settings)
