"""What the online trackers with a corner head share: crops, boxes, and the engine that runs the network."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ... import registry
from ...contracts import LockstepTracker, Run, Staged
from ...data.crop import Crop
from ...models.parts.precision import autocast
from ...models.parts.transformer import Tokens
from ...models.parts.weights import load_weights
from .engine import choose_engine
from .stark_rules import extract, next_box, window

log = logging.getLogger(__name__)


class CornerTracker(LockstepTracker, Staged):
    """Base of trackers whose network predicts the corners of one box. A family adds its stages and its state.

    Args:
        config: a configuration with DATA.SEARCH, DATA.TEMPLATE, MODEL.FAITHFUL and TEST.
        weights: a checkpoint, or None for random weights.
        device: torch's name of the device.
        network: a network to use instead of building one. Torch runs it, and its gradients are turned off.

    Attributes:
        script: name of the family.

    Raises:
        UserError: the weights do not fit the configuration, or TEST.BACKEND does not run on this device.
    """

    partial = True
    script: str

    def __init__(
        self,
        config: Any,
        weights: str | Path | None = None,
        device: str | torch.device = "cpu",
        network: nn.Module | None = None,
    ) -> None:
        self.config, self.device = config, torch.device(device)
        self.data, self.test, self.faithful = config.DATA, config.TEST, config.MODEL.FAITHFUL
        self.network = registry.network(self.script, config) if network is None else network
        if weights is not None:
            log.info("weights: %s", load_weights(self.network, weights))
        self.network.to(self.device).eval().requires_grad_(False)
        self._modules = {stage.name: stage.module for stage in self.stages()}
        if network is None:
            choose_engine(self, config, self.device)

    def use(self, runs: Mapping[str, Run]) -> None:
        """As in Staged."""
        self.runs = runs

    def encode_template(self, frame: np.ndarray, box: np.ndarray) -> Tokens:
        """Tokens of the template around a box (4,) xywh px."""
        section = self.data.TEMPLATE
        crop = window(box, section.FACTOR, section.SIZE, section.MIN_SIDE, frame.shape[1::-1], self.faithful)
        return Tokens(*self._run("template", self._tensors([extract(crop, frame, self.faithful)])))

    def find(
        self, boxes: Sequence[np.ndarray], frames: Sequence[np.ndarray], state: Sequence[Tensor]
    ) -> tuple[list[np.ndarray], list[Tensor]]:
        """Run the stage `track`.

        Args:
            boxes (B): (4,) xywh px, the last boxes.
            frames (B): (H, W, 3) uint8 RGB.
            state: further inputs of the stage.

        Returns:
            The new boxes (B), each (4,) xywh px, and the further outputs of the stage.
        """
        section, factor = self.data.SEARCH, self.test.SEARCH_FACTOR or self.data.SEARCH.FACTOR
        crops = [
            window(box, factor, section.SIZE, section.MIN_SIDE, frame.shape[1::-1], self.faithful)
            for box, frame in zip(boxes, frames, strict=True)
        ]
        cut = [extract(crop, frame, self.faithful) for crop, frame in zip(crops, frames, strict=True)]
        found, *rest = self._run("track", [*self._tensors(cut), *state])
        return [self._box(*each) for each in zip(crops, found.tolist(), frames, strict=True)], rest

    def _box(self, crop: Crop, corners: Sequence[float], frame: np.ndarray) -> np.ndarray:
        return next_box(crop, corners, frame.shape[1::-1], self.test.MIN_BOX, self.faithful)

    def _run(self, name: str, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        run = self.runs.get(name)
        with autocast(self.device.type, self.test.PRECISION), self.span(name):
            return run(inputs) if run else self._modules[name](*inputs)

    def _tensors(self, cut: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[Tensor, Tensor]:
        """Crops and their padding as images (B, 3, S, S) uint8 and padding (B, S, S) bool."""
        images, padding = (np.stack(each) for each in zip(*cut, strict=True))
        return torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2), torch.from_numpy(padding).to(self.device)
