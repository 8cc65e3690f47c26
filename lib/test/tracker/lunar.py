"""The online one-stream tracker: crop, network, decode, and rules for a tiny target that may be lost.

All that is carried from frame to frame is one `State`, a value that goes in and comes out. Spec tracker.md A.6 and A.8.
"""

import logging
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from ...config.paths import paths
from ...contracts import LockstepTracker, Result
from ...data import boxes
from ...data.crop import Crop, window_on, window_side
from ...data.image import brightness
from ...errors import UserError
from ...models.enhancer.averaging import Memory, average
from ...models.lunar.backbone import TemplateState
from ...models.lunar.build import build_network
from ...models.lunar.decode import find
from ...models.lunar.model import Lunar, template_mask
from ...models.lunar.query import QueryState
from ...models.parts.precision import autocast
from ...models.parts.weights import load_weights
from . import motion as kalman

log = logging.getLogger(__name__)

MAX_SIZE_CHANGE = math.log(2)  # a frame whose box is this far (in log size) from the recent median is no template
MEANS = 4  # image px per patch px from which noise is not averaged over time
RECENT = 10  # confident frames whose sizes make that median
LONG = 100  # confident frames whose sizes make the median that the size returns to in other frames
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


class LunarTracker(LockstepTracker):
    """The tracker of script `lunar`.

    Args:
        config: a `lunar` configuration.
        weights: path of a checkpoint; None for random weights, to profile.
        device: as torch names it.
        network: a Lunar to track with instead of a new one; its gradients are turned off.

    Attributes:
        watcher: if set, called in each frame with (patches (B, S, S, 3) uint8, [Crop], TrackerOutput, Readout or None).

    Raises:
        UserError: the weights do not fit the configuration.
    """

    def __init__(self, config: Any, weights: Any = None, device: Any = "cpu", network: Lunar | None = None) -> None:
        self.config, self.device = config, torch.device(device)
        self.network = (network if network is not None else build_network(config)).eval()
        if weights is not None:
            own_file = ("enhancer.",) if config.MODEL.ENHANCER.WEIGHTS else ()
            log.info("weights: %s", load_weights(self.network, weights, optional=own_file))
        if self.network.remembers:
            self.network.query.modulates = config.MODEL.QUERY.MODULATE and config.TEST.MODULATE
        self.network.to(self.device).requires_grad_(False)
        if network is None and config.TEST.BACKEND != "torch":
            self.network = _exported(self.network, config, self.device)
        elif network is None and config.TEST.COMPILE:
            from ...models.lunar.compiled import CompiledLunar, compiled

            self.network = CompiledLunar(self.network)
            self._find = compiled(self._find, self.device)  # type: ignore[method-assign]
        self.cells = config.DATA.SEARCH.SIZE // config.MODEL.HEAD.STRIDE
        self.watcher = None
        self.partial = not self.network.enhances  # an enhancer also measures the brightness of the whole frame

    @torch.inference_mode()
    def start(self, frame: np.ndarray, box: Sequence[float]) -> State:
        """As in LockstepTracker."""
        image, box_xywh = frame, np.asarray(box, np.float64)
        patches = (self._template_patch(image, box_xywh),) * self.config.DATA.TEMPLATE.NUMBER
        size = _size(box_xywh)
        motion = kalman.start(boxes.xywh_to_cxcywh(box_xywh)[:2], size)
        level = self._brightness(image)
        state = State(box_xywh, patches, self._encode(patches, level), motion, sizes=(size,), brightness=level)
        crop = self._search_crop(state, image)
        state, image = self._averaged(state, image, crop)
        if not self.network.remembers:
            return replace(state, correction=self._size_correction(state, image, crop))
        # The query keeps the first frame to the end: its box is certain.
        state = replace(state, query=self.network.query.start(1, self.device))
        labelled = self._upload([(*_centre_size(box_xywh), 1.0)])
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
        ahead, frames = map(list, zip(*map(self._averaged, ahead, frames, crops), strict=True))
        patches = np.stack([crop.extract(frame) for crop, frame in zip(crops, frames, strict=True)])
        if not self.network.remembers:
            output = self.respond(ahead, patches, crops)
            self._watch(patches, crops, output, None)
            pairs = self._decide(output, None, ahead, frames, crops)
            return [state for state, _ in pairs], [result for _, result in pairs]
        with self.autocast():
            output, readout, query, windows = self._readout(ahead, patches, crops)
            self._watch(patches, crops, output, readout)
            pairs = self._decide(output, readout, ahead, frames, crops)
            found = self._upload([(*_centre_size(state.box_xywh), result.score) for state, result in pairs])
            queries = self._write(readout, found, query, windows).split()
        states = [replace(state, query=query) for (state, _), query in zip(pairs, queries, strict=True)]
        return states, [result for _, result in pairs]

    def _size_correction(self, state, image, crop):
        """(2,) by what to multiply the width and height that the network finds, or None with TEST.SIZE_CORRECTION 0.

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
                output, readout = self.respond(states, patches, crops), None
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
        return [self._conclude(*each) for each in zip(states, images, located, scores, strict=True)]

    def _locate(self, output, readout, states, crops):
        """([box (4,) xywh, image px], [confidence]): what the network found in each crop."""
        # The only wait for the device in a frame: all else is sent to it before it is needed.
        found = self._find(output, readout, self._window(states, crops)).cpu()
        scores, found = found[:, 4].tolist(), found[:, :4].numpy() * self.config.DATA.SEARCH.SIZE
        for box, state in zip(found, states, strict=True):
            if state.correction is not None:
                box[2:] *= state.correction
        return [crop.to_image(boxes.cxcywh_to_xywh(box)) for crop, box in zip(crops, found, strict=True)], scores

    def _find(self, output, readout, window):
        """(B, 5) float32: see models.lunar.decode.find. window: of _window."""
        test = self.config.TEST
        influence = test.WINDOW_INFLUENCE if test.WINDOW == "expected" else 0.0
        return find(self.network, output, readout, window, influence, test.BOX_VOTING)

    def respond(self, states, patches, crops):
        """The TrackerOutput for search patches (B, S, S, 3) uint8 of `crops`, one of each state."""
        with self.autocast():
            return self.network.track(*self._seen(states, patches))

    def _seen(self, states, patches):
        """(template, search, gate) as the network takes them."""
        templates = [state.template for state in states]
        template = templates[0] if len(templates) == 1 else TemplateState.join(templates)
        search = self._upload(patches, np.uint8).permute(0, 3, 1, 2)
        return template, search, self._gate([state.brightness for state in states])

    def _readout(self, states, patches, crops):
        """(TrackerOutput, Readout, QueryState before the frame, windows (B, 3) px) of search patches."""
        template, search, gate = self._seen(states, patches)
        query = QueryState.join([state.query for state in states])
        windows = self._upload([(crop.cx, crop.cy, crop.side) for crop in crops])
        output, readout = self.network.readout(template, search, query, windows, gate, self.watcher is not None)
        return output, readout, query, windows

    def _write(self, readout, found, query, windows):
        """The next QueryState; found: (B, 4), centre_size (px) and confidence."""
        return self.network.write(query, readout, found[:, :3], found[:, 3], windows)

    def _upload(self, values, dtype=np.float32):
        """A tensor on the device, on whose way there nothing waits."""
        tensor = torch.from_numpy(np.asarray(values, dtype))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _brightness(self, image, before=None):
        """Mean brightness of the frames up to this one; None without an enhancer."""
        return brightness(image, before) if self.network.enhances else None

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
        height, width = image.shape[:2]
        growth = 1.0
        if state.low_confidence_frames >= test.LOST_FRAMES:
            lost = min(state.low_confidence_frames - test.LOST_FRAMES + 1, 1000)  # a power of more may overflow
            growth = min(test.LOST_GROWTH**lost, test.LOST_MAX_GROWTH)
        factor = (test.SEARCH_FACTOR or search.FACTOR) * growth
        side = window_side(*state.box_xywh[2:], factor, search.MIN_SIDE * growth, (width, height))
        cx, cy = self._centre(state).tolist()
        # A prediction may run off the image, the search not.
        return Crop(min(max(cx, 0.0), width), min(max(cy, 0.0), height), side, search.SIZE)

    def _window(self, states, crops):
        """(2, B, 1, H, H), by what a score map is multiplied and what is then added; None without a Hann window."""
        test = self.config.TEST
        if test.WINDOW not in ("blend", "mult"):
            return None
        places = [crop.to_patch([*self._centre(state), 0, 0])[:2] for state, crop in zip(states, crops, strict=True)]
        window = hann(self.cells, np.array(places) / self.config.MODEL.HEAD.STRIDE)
        if test.WINDOW == "mult":
            return self._upload([window, np.zeros_like(window)])
        lost = np.array([state.low_confidence_frames >= test.LOST_FRAMES for state in states]).reshape(-1, 1, 1, 1)
        weight = np.where(lost, test.WINDOW_INFLUENCE_LOST, test.WINDOW_INFLUENCE).astype(np.float32)
        return self._upload(np.broadcast_arrays(1 - weight, weight * window))

    def _conclude(self, state, image, box, score):
        """The State and Result of a frame in which the network found `box` (4,) xywh px with a confidence `score`."""
        test = self.config.TEST
        height, width = image.shape[:2]
        confident = score >= test.CONFIDENCE
        step = test.SIZE_STEP if confident else 0.0  # a wrong size would make the next window wrong as well
        sides = state.box_xywh[2:] ** (1 - step) * box[2:] ** step
        if not confident and state.sizes:
            sides = sides * (np.median(state.sizes) / _size(state.box_xywh)) ** test.SIZE_RETURN
        box = np.concatenate([box[:2] + (box[2:] - sides) / 2, sides])
        box = boxes.clip(box, width, height, test.MIN_BOX)
        centre = boxes.xywh_to_cxcywh(box)[:2]
        motion = kalman.update(state.motion, centre, _size(box), score) if confident else state.motion
        sizes = (*state.sizes, _size(box))[-LONG:] if confident else state.sizes
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
        with self.autocast():
            return self.network.encode_template(images[None], masks[None], self._gate([level]))

    def autocast(self) -> AbstractContextManager:
        """The context in which the network runs, with TEST.PRECISION."""
        return autocast(self.device.type, self.config.TEST.PRECISION)


def _exported(network, config, device):
    """The network run by TEST.BACKEND. It is exported when it is first seen; <output>/export may always be deleted."""
    from ...models.lunar.exported import INT8, ExportedLunar, digest, export, quantise
    from .calibration import track_demo  # here, as it imports this module

    if device.type != "cpu":
        raise UserError(f"TEST.BACKEND {config.TEST.BACKEND} runs on the CPU: give --device cpu")
    folder = paths().output / "export" / digest(network, f"{config.MODEL}{config.DATA}")
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # processes that start together export once
        if not (folder / "track.onnx").is_file():
            log.info("exporting the network to %s", folder)
            export(network, folder)
        if config.TEST.PRECISION == "int8" and not (folder / INT8).is_file():
            log.info("making its int8 form")
            quantise(network, folder, partial(track_demo, config))
    return ExportedLunar(network, folder, config.TEST.BACKEND, config.TEST.PRECISION)


def hann(cells, centres):
    """Hann windows over a square of cells, each around its own centre: OSTrack's window where that is the middle.

    centres: (B, 2) in cells from the left and upper border. Returns (B, 1, cells, cells) float32 in [0, 1].
    """
    distance = np.minimum(np.abs(np.arange(0.5, cells) - centres[:, :, None]) / (cells + 1), 0.5)
    line = (0.5 + 0.5 * np.cos(2 * np.pi * distance)).astype(np.float32)
    return line[:, 1, None, :, None] * line[:, 0, None, None, :]


def _centre_size(box):
    """(3,) centre and sqrt(w h) of a box (4,) xywh."""
    return *boxes.xywh_to_cxcywh(box)[:2], _size(box)


def _size(box):
    return float(np.sqrt(box[2] * box[3]))


def _result(box, score, present):
    x, y, w, h = map(float, box)
    return Result((x, y, w, h), float(score), bool(present))
