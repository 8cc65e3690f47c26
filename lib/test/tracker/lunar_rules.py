"""The rules of the one-stream tracker: where to look, what to report, what to keep. They need no torch.

All that is carried from frame to frame is one `State`, a value that goes in and comes out. Spec tracker.md A.6 and A.8.
Who runs the network is a subclass: lunar.py by torch, lunar_light.py by ONNX Runtime alone.
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...contracts import LockstepTracker, Result
from ...data import boxes
from ...data.crop import Crop, coverage, window_side
from . import motion as kalman
from . import window

MAX_SIZE_CHANGE = math.log(2)  # a frame whose box is this far (in log size) from the recent median is no template
RECENT = 10  # confident frames whose sizes make that median
HANN = ("blend", "mult")  # values of TEST.WINDOW that are Hann windows
SETTLED = 5  # confident frames in a row before a frame may become a template
UPDATE_INTERVAL = 25  # frames between updates of the online templates
UPDATE_SCORE = 0.7  # above which a frame may become a template
LOST_FRAMES = 3  # frames in a row below TEST.CONFIDENCE after which the target counts as lost
LOST_GROWTH, LOST_MAX_GROWTH = 1.15, 4.0  # of the search window: in each further frame, and in all
LOST_INFLUENCE = 0.1  # that of the Hann window then


@dataclass(frozen=True)
class State:
    """What the tracker knows of its target.

    Attributes:
        box_xywh (4): the last reported box (px).
        patches: template crops (uint8 (Z, Z, 3)) with their masks; the first frame's always comes first.
        template: what the network made of them.
        motion: Kalman filter of the centre.
        low_confidence_frames: frames in a row with a confidence below TEST.CONFIDENCE.
        confident_frames: frames in a row at or above it.
        sizes: sqrt(w h) of the last confident frames (px).
        frame: number of the last frame.
        brightness: mean brightness of the frames so far, for the enhancer's gate; None without an enhancer.
        memory: frames averaged over time, where the enhancer asks for it.
        query: the query's state, where the network has one.
        correction (2): factors of the width and height that the network finds, see `window.correction_of_sizes`.
        objects: association.Objects in the last frame; None without TEST.ASSOCIATE.
    """

    box_xywh: np.ndarray
    patches: tuple
    template: Any
    motion: kalman.Motion
    low_confidence_frames: int = 0
    confident_frames: int = SETTLED
    sizes: tuple = ()
    frame: int = 0
    brightness: float | None = None
    memory: Any = None
    query: Any = None
    correction: np.ndarray | None = None
    objects: Any = None


class OneStreamRules(LockstepTracker):
    """What the tracker does around its network. A subclass runs the network.

    Args:
        config: a `lunar` configuration.

    Attributes:
        remembers: whether the network has a query.
        span: called with the name of what is done next; returns a context that lasts as long. A profiler replaces it.
    """

    remembers: bool = False
    span: Callable[[str], AbstractContextManager] = nullcontext

    def __init__(self, config: Any) -> None:
        self.config = config
        self.cells = config.DATA.SEARCH.SIZE // config.MODEL.HEAD.STRIDE

    @abstractmethod
    def _encode(self, patches: Sequence[tuple], level: float | None) -> Any:
        """What the network remembers of pairs (template crop (Z, Z, 3) uint8, mask (Lz)). level: State.brightness."""

    @abstractmethod
    def _first_query(self) -> Any:
        """The state of the query before the first frame."""

    @abstractmethod
    def _look(self, states: Sequence[State], patches: np.ndarray, crops: Sequence[Crop]) -> Any:
        """What the network makes of search patches (B, S, S, 3) uint8 of `crops`, for `_find` and `_write`."""

    @abstractmethod
    def _find(self, look: Any, hann: tuple, cells: Sequence[int] | None = None) -> np.ndarray:
        """The best boxes and their confidence.

        Args:
            look: what `_look` returned.
            hann: what `_window` returned.
            cells (B): where in the score maps the targets are, row by row; None for the peaks.

        Returns:
            (B, 5) float32: cxcywh in shares of the crop, and the confidence.
        """

    @abstractmethod
    def _write(self, look: Any, centre_sizes: Sequence, confidences: Sequence[float]) -> list:
        """The states of the query after the frame: B of them, from centre x, y and sqrt(w h) (px) of each target."""

    def _brightness(self, image: np.ndarray, before: float | None) -> float | None:
        """Mean brightness of the frames up to this one, `before` being that of the last; None without an enhancer."""
        return None

    def _associate(
        self, look: Any, states: list[State], crops: Sequence[Crop]
    ) -> tuple[list[State], Sequence[int] | None]:
        """The states after association of candidates, and the targets' cells for `_find`; without it, None."""
        return states, None

    def _averaged(self, state: State, image: np.ndarray, crop: Crop) -> tuple[State, np.ndarray]:
        """The state and the frame after an enhancer has averaged it over time; without one, both as they are."""
        return state, image

    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        """As in LockstepTracker."""
        image, box_xywh = frame, np.asarray(box, np.float64)
        patches = (self._template_patch(image, box_xywh),) * self.config.DATA.TEMPLATE.NUMBER
        size = window.size(box_xywh)
        motion = kalman.start(boxes.xywh_to_cxcywh(box_xywh)[:2], size)
        level = self._brightness(image, None)
        state = State(box_xywh, patches, self._encode(patches, level), motion, sizes=(size,), brightness=level)
        crop = self._search_crop(state, image)
        state, image = self._averaged(state, image, crop)
        if self.remembers:  # the query keeps the first frame to the end: its box is certain
            state = replace(state, query=self._first_query())
            look = self._look([state], np.stack([crop.extract(image)]), [crop])
            (query,) = self._write(look, [window.centre_size(box_xywh)], [1.0])
            state = replace(state, query=query)
        return replace(state, correction=self._size_correction(state, image, crop))

    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        """As in LockstepTracker: the crops of all targets go through the network together."""
        ahead = [self._predict(state, frame) for state, frame in zip(states, frames, strict=True)]
        crops = [self._search_crop(state, frame) for state, frame in zip(ahead, frames, strict=True)]
        with self.span("enhance"):
            ahead, frames = map(list, zip(*map(self._averaged, ahead, frames, crops), strict=True))
        with self.span("crop"):
            patches = np.stack([crop.extract(frame) for crop, frame in zip(crops, frames, strict=True)])
        look = self._look(ahead, patches, crops)
        with self.span("find"):
            ahead, cells = self._associate(look, ahead, crops)
        located, scores = self._locate(look, ahead, crops, cells)
        with self.span("box"):
            pairs = [self._conclude(*each) for each in zip(ahead, frames, located, scores, strict=True)]
        after, results = map(list, zip(*pairs, strict=True))
        if self.remembers:
            queries = self._write(look, [window.centre_size(state.box_xywh) for state in after], scores)
            after = [replace(state, query=query) for state, query in zip(after, queries, strict=True)]
        return after, results

    def _size_correction(self, state, image, crop):
        """As `window.correction_of_sizes` returns it, or None with TEST.SIZE_CORRECTION 0."""
        strength = self.config.TEST.SIZE_CORRECTION
        if not strength:
            return None
        crops = [replace(crop, cx=crop.cx + dx * crop.side, cy=crop.cy + dy * crop.side) for dx, dy in window.VIEWS]
        states, patches = [state] * len(crops), np.stack([each.extract(image) for each in crops])
        found, _ = self._locate(self._look(states, patches, crops), states, crops)
        return window.correction_of_sizes(state.box_xywh, found, strength)

    def _locate(self, look, states, crops, cells=None):
        """([box (4,) xywh, image px], [confidence]): what the network found in each crop. cells: see `_find`."""
        with self.span("find"):
            found = self._find(look, self._window(states, crops), cells)
        with self.span("box"):
            scores, found = found[:, 4].tolist(), found[:, :4] * self.config.DATA.SEARCH.SIZE
            for box, state in zip(found, states, strict=True):
                if state.correction is not None:
                    box[2:] *= state.correction
            return [crop.to_image(boxes.cxcywh_to_xywh(box)) for crop, box in zip(crops, found, strict=True)], scores

    def _predict(self, state, image):
        state = replace(state, brightness=self._brightness(image, state.brightness))
        if self.config.TEST.MOTION == "none":
            return state
        return replace(state, motion=kalman.predict(state.motion, state.sizes[-1]))

    def _centre(self, state):
        """(2,) px, where the target is expected."""
        if self.config.TEST.MOTION == "none":
            return boxes.xywh_to_cxcywh(state.box_xywh)[:2]
        return state.motion.centre

    def _search_crop(self, state, image):
        search, test = self.config.DATA.SEARCH, self.config.TEST
        growth = window.lost_growth(state.low_confidence_frames, LOST_FRAMES, LOST_GROWTH, LOST_MAX_GROWTH)
        return window.search_crop(
            state.box_xywh,
            self._centre(state).tolist(),
            image.shape[1::-1],
            factor=(test.SEARCH_FACTOR or search.FACTOR) * growth,
            min_side=search.MIN_SIDE * growth,
            crop_size=search.SIZE,
            grid=test.WINDOW_GRID,
        )

    def _window(self, states, crops):
        """(factor, addend) of the score maps, each (B, 1, H, H); nothing where there is no Hann window."""
        test = self.config.TEST
        if test.WINDOW not in HANN:
            return ()
        centres = [crop.to_patch([*self._centre(state), 0, 0])[:2] for state, crop in zip(states, crops, strict=True)]
        hann = window.hann(self.cells, np.array(centres) / self.config.MODEL.HEAD.STRIDE)
        if test.WINDOW == "mult":
            return hann, np.zeros_like(hann)
        lost = np.array([state.low_confidence_frames >= LOST_FRAMES for state in states])
        influence = np.where(lost, LOST_INFLUENCE, test.WINDOW_INFLUENCE)
        return window.blended(hann, influence)

    def _conclude(self, state, image, box, score):
        """The State and Result of a frame in which the network found `box` (4,) xywh px with a confidence `score`."""
        test = self.config.TEST
        height, width = image.shape[:2]
        confident = score >= test.CONFIDENCE
        step = test.SIZE_STEP if confident else 0.0  # a wrong size would make the next window wrong as well
        box = window.smoothed(box, state.box_xywh, step)
        box = boxes.clip(box, width, height, test.MIN_BOX)
        centre = boxes.xywh_to_cxcywh(box)[:2]
        motion = kalman.update(state.motion, centre, window.size(box), score) if confident else state.motion
        sizes = (*state.sizes, window.size(box))[-RECENT:] if confident else state.sizes
        state = replace(
            state,
            box_xywh=box,
            motion=motion,
            low_confidence_frames=0 if confident else state.low_confidence_frames + 1,
            confident_frames=state.confident_frames + 1 if confident else 0,
            sizes=sizes,
            frame=state.frame + 1,
        )
        if self._worth_keeping(state, score):
            patches = (state.patches[0], *state.patches[2:], self._template_patch(image, box))
            state = replace(state, patches=patches, template=self._encode(patches, state.brightness))
        return state, _result(box, score, state.low_confidence_frames < LOST_FRAMES and score >= test.PRESENT)

    def _worth_keeping(self, state, score):
        """Whether this frame replaces the oldest online template: confident, due, settled and of a plausible size."""
        return (
            self.config.DATA.TEMPLATE.NUMBER > 1
            and state.frame % UPDATE_INTERVAL == 0
            and score > UPDATE_SCORE
            and state.confident_frames >= SETTLED
            and abs(math.log(state.sizes[-1] / np.median(state.sizes[-RECENT:]))) < MAX_SIZE_CHANGE
        )

    def _template_patch(self, image, box):
        template = self.config.DATA.TEMPLATE
        height, width = image.shape[:2]
        cx, cy, w, h = boxes.xywh_to_cxcywh(box)
        crop = Crop(cx, cy, window_side(w, h, template.FACTOR, template.MIN_SIDE, (width, height)), template.SIZE)
        mask = coverage(crop.to_patch(box), template.SIZE, template.SIZE // self.config.MODEL.BACKBONE.STRIDE)
        return crop.extract(image), mask


def _result(box, score, present):
    x, y, w, h = map(float, box)
    return Result((x, y, w, h), float(score), bool(present))
