"""The online one-stream tracker: crop, network, decode, and the rules for a tiny target that may be lost.

Everything carried from frame to frame is one `State`, a value that goes in and comes out. Spec tracker.md A.6 and A.8.
"""

import logging
import math
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from filelock import FileLock

from ...config.paths import paths
from ...data import boxes
from ...data.crop import Crop, window_on, window_side
from ...data.image import brightness
from ...errors import UserError
from ...models.enhancer.averaging import Memory, average
from ...models.lunar.backbone import TemplateState
from ...models.lunar.build import build_network
from ...models.lunar.decode import decode
from ...models.lunar.model import template_mask
from ...models.lunar.query import QueryState, drawn
from ...models.precision import autocast
from ...models.weights import load_weights
from . import motion as kalman

log = logging.getLogger(__name__)

MAX_SIZE_CHANGE = math.log(2)  # a frame whose box is this far (in log size) from the recent median is no template
MEANS = 4  # image px per patch px from which noise is not averaged over time
RECENT = 10  # frames whose sizes make that median
LONG = 100  # frames whose sizes make the median that an uncertain size returns to
SETTLED = 5  # frames without doubt before a frame may become a template


@dataclass(frozen=True)
class State:
    """What the tracker knows of its target.

    box_xywh: (4,) px, the last reported box. patches: template crops (uint8 (Z, Z, 3)) with their masks, the first
    frame's always first. template: what the network made of them. motion: filter of the centre. doubts: uncertain
    frames in a row. sizes: sqrt(w h) of the last certain frames. frame: number of the last frame. light: brightness of
    the frames so far, for the enhancer's gate; None where the network has no enhancer. memory: of frames averaged over
    time, where the enhancer asks for it. query: what the network's query knows, where it has one.
    """

    box_xywh: np.ndarray
    patches: tuple
    template: object
    motion: kalman.Motion
    doubts: int = 0
    certain: int = SETTLED
    sizes: tuple = ()
    frame: int = 0
    light: float | None = None
    memory: Memory | None = None
    query: QueryState | None = None


class LunarTracker:
    """The tracker of script `lunar`.

    config: a `lunar` configuration. weights: a checkpoint's path, or None for random ones, to profile. device: torch's.
    network: one to take as it is, rather than to build; its gradients are turned off.
    Attribute watcher: where set, called in each frame with (patches (B, S, S, 3) uint8, [Crop], TrackerOutput, Look or
    None), for pictures.
    Raises UserError where the weights do not fit the configuration.
    """

    def __init__(self, config, weights=None, device="cpu", network=None):
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

            self.network, self._find = CompiledLunar(self.network), compiled(self._find, self.device)
        self.cells = config.DATA.SEARCH.SIZE // config.MODEL.HEAD.STRIDE
        self.watcher = None
        self._state = None

    def initialize(self, image, info):
        self._state = self.start(image, info["init_bbox"])
        return _result(self._state.box_xywh, 1.0, True)

    def track(self, image, info=None):
        (self._state,), (result,) = self.step([self._state], [image])
        return result

    @property
    def partial(self):
        """Whether parts of an image are enough (lib/test/tracker): an enhancer looks at its brightness as well."""
        return not self.network.enhances

    @torch.inference_mode()
    def start(self, image, box_xywh):
        """The State after the first frame: image (H, W, 3) uint8 RGB, the target's box (4,) xywh px."""
        box = np.asarray(box_xywh, np.float64)
        patches = (self._template_patch(image, box),) * self.config.DATA.TEMPLATE.NUMBER
        size = _size(box)
        motion = kalman.start(boxes.xywh_to_cxcywh(box)[:2], size)
        light = self._light(image)
        state = State(box, patches, self._encode(patches, light), motion, sizes=(size,), light=light)
        crop = self._search_crop(state, image)
        state, image = self._averaged(state, image, crop)
        if not self.network.remembers:
            return state
        # The first frame, whose box is certain, is what the query remembers to the end.
        state = replace(state, query=self.network.query.start(1, self.device))
        told = self._upload([(*_place(box), 1.0)])
        patches = np.stack([crop.extract(image)])
        (query,) = self._remember([state], patches, [crop], lambda *_: (told[:, :3], told[:, 3]))
        return replace(state, query=query)

    @torch.inference_mode()
    def step(self, states, images):
        """One frame of several targets, each in its own video, through the network together.

        states: [State], images: [(H, W, 3) uint8 RGB]. Returns ([State], [result]), result as in lib/test/tracker.
        """
        ahead = [self._predict(state, image) for state, image in zip(states, images, strict=True)]
        crops = [self._search_crop(state, image) for state, image in zip(ahead, images, strict=True)]
        ahead, images = zip(*map(self._averaged, ahead, images, crops), strict=True)
        patches = np.stack([crop.extract(image) for crop, image in zip(crops, images, strict=True)])
        pairs = []

        def decide(output, look=None):
            if self.watcher is not None:
                self.watcher(patches, crops, output, look)
            pairs.extend(self._decide(output, look, ahead, images, crops))
            if look is None:
                return None
            told = self._upload([(*_place(state.box_xywh), result["score"]) for state, result in pairs])
            return told[:, :3], told[:, 3]

        if self.network.remembers:
            queries = self._remember(ahead, patches, crops, decide)
            pairs = [
                (replace(state, query=query), result) for (state, result), query in zip(pairs, queries, strict=True)
            ]
        else:
            decide(self.respond(ahead, patches, crops))
        return [state for state, _ in pairs], [result for _, result in pairs]

    def _decide(self, output, look, states, images, crops):
        """[(State, result)] of what the network's output, and its query's Look if it has one, says of each frame."""
        # The only wait for the device in a frame: all else goes to it ahead of need and stays there.
        found = self._find(output, look, self._window(states, crops)).cpu()
        scores, found = found[:, 4].tolist(), found[:, :4].numpy() * self.config.DATA.SEARCH.SIZE
        located = [crop.to_image(boxes.cxcywh_to_xywh(box)) for crop, box in zip(crops, found, strict=True)]
        return [self._conclude(*each) for each in zip(states, images, located, scores, strict=True)]

    def _find(self, output, look, window):
        """(B, 5) float32: the best box of each frame, cxcywh in shares of the crop, and how sure it is.

        window: of _window.
        """
        response = output.score_map.float()
        if window is not None:
            response = response * window[0] + window[1]
        elif self.config.TEST.WINDOW == "expected":
            response = drawn(response, look.expected, self.config.TEST.WINDOW_INFLUENCE)
        found, _, scores = decode(output, response)
        if look is not None:
            scores = self.network.query.judge(look, scores).sigmoid()
        return torch.cat([found.float(), scores.float()[:, None]], dim=1)

    def respond(self, states, patches, crops):
        """The network's output for search patches (B, S, S, 3) uint8 of `crops`, of one state each."""
        with self.autocast():
            return self.network.track(*self._seen(states, patches))

    def _seen(self, states, patches):
        """(template, search, gate) as the network takes them."""
        templates = [state.template for state in states]
        template = templates[0] if len(templates) == 1 else TemplateState.join(templates)
        search = self._upload(patches, np.uint8).permute(0, 3, 1, 2)
        return template, search, self._gate([state.light for state in states])

    def _remember(self, states, patches, crops, decide):
        """The next QueryState of each state. decide: see Lunar.step."""
        template, search, gate = self._seen(states, patches)
        query = QueryState.join([state.query for state in states])
        windows = self._upload([(crop.cx, crop.cy, crop.side) for crop in crops])
        with self.autocast():
            watched = self.watcher is not None
            return self.network.step(template, search, query, windows, decide, gate, watched)[2].split()

    def _upload(self, values, dtype=np.float32):
        """A tensor on the device, on whose way there nothing waits."""
        tensor = torch.from_numpy(np.asarray(values, dtype))
        if self.device.type != "cuda":
            return tensor.to(self.device)
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def _light(self, image, before=None):
        """Brightness of the frames up to this one; None where no enhancer asks for it."""
        return brightness(image, before) if self.network.enhances else None

    def _gate(self, lights):
        """(B,) on the CPU, how far the enhancer's gate is open at given brightnesses; None without an enhancer."""
        return (
            self.network.enhancer.gate_at(torch.tensor(lights, dtype=torch.float32)) if self.network.enhances else None
        )

    def _averaged(self, state, image, crop):
        """The State with this frame in its memory, and the frame, averaged over time about the crop.

        As they are where no enhancer asks for it or its gate is closed; and where the crop is far larger than the
        patch, for then the patch's pixels are means already.
        """
        if state.light is None or not self.network.enhancer.average:
            return state, image
        if not self._gate([state.light]):
            return state, image
        if crop.side > MEANS * crop.size:
            return replace(state, memory=None), image
        x0, y0, x1, y1 = window_on(crop.cx, crop.cy, crop.side, image.shape[1::-1], 2)
        image = image.copy()
        image[y0:y1, x0:x1], memory = average(image[y0:y1, x0:x1], (x0, y0), state.memory)
        return replace(state, memory=memory), image

    def _predict(self, state, image):
        state = replace(state, light=self._light(image, state.light))
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
        if state.doubts >= test.LOST_FRAMES:
            lost = min(state.doubts - test.LOST_FRAMES + 1, 1000)  # a power of more may overflow
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
        lost = np.array([state.doubts >= test.LOST_FRAMES for state in states]).reshape(-1, 1, 1, 1)
        weight = np.where(lost, test.WINDOW_INFLUENCE_LOST, test.WINDOW_INFLUENCE).astype(np.float32)
        return self._upload(np.broadcast_arrays(1 - weight, weight * window))

    def _conclude(self, state, image, box, score):
        """The State and result of a frame in which the network saw `box` (4,) xywh px with a confidence `score`."""
        test = self.config.TEST
        height, width = image.shape[:2]
        certain = score >= test.CONFIDENCE
        step = test.SIZE_STEP if certain else 0.0  # an unsure size would make the next window wrong as well
        sides = state.box_xywh[2:] ** (1 - step) * box[2:] ** step
        if not certain and state.sizes:
            sides = sides * (np.median(state.sizes) / _size(state.box_xywh)) ** test.SIZE_RETURN
        box = np.concatenate([box[:2] + (box[2:] - sides) / 2, sides])
        box = boxes.clip(box, width, height, test.MIN_BOX)
        centre = boxes.xywh_to_cxcywh(box)[:2]
        motion = kalman.update(state.motion, centre, _size(box), score) if certain else state.motion
        sizes = (*state.sizes, _size(box))[-LONG:] if certain else state.sizes
        state = replace(
            state,
            box_xywh=box,
            motion=motion,
            doubts=0 if certain else state.doubts + 1,
            certain=state.certain + 1 if certain else 0,
            sizes=sizes,
            frame=state.frame + 1,
        )
        if self._worth_keeping(state, score):
            patches = (state.patches[0], *state.patches[2:], self._template_patch(image, box))
            state = replace(state, patches=patches, template=self._encode(patches, state.light))
        return state, _result(box, score, state.doubts < test.LOST_FRAMES and score >= test.PRESENT)

    def _worth_keeping(self, state, score):
        """Whether this frame replaces the oldest online template: sure, regular, settled and of a plausible size."""
        test = self.config.TEST
        return (
            self.config.DATA.TEMPLATE.NUMBER > 1
            and state.frame % test.UPDATE_INTERVAL == 0
            and score > test.UPDATE_THRESHOLD
            and state.certain >= SETTLED
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
    def _encode(self, patches, light):
        images = self._upload([patch for patch, _ in patches], np.uint8).permute(0, 3, 1, 2)
        masks = self._upload([mask.numpy() for _, mask in patches])
        with self.autocast():
            return self.network.encode_template(images[None], masks[None], self._gate([light]))

    def autocast(self):
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


def _place(box):
    """(3,) centre and sqrt(w h) of a box (4,) xywh."""
    return *boxes.xywh_to_cxcywh(box)[:2], _size(box)


def _size(box):
    return float(np.sqrt(box[2] * box[3]))


def _result(box, score, present):
    return {"target_bbox": [float(value) for value in box], "score": float(score), "present": bool(present)}
