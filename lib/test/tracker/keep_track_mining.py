"""The target candidates that the base tracker of KeepTrack finds in training videos."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...config.paths import paths
from ...data.crop import Crop
from ...models.parts.matching import find_candidates
from ..evaluation.provenance import file_digest
from . import dimp_steps
from .dimp import DiMPTracker
from .discriminative import extract_window
from .keep_track import BASE, base_of
from .online import uniform_numbers
from .weights import find_weights


class Miner:
    """Runs the tracker MODEL.BASE through videos. See `mine` of contracts.Family.

    Args:
        config: a `keep_track` configuration.
        weights: a checkpoint of the base tracker; None for the usual one.
        device: torch's name of the device.

    Attributes:
        made_from: what the candidates depend on.

    Raises:
        UserError: weights are missing or do not fit.
    """

    def __init__(self, config: Any, weights: str | Path | None, device: Any) -> None:
        name = config.MODEL.BASE
        base = base_of(config)
        weights = find_weights(BASE, name, base, paths(), weights)
        self.tracker, self.threshold = DiMPTracker(base, weights, device), config.TEST.CANDIDATE
        self.made_from = {"base": name, "weights": file_digest(weights)["sha256"][:16], "threshold": self.threshold}

    def __call__(
        self, frames: Sequence[np.ndarray], first: int, box_xywh: Sequence[float]
    ) -> Iterator[tuple[Crop, np.ndarray, np.ndarray]]:
        """Track a video.

        Args:
            frames: (H, W, 3) uint8 RGB each.
            first: number of the frame to start on.
            box_xywh: the target in it, image px.

        Yields:
            Of every later frame the window of the search crop, the crop (S, S, 3) uint8, and the candidates (K, 5),
            highest score first: row and column in the score map, score, and width and height of the frame, px.
        """
        tracker = self.tracker
        target: Any = tracker.start(frames[first], box_xywh).target
        for number in range(first + 1, len(frames)):
            frame = frames[number]
            (seen,) = tracker.look([target], [frame])
            scores = dimp_steps.score_map(target.filters, seen, tracker.settings.softmax)
            cells, values = find_candidates(scores, self.threshold)
            window, (height, width) = seen.window, frame.shape[:2]
            (cy, cx), side = window.centre, window.bottom - window.top
            rows = [(*cell, score, width, height) for cell, score in zip(cells.tolist(), values.tolist(), strict=True)]
            yield Crop(cx, cy, side, window.size), extract_window(frame, window), np.array(rows).reshape(-1, 5)
            target = tracker.next(target, seen, uniform_numbers(number - first))
