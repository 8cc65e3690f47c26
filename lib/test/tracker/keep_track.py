"""The online tracker of KeepTrack."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ... import config as configuration
from ...config.paths import paths
from ...errors import UserError
from ...models.dimp import DiMP
from ...models.keep_track import KeepTrack
from ...models.keep_track.build import build_network
from . import keep_track_steps
from .candidates import IdentityRule
from .dimp import DiMPTracker, make_settings
from .dimp_steps import Seen, Uniform
from .engine import choose_engine
from .keep_track_steps import KeepTrackSettings, KeepTrackState
from .online import LOOK, OnlineTracker
from .weights import find_weights

BASE = "dimp"  # script of MODEL.BASE, whose network finds the candidates


def base_of(config: Any) -> Any:
    """The configuration that MODEL.BASE names. Raises UserError if its backbone is not MODEL.BACKBONE."""
    base = configuration.load(BASE, config.MODEL.BASE)
    own, expected = dict(config.MODEL.BACKBONE), dict(base.MODEL.BACKBONE)
    if own != expected:
        raise UserError(f"MODEL.BACKBONE {own}: expected {expected}, that of {BASE} {config.MODEL.BASE}")
    return base


class KeepTrackTracker(OnlineTracker):
    """The tracker of script `keep_track`.

    It uses two files of weights. `weights` belongs to the matching network. The network that finds the candidates has
    its own file, which is looked up for MODEL.BASE, a configuration of the script `dimp`.

    Args:
        config: a `keep_track` configuration.
        weights: a checkpoint of the matching network; None for random weights.
        device: torch's name of the device.
        network: a matching network to use instead of building one.
        base: a network to use instead of the one that MODEL.BASE names.

    Raises:
        UserError: weights are missing or do not fit.
    """

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: KeepTrack | None = None,
        base: DiMP | None = None,
    ) -> None:
        name = config.MODEL.BASE
        self.base_config = base_of(config)
        base_weights = None if base is not None else find_weights(BASE, name, self.base_config, paths())
        super().__init__(config, weights, device, build_network(config) if network is None else network)
        self.base = DiMPTracker(self.base_config, base_weights, device, base).network
        if network is None and base is None:
            choose_engine(self, config, self.device)

    @property
    def seeing(self) -> DiMP:
        return self.base

    def make_settings(self) -> KeepTrackSettings:
        test = self.config.TEST
        return KeepTrackSettings(
            make_settings(self.base_config.DATA, test, softmax=False),
            candidate=test.CANDIDATE,
            identity=IdentityRule(test.MATCH, test.WEAK_MATCH, test.WEAK_SCORE, reselect=test.NOT_FOUND),
            certainty=test.CERTAINTY,
        )

    def first(self, frame: np.ndarray, box_xywh: list[float], uniform: Uniform) -> KeepTrackState:
        return keep_track_steps.first_frame(self.base, frame, box_xywh, self.settings, uniform)

    def look(self, targets: Sequence[Any], frames: Sequence[np.ndarray]) -> list[Seen]:
        with self.span(LOOK):
            return keep_track_steps.look(self.base, targets, frames, self.settings, self.see)

    def next(self, target: Any, seen: Seen, uniform: Uniform) -> KeepTrackState:
        return keep_track_steps.next_state(self.base, self.network, target, seen, self.settings, uniform)
