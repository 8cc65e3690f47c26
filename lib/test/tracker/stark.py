"""The online tracker of STARK: crop, network, box, and for STARK-ST a later template."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np
import torch

from ... import registry
from ...contracts import LockstepTracker, Result
from ...models.parts.precision import autocast
from ...models.parts.transformer import Tokens
from ...models.parts.weights import load_weights
from ...models.stark import Stark
from .corner_crops import Cropper
from .stark_rules import replaces_template

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class State:
    """What the tracker knows of its target.

    Attributes:
        box_xywh (4,): the last reported box, px.
        templates: tokens of the first frame's template and, with two templates, of a later one.
        frame: number of the last frame, from 0.
    """

    box_xywh: np.ndarray
    templates: tuple[Tokens, ...]
    frame: int = 0


class StarkTracker(LockstepTracker):
    """The tracker of script `stark`.

    A network without a classification head gives no score: its results have the score 1.

    Args:
        config: a `stark` configuration.
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
        network: Stark | None = None,
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.cropper = Cropper(config, self.device)
        self.network = network if network is not None else registry.network("stark", config)
        if weights is not None:
            log.info("weights: %s", load_weights(self.network, weights))
        self.network.to(self.device).eval().requires_grad_(False)

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        box = np.asarray(box, np.float64)
        return State(box, (self._template(frame, box),) * self.config.DATA.TEMPLATE.NUMBER)

    @torch.inference_mode()
    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        crops, images, padding = self.cropper.search([state.box_xywh for state in states], frames)
        templates = [Tokens.join(column) for column in zip(*(state.templates for state in states), strict=True)]
        with autocast(self.device.type, self.config.TEST.PRECISION):
            output = self.network.track(templates, self.network.encode(images, padding))
        scores = [1.0] * len(states) if output.logits is None else output.logits.sigmoid().tolist()
        boxes = self.cropper.boxes(crops, output.boxes_xyxy, frames)
        ends = [self._conclude(*each) for each in zip(states, frames, boxes, scores, strict=True)]
        return ends, [Result(tuple(box.tolist()), score, True) for box, score in zip(boxes, scores, strict=True)]

    def _conclude(self, state: State, frame: np.ndarray, box: np.ndarray, score: float) -> State:
        test, number = self.config.TEST, state.frame + 1
        state = replace(state, box_xywh=box, frame=number)
        if len(state.templates) == 1 or not replaces_template(
            number, score, test.UPDATE_INTERVAL, test.UPDATE_THRESHOLD
        ):
            return state
        return replace(state, templates=(state.templates[0], self._template(frame, box)))

    def _template(self, frame: np.ndarray, box: np.ndarray) -> Tokens:
        with autocast(self.device.type, self.config.TEST.PRECISION):
            return self.network.encode(*self.cropper.template(frame, box))
