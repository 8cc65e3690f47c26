"""The online tracker of STARK. STARK-ST also has an online template that is updated while tracking."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from ...contracts import Result, Stage
from ...models.parts.transformer import Tokens
from ...models.stark.stages import stages
from .corner import CornerTracker
from .stark_rules import replaces_template


@dataclass(frozen=True)
class State:
    """State of one target after a frame.

    Attributes:
        box_xywh (4,): the last reported box, px.
        templates: tokens of the first frame's template and, with two templates, of the online template.
        frame: number of the last frame, from 0.
    """

    box_xywh: np.ndarray
    templates: tuple[Tokens, ...]
    frame: int = 0


class StarkTracker(CornerTracker):
    """The tracker of script `stark`. Arguments: see CornerTracker.

    A network without a classification head predicts no score, so its results have score 1.
    """

    script = "stark"

    def stages(self) -> list[Stage]:
        """As in Staged."""
        data = self.data
        return stages(self.network, data.TEMPLATE.SIZE, data.SEARCH.SIZE, data.TEMPLATE.NUMBER)

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        first = np.array(box, np.float64)
        return State(first, (self.encode_template(frame, first),) * self.data.TEMPLATE.NUMBER)

    @torch.inference_mode()
    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        templates = [Tokens.join(column) for column in zip(*(state.templates for state in states), strict=True)]
        tensors = [tensor for tokens in templates for tensor in tokens]
        boxes, rest = self.find([state.box_xywh for state in states], frames, tensors)
        scores = rest[0].sigmoid().tolist() if rest else [1.0] * len(states)
        ends = [self._conclude(*each) for each in zip(states, frames, boxes, scores, strict=True)]
        return ends, [Result(tuple(box.tolist()), score, True) for box, score in zip(boxes, scores, strict=True)]

    def _conclude(self, state: State, frame: np.ndarray, box: np.ndarray, score: float) -> State:
        test, number = self.test, state.frame + 1
        state = replace(state, box_xywh=box, frame=number)
        if len(state.templates) == 1 or not replaces_template(
            number, score, test.UPDATE_INTERVAL, test.UPDATE_THRESHOLD
        ):
            return state
        return replace(state, templates=(state.templates[0], self.encode_template(frame, box)))
