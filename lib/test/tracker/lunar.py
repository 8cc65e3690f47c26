"""The online one-stream tracker: crop, network, decode, and rules for a tiny target that may be lost.

All that is carried from frame to frame is one `State`, a value that goes in and comes out. Spec tracker.md A.6 and A.8.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...config.paths import paths
from ...contracts import LockstepTracker, Result, Run, Stage, Staged
from ...data import boxes
from ...data.crop import Crop, window_on, window_side
from ...data.image import brightness
from ...errors import UserError
from ...models.enhancer.averaging import Memory, average
from ...models.lunar.backbone import TemplateState
from ...models.lunar.build import build_network
from ...models.lunar.decode import find
from ...models.lunar.model import Lunar, TrackerOutput, template_mask
from ...models.lunar.query import QueryState, Readout
from ...models.lunar.stages import COUNT, StagedLunar, stages
from ...models.parts.precision import autocast
from ...models.parts.weights import load_weights
from . import motion as kalman
from . import window

log = logging.getLogger(__name__)

MAX_SIZE_CHANGE = math.log(2)  # a frame whose box is this far (in log size) from the recent median is no template
MEANS = 4  # image px per patch px from which noise is not averaged over time
RECENT = 10  # confident frames whose sizes make that median
LONG = 100  # confident frames whose sizes make the median that the size returns to in other frames
HANN = ("blend", "mult")  # values of TEST.WINDOW that are Hann windows
SETTLED = 5  # confident frames in a row before a frame may become a template
VIEWS = ((0.0, 0.0), (0.1, 0.07), (-0.1, 0.07), (0.07, -0.1), (-0.07, -0.1))  # shifts of the first frame, window sides
HELD = 0.4  # overlap with the given box from which such a view counts
LARGEST_CORRECTION = math.log(1.5)


@dataclass(frozen=True)
class State:
    """What the tracker knows of its target.

    Attributes:
        box_xywh (4): the last reported box (px).
        patches: template crops (uint8 (Z, Z, 3)) with their masks; the first frame's always comes first.
        template: TemplateState that the network made of them.
        motion: Kalman filter of the centre.
        low_confidence_frames: frames in a row with a confidence below TEST.CONFIDENCE.
        confident_frames: frames in a row at or above it.
        sizes: sqrt(w h) of the last confident frames (px).
        frame: number of the last frame.
        brightness: mean brightness of the frames so far, for the enhancer's gate; None without an enhancer.
        memory: frames averaged over time, where the enhancer asks for it.
        query: the query's state, where the network has one.
        correction (2): factors of the width and height that the network finds, see LunarTracker._size_correction.
    """

    box_xywh: np.ndarray
    patches: tuple
    template: TemplateState
    motion: kalman.Motion
    low_confidence_frames: int = 0
    confident_frames: int = SETTLED
    sizes: tuple = ()
    frame: int = 0
    brightness: float | None = None
    memory: Memory | None = None
    query: QueryState | None = None
    correction: np.ndarray | None = None


class Find(nn.Module):
    """The best box of each frame and its confidence, from the network's maps.

    Args:
        network: a Lunar; its query, if it has one, judges the confidence.
        test: section TEST of the configuration.
    """

    def __init__(self, network: Lunar, test: Any) -> None:
        super().__init__()
        self.query, self.hann, self.voting = network.query, test.WINDOW in HANN, test.BOX_VOTING
        self.influence = test.WINDOW_INFLUENCE if test.WINDOW == "expected" else 0.0

    def forward(self, score_map: Tensor, size_map: Tensor, offset_map: Tensor, *rest: Tensor) -> tuple[Tensor]:
        """Find the boxes.

        Args:
            score_map, size_map, offset_map: as in TrackerOutput.
            rest: with a Hann window what the score map is multiplied by and what is added to it, (B, 1, H, H) each;
                with a query `query` and `expected` of the Readout.

        Returns:
            (B, 5) float32: cxcywh in shares of the crop, and the confidence.
        """
        window = readout = None
        if self.hann:
            window, rest = rest[:2], rest[2:]
        if self.query is not None:
            query, expected = rest
            readout = Readout(None, query, None, None, expected)
        output = TrackerOutput(score_map, size_map, offset_map)
        return (find(output, window, self.query, readout, self.influence, self.voting),)


class LunarTracker(LockstepTracker, Staged):
    """The tracker of script `lunar`.

    Args:
        config: a `lunar` configuration.
        weights: path of a checkpoint; None for random weights, to profile.
        device: as torch names it.
        network: a Lunar to track with instead of a new one, by torch; its gradients are turned off.

    Attributes:
        watcher: if set, called in each frame with (patches (B, S, S, 3) uint8, [Crop], TrackerOutput, Readout or None).

    Raises:
        UserError: the weights do not fit the configuration, or TEST.BACKEND does not run on this device.
    """

    def __init__(self, config: Any, weights: Any = None, device: Any = "cpu", network: Lunar | None = None) -> None:
        self.config, self.device = config, torch.device(device)
        self.network = self._torch = (network if network is not None else build_network(config)).eval()
        if weights is not None:
            own_file = ("enhancer.",) if config.MODEL.ENHANCER.WEIGHTS else ()
            log.info("weights: %s", load_weights(self.network, weights, optional=own_file))
        if self.network.remembers:
            self.network.query.modulates = config.MODEL.QUERY.MODULATE and config.TEST.MODULATE
        self.network.to(self.device).requires_grad_(False)
        self.cells = config.DATA.SEARCH.SIZE // config.MODEL.HEAD.STRIDE
        self._find = Find(self.network, config.TEST)
        self.partial = not self.network.enhances  # an enhancer also measures the brightness of the whole frame
        self.watcher = None
        if network is None and config.TEST.BACKEND != "torch":
            self._use_engine()
        elif network is None and config.TEST.COMPILE:
            from ...export.compiled import compile_stages

            self.use(compile_stages(self.stages(), self.device))

    def stages(self) -> list[Stage]:
        """As in Staged: those of the network, and finding the box in its maps."""
        grid = torch.zeros(COUNT, 1, self.cells, self.cells, device=self.device)
        inputs = {"score_map": grid, "size_map": grid.repeat(1, 2, 1, 1), "offset_map": grid.repeat(1, 2, 1, 1)}
        inner = {}
        if self.config.TEST.WINDOW in HANN:
            inputs |= {"factor": grid, "addend": grid}
        if self._torch.remembers:
            query = self._torch.query
            inputs |= {"query": torch.zeros(COUNT, query.dim, device=self.device)}
            inputs |= {"expected": torch.zeros(COUNT, 4, device=self.device)}
            inner = {"query": (query.quality,)}
        find = Stage(
            name="find",
            module=self._find,
            inputs=inputs,
            engines=frozenset({"compile"}),
            part="box",
            inner=inner,
            rest="box",
            frames=1,
        )
        return [*stages(self._torch), find]

    def use(self, runs: Mapping[str, Run]) -> None:
        """As in Staged."""
        self.runs = runs
        self.network = StagedLunar(self._torch, runs) if runs else self._torch

    def _use_engine(self):
        from ...export.graphs import use_engine

        test, model, data = self.config.TEST, self.config.MODEL, self.config.DATA
        if self.device.type != "cpu":
            raise UserError(f"TEST.BACKEND {test.BACKEND} runs on the CPU: give --device cpu")
        use_engine(self, f"{model}{data}", paths().output / "export", test.BACKEND, test.PRECISION)

    @torch.inference_mode()
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
        if not self.network.remembers:
            return replace(state, correction=self._size_correction(state, image, crop))
        # The query keeps the first frame to the end: its box is certain.
        state = replace(state, query=self.network.query.start(1, self.device))
        labelled = self._upload([(*window.centre_size(box_xywh), 1.0)])
        with self.autocast():
            _, readout, *inputs = self._readout([state], np.stack([crop.extract(image)]), [crop])
            query = self._write(readout, labelled, *inputs)
        state = replace(state, query=query)
        return replace(state, correction=self._size_correction(state, image, crop))

    @torch.inference_mode()
    def track_frames(self, states: Sequence[State], frames: Sequence[np.ndarray]) -> tuple[list[State], list[Result]]:
        """As in LockstepTracker: the crops of all targets go through the network together."""
        ahead = [self._predict(state, frame) for state, frame in zip(states, frames, strict=True)]
        crops = [self._search_crop(state, frame) for state, frame in zip(ahead, frames, strict=True)]
        with self.span("enhance"):
            ahead, frames = map(list, zip(*map(self._averaged, ahead, frames, crops), strict=True))
        with self.span("crop"):
            patches = np.stack([crop.extract(frame) for crop, frame in zip(crops, frames, strict=True)])
        if not self.network.remembers:
            with self.autocast():
                output = self._track(ahead, patches)
            self._watch(patches, crops, output, None)
            pairs = self._decide(output, None, ahead, frames, crops)
            return [state for state, _ in pairs], [result for _, result in pairs]
        with self.autocast():
            output, readout, query, windows = self._readout(ahead, patches, crops)
            self._watch(patches, crops, output, readout)
            pairs = self._decide(output, readout, ahead, frames, crops)
            found = self._upload([(*window.centre_size(state.box_xywh), result.score) for state, result in pairs])
            queries = self._write(readout, found, query, windows).split()
        states = [replace(state, query=query) for (state, _), query in zip(pairs, queries, strict=True)]
        return states, [result for _, result in pairs]

    def _size_correction(self, state, image, crop):
        """(2,) factors of the width and height that the network finds, or None with TEST.SIZE_CORRECTION 0.

        People disagree on how tight a box is, and which parts of a target it holds. The box of the first frame shows
        it: shifted views of that frame are searched, and the mean logarithm of given over found sides is kept. The
        power TEST.SIZE_CORRECTION of it is applied to later frames.
        """
        strength = self.config.TEST.SIZE_CORRECTION
        if not strength:
            return None
        given = state.box_xywh
        crops = [replace(crop, cx=crop.cx + dx * crop.side, cy=crop.cy + dy * crop.side) for dx, dy in VIEWS]
        states, patches = [state] * len(crops), np.stack([each.extract(image) for each in crops])
        with self.autocast():
            if self.network.remembers:
                output, readout, *_ = self._readout(states, patches, crops)
            else:
                output, readout = self._track(states, patches), None
        found = self._locate(output, readout, states, crops)[0]
        ratios = [np.log(given[2:] / box[2:]) for box in found if boxes.iou(box, given) > HELD]
        if not ratios:
            return np.ones(2)
        return np.exp(strength * np.clip(np.mean(ratios, axis=0), -LARGEST_CORRECTION, LARGEST_CORRECTION))

    def _watch(self, patches, crops, output, readout):
        if self.watcher is not None:
            self.watcher(patches, crops, output, readout)

    def _decide(self, output, readout, states, images, crops):
        """[(State, Result)] from the network's maps and, where it has a query, from the Readout."""
        located, scores = self._locate(output, readout, states, crops)
        with self.span("box"):
            return [self._conclude(*each) for each in zip(states, images, located, scores, strict=True)]

    def _locate(self, output, readout, states, crops):
        """([box (4,) xywh, image px], [confidence]): what the network found in each crop."""
        with self.span("find"):
            inputs = [*output, *self._window(states, crops)]
            inputs += [] if readout is None else [readout.query, readout.expected]
            run = self.runs.get("find")
            (found,) = run(inputs) if run else self._find(*inputs)
        with self.span("box"):
            # The only wait for the device in a frame: all else is sent to it before it is needed.
            found = found.cpu()
            scores, found = found[:, 4].tolist(), found[:, :4].numpy() * self.config.DATA.SEARCH.SIZE
            for box, state in zip(found, states, strict=True):
                if state.correction is not None:
                    box[2:] *= state.correction
            return [crop.to_image(boxes.cxcywh_to_xywh(box)) for crop, box in zip(crops, found, strict=True)], scores

    def _track(self, states, patches):
        """The TrackerOutput of search patches (B, S, S, 3) uint8, without a query."""
        template, search = self._inputs(states, patches)
        with self.span("track"):
            return self.network.track(template, search)

    def _inputs(self, states, patches):
        """(template, search) as the network takes them, of search patches (B, S, S, 3) uint8."""
        templates = [state.template for state in states]
        template = templates[0] if len(templates) == 1 else TemplateState.join(templates)
        search = self._upload(patches, np.uint8).permute(0, 3, 1, 2)
        with self.span("enhance"):
            return template, self.network.enhance(search, self._gate([state.brightness for state in states]))

    def _readout(self, states, patches, crops):
        """(TrackerOutput, Readout, QueryState before the frame, windows (B, 3) px) of search patches."""
        template, search = self._inputs(states, patches)
        query = QueryState.join([state.query for state in states])
        windows = self._upload([(crop.cx, crop.cy, crop.side) for crop in crops])
        with self.span("track"):
            output, readout = self.network.readout(template, search, query, windows, self.watcher is not None)
        return output, readout, query, windows

    def _write(self, readout, found, query, windows):
        """The next QueryState; found: (B, 4), centre_size (px) and confidence."""
        with self.span("write"):
            return self.network.write(query, readout, found[:, :3], found[:, 3], windows)

    def _upload(self, values, dtype=np.float32):
        """A tensor on the device, on whose way there nothing waits."""
        tensor = torch.from_numpy(np.asarray(values, dtype))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _brightness(self, image, before):
        """Mean brightness of the frames up to this one, `before` being that of the last; None without an enhancer."""
        if not self.network.enhances:
            return None
        with self.span("enhance"):
            return brightness(image, before)

    def _gate(self, levels):
        """(B,) on the CPU: the enhancer's gate at mean brightnesses; None without an enhancer."""
        if not self.network.enhances:
            return None
        return self.network.enhancer.gate_at(torch.tensor(levels, dtype=torch.float32))

    def _averaged(self, state, image, crop):
        """The State with this frame in its memory, and the frame, averaged over time about the crop.

        Both come back unchanged where no enhancer asks for averaging, where its gate is closed, and where the crop is
        so much larger than the patch that the patch's pixels are means already.
        """
        if state.brightness is None or not self.network.enhancer.average:
            return state, image
        if not self._gate([state.brightness]):
            return state, image
        if crop.side > MEANS * crop.size:
            return replace(state, memory=None), image
        x0, y0, x1, y1 = window_on(crop.cx, crop.cy, crop.side, image.shape[1::-1], 2)
        image = image.copy()
        image[y0:y1, x0:x1], memory = average(image[y0:y1, x0:x1], (x0, y0), state.memory)
        return replace(state, memory=memory), image

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
        growth = window.lost_growth(
            state.low_confidence_frames, test.LOST_FRAMES, test.LOST_GROWTH, test.LOST_MAX_GROWTH
        )
        return window.search_crop(
            state.box_xywh,
            self._centre(state).tolist(),
            image.shape[1::-1],
            factor=(test.SEARCH_FACTOR or search.FACTOR) * growth,
            min_side=search.MIN_SIDE * growth,
            crop_size=search.SIZE,
        )

    def _window(self, states, crops):
        """(factor, addend) of the score maps, each (B, 1, H, H); nothing where there is no Hann window."""
        test = self.config.TEST
        if test.WINDOW not in HANN:
            return ()
        centres = [crop.to_patch([*self._centre(state), 0, 0])[:2] for state, crop in zip(states, crops, strict=True)]
        hann = window.hann(self.cells, np.array(centres) / self.config.MODEL.HEAD.STRIDE)
        if test.WINDOW == "mult":
            return self._upload([hann, np.zeros_like(hann)])
        lost = np.array([state.low_confidence_frames >= test.LOST_FRAMES for state in states])
        influence = np.where(lost, test.WINDOW_INFLUENCE_LOST, test.WINDOW_INFLUENCE)
        return self._upload(window.blended(hann, influence))

    def _conclude(self, state, image, box, score):
        """The State and Result of a frame in which the network found `box` (4,) xywh px with a confidence `score`."""
        test = self.config.TEST
        height, width = image.shape[:2]
        confident = score >= test.CONFIDENCE
        step = test.SIZE_STEP if confident else 0.0  # a wrong size would make the next window wrong as well
        usual = np.median(state.sizes) if not confident and state.sizes else None
        box = window.smoothed(box, state.box_xywh, step, usual, test.SIZE_RETURN)
        box = boxes.clip(box, width, height, test.MIN_BOX)
        centre = boxes.xywh_to_cxcywh(box)[:2]
        motion = kalman.update(state.motion, centre, window.size(box), score) if confident else state.motion
        sizes = (*state.sizes, window.size(box))[-LONG:] if confident else state.sizes
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
        return state, _result(box, score, state.low_confidence_frames < test.LOST_FRAMES and score >= test.PRESENT)

    def _worth_keeping(self, state, score):
        """Whether this frame replaces the oldest online template: confident, due, settled and of a plausible size."""
        test = self.config.TEST
        return (
            self.config.DATA.TEMPLATE.NUMBER > 1
            and state.frame % test.UPDATE_INTERVAL == 0
            and score > test.UPDATE_THRESHOLD
            and state.confident_frames >= SETTLED
            and abs(math.log(state.sizes[-1] / np.median(state.sizes[-RECENT:]))) < MAX_SIZE_CHANGE
        )

    def _template_patch(self, image, box):
        template = self.config.DATA.TEMPLATE
        height, width = image.shape[:2]
        cx, cy, w, h = boxes.xywh_to_cxcywh(box)
        crop = Crop(cx, cy, window_side(w, h, template.FACTOR, template.MIN_SIDE, (width, height)), template.SIZE)
        mask = template_mask(crop.to_patch(box), template.SIZE, template.SIZE // self.config.MODEL.BACKBONE.STRIDE)
        return crop.extract(image), mask

    @torch.inference_mode()
    def _encode(self, patches, level):
        images = self._upload([patch for patch, _ in patches], np.uint8).permute(0, 3, 1, 2)
        masks = self._upload([mask.numpy() for _, mask in patches])
        with self.autocast(), self.span("template"):
            templates = self.network.enhance(images[None], self._gate([level]))
            return self.network.encode_template(templates, masks[None])

    def autocast(self) -> AbstractContextManager:
        """The context in which the network runs, with TEST.PRECISION."""
        return autocast(self.device.type, self.config.TEST.PRECISION)


def _result(box, score, present):
    x, y, w, h = map(float, box)
    return Result((x, y, w, h), float(score), bool(present))
