"""The online tracker of KeepTrack."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import config as configuration
from ...config.paths import paths
from ...models.dimp import DiMP
from ...models.keep_track import KeepTrack
from ...models.keep_track.build import build_network
from .candidates import IdentityRule
from .dimp import DiMPTracker, settings_of
from .keep_track_steps import KeepTrackSettings, KeepTrackState, first_frame, next_frame
from .online import OnlineTracker
from .weights import find_weights

BASE = "dimp"  # script of the network that finds the candidates


class KeepTrackTracker(OnlineTracker):
    """The tracker of script `keep_track`.

    It has two files of weights: `weights` are those of the matching network. Those of the network that finds the
    candidates are where MODEL.BASE, a configuration of another script, has them.

    Args:
        config: a `keep_track` configuration.
        weights, device: as for OnlineTracker.
        network: a matching network to take instead of building it.
        base: a network to take in the place of the one of MODEL.BASE.

    Raises:
        UserError: weights are missing, or do not fit.
    """

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: KeepTrack | None = None,
        base: DiMP | None = None,
    ) -> None:
        other = configuration.load(BASE, config.MODEL.BASE)
        known = None if base is not None else find_weights(BASE, config.MODEL.BASE, other, paths())
        super().__init__(config, network if network is not None else build_network(config), weights, device)
        self.base = DiMPTracker(other, known, device, base).network
        test = config.TEST
        self.settings = KeepTrackSettings(
            settings_of(other.DATA, test, softmax=False),
            candidate=test.CANDIDATE,
            identity=IdentityRule(test.MATCH, test.WEAK_MATCH, test.WEAK_SCORE, reselect=test.NOT_FOUND),
            certainty=test.CERTAINTY,
        )

    def first(self, frame: np.ndarray, box_xywh: list[float]) -> KeepTrackState:
        return first_frame(self.base, frame, box_xywh, self.settings, self.uniform)

    def next(self, state: KeepTrackState, frame: np.ndarray) -> KeepTrackState:
        return next_frame(self.base, self.network, state, frame, self.settings, self.uniform)
