"""The online tracker of DiMP, PrDiMP and Super-DiMP."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...models.dimp import DiMP
from ...models.dimp.build import build_network
from .dimp_steps import DiMPSettings, DiMPState, first_frame, next_frame
from .online import OnlineTracker, crop_settings, refining_settings


def settings_of(data: Any, test: Any, softmax: bool) -> DiMPSettings:
    """How to track, of sections DATA and TEST of a configuration; softmax: scores are those of a density."""
    return DiMPSettings(
        **crop_settings(data, test),
        **refining_settings(test),
        softmax=softmax,
        first_iterations=test.FIRST_ITERATIONS,
        iterations=test.ITERATIONS,
        hard_iterations=test.HARD_ITERATIONS,
    )


class DiMPTracker(OnlineTracker):
    """The tracker of script `dimp`.

    Args:
        config: a `dimp` configuration.
        weights, device: as for OnlineTracker.
        network: one to take instead of building it.
    """

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: DiMP | None = None,
    ) -> None:
        super().__init__(config, network if network is not None else build_network(config), weights, device)
        self.settings = settings_of(config.DATA, config.TEST, config.MODEL.CLASSIFIER.TYPE == "prdimp")

    def first(self, frame: np.ndarray, box_xywh: list[float]) -> DiMPState:
        return first_frame(self.network, frame, box_xywh, self.settings, self.uniform)

    def next(self, state: DiMPState, frame: np.ndarray) -> DiMPState:
        return next_frame(self.network, state, frame, self.settings, self.uniform)
