"""The online tracker of STTrack: crop, network, box, and the query that is passed on."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch

from ... import registry
from ...contracts import LockstepTracker, Result
from ...models.parts.precision import autocast
from ...models.parts.transformer import Tokens
from ...models.parts.weights import load_weights
from ...models.sttrack import QueryState, STTrack
from .corner_crops import Cropper

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What the tracker knows of its target.

    Attributes:
        box_xywh (4,): the last reported box, px.
        template: tokens of the first frame's template.
        query: what the network carries from frame to frame.
    """

    box_xywh: np.ndarray
    template: Tokens
    query: QueryState


class STTrackTracker(LockstepTracker):
    """The tracker of script `sttrack`. The network gives no score: its results have the score 1.

    Args:
        config: an `sttrack` configuration.
        weights: a checkpoint, or None for random weights.
        device: as torch names it.
        network: one to take instead of building it; its gradients are turned off.

    Raises:
        UserError: the weights do not fit the configuration.
    """

    partial = True

    def __init__(
        self,
        config: Any,
        weights: str | PathLike | None = None,
        device: str | torch.device = "cpu",
        network: STTrack | None = None,
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.cropper = Cropper(config, self.device)
        self.network = network if network is not None else registry.network("sttrack", config)
        if weights is not None:
            log.info("weights: %s", load_weights(self.network, weights))
        self.network.to(self.device).eval().requires_grad_(False)

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        box = np.asarray(box, np.float64)
        with autocast(self.device.type, self.config.TEST.PRECISION):
            template = self.network.encode(*self.cropper.template(frame, box))
        return State(box, template, self.network.start(1))

    @torch.inference_mode()
    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        crops, images, padding = self.cropper.search([state.box_xywh for state in states], frames)
        template = Tokens.join([state.template for state in states])
        query = QueryState.join([state.query for state in states])
        with autocast(self.device.type, self.config.TEST.PRECISION):
            output, _, query = self.network.step(template, self.network.encode(images, padding), query)
        boxes = self.cropper.boxes(crops, output.boxes_xyxy, frames)
        ends = [State(box, state.template, each)
                for box, state, each in zip(boxes, states, query.split(), strict=True)]  # fmt: skip
        return ends, [Result(tuple(box.tolist()), 1.0, True) for box in boxes]
