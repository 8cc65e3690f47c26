"""The online tracker of ATOM."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.atom import ATOM
from ...models.atom.build import build_network
from .atom_steps import AtomSettings, AtomState, first_frame, next_frame
from .online import OnlineTracker, crop_settings, refining_settings


class AtomTracker(OnlineTracker):
    """The tracker of script `atom`.

    Args:
        config: an `atom` configuration.
        weights, device: as for OnlineTracker.
        network: one to take instead of building it.
    """

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: ATOM | None = None,
    ) -> None:
        super().__init__(config, network if network is not None else build_network(config), weights, device)
        test = config.TEST
        self.settings = AtomSettings(
            **crop_settings(config.DATA, test),
            **refining_settings(test),
            channels=test.CHANNELS,
            first_steps=test.FIRST_STEPS,
            first_iterations=test.FIRST_ITERATIONS,
            iterations=test.ITERATIONS,
        )

    def first(self, frame: np.ndarray, box_xywh: list[float]) -> AtomState:
        return first_frame(self.network, frame, box_xywh, self.settings, self.uniform)

    def next(self, state: AtomState, frame: np.ndarray) -> AtomState:
        return next_frame(self.network, state, frame, self.settings, self.uniform)
