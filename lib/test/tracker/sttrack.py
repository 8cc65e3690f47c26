"""The online tracker of STTrack: STARK with a query that is passed from frame to frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...contracts import Result, Stage
from ...models.parts.transformer import Tokens
from ...models.sttrack import QueryState
from ...models.sttrack.stages import stages
from .corner import CornerTracker


@dataclass(frozen=True)
class State:
    """State of one target after a frame.

    Attributes:
        box_xywh (4,): the last reported box, px.
        template: tokens of the first frame's template.
        query: state of the query for the next frame.
    """

    box_xywh: np.ndarray
    template: Tokens
    query: QueryState


class STTrackTracker(CornerTracker):
    """The tracker of script `sttrack`. Arguments: see CornerTracker.

    The network predicts no score, so its results have score 1.
    """

    script = "sttrack"

    def stages(self) -> list[Stage]:
        """As in Staged."""
        return stages(self.network, self.data.TEMPLATE.SIZE, self.data.SEARCH.SIZE)

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        first = np.array(box, np.float64)
        return State(first, self.encode_template(frame, first), self.network.start(1))

    @torch.inference_mode()
    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        template = Tokens.join([state.template for state in states])
        query = QueryState.join([state.query for state in states])
        boxes, tensors = self.find([state.box_xywh for state in states], frames, [*template, *query.tensors()])
        query = QueryState(*tensors) if self.test.QUERY else self.network.start(len(states))
        ends = [State(box, state.template, each) for box, state, each in zip(boxes, states, query.split(), strict=True)]
        return ends, [Result(tuple(box.tolist()), 1.0, True) for box in boxes]
