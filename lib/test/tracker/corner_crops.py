"""Crops of trackers with a corner head, from boxes in frames to tensors, and boxes back."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from ...data.crop import Crop
from .stark_rules import extract, next_box, window


class Cropper:
    """Crops of a tracker as its network takes them, and boxes back from it.

    Args:
        config: a configuration with DATA.SEARCH, DATA.TEMPLATE, MODEL.FAITHFUL and TEST.
        device: where tensors go.
    """

    def __init__(self, config: Any, device: torch.device) -> None:
        self.data, self.test, self.faithful = config.DATA, config.TEST, config.MODEL.FAITHFUL
        self.device = device

    def template(self, frame: np.ndarray, box: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        """Image (1, 3, Z, Z) uint8 and padding (1, Z, Z) bool of the template around a box (4,) xywh."""
        part = self.data.TEMPLATE
        crop = window(box, part.FACTOR, part.SIZE, part.MIN_SIDE, frame.shape[1::-1], self.faithful)
        return self._tensors([extract(crop, frame, self.faithful)])

    def search(
        self, boxes: Sequence[np.ndarray], frames: Sequence[np.ndarray]
    ) -> tuple[list[Crop], torch.Tensor, torch.Tensor]:
        """Crops around boxes (4,) xywh of B frames, images (B, 3, S, S) uint8 and padding (B, S, S) bool."""
        part, factor = self.data.SEARCH, self.test.SEARCH_FACTOR or self.data.SEARCH.FACTOR
        crops = [
            window(box, factor, part.SIZE, part.MIN_SIDE, frame.shape[1::-1], self.faithful)
            for box, frame in zip(boxes, frames, strict=True)
        ]
        cut = [extract(crop, frame, self.faithful) for crop, frame in zip(crops, frames, strict=True)]
        return crops, *self._tensors(cut)

    def boxes(self, crops: Sequence[Crop], found_xyxy: torch.Tensor, frames: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The boxes (4,) xywh px of B frames that corners (B, 4) in shares of the crops stand for."""
        return [
            next_box(crop, corners, frame.shape[1::-1], self.test.MIN_BOX, self.faithful)
            for crop, corners, frame in zip(crops, found_xyxy.tolist(), frames, strict=True)
        ]

    def _tensors(self, cut: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[torch.Tensor, torch.Tensor]:
        images, padding = (np.stack(each) for each in zip(*cut, strict=True))
        image = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)
        return image, torch.from_numpy(padding).to(self.device)
