"""The tracker of all families that find a ball.

The network predicts heat maps for windows of frames. Maps of one frame are averaged, and one blob is chosen.
"""

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image
from torch import nn

from ...config.ball import multiple
from ...config.paths import paths
from ...contracts import ClipTracker, PointResult, Run, Stage, Staged
from ...data.ball_windows import median_background, scale_to
from ...errors import UserError
from ...models.ball.build import Maps, build_network
from ...models.ball.decode import find_balls, released_similarity
from ...models.ball.tracknet import InpaintNet
from ...models.ball.trajectory import Linker, average_windows, fill_gaps, gaps, window_weights
from ...models.parts.weights import load_weights

log = logging.getLogger(__name__)

STAGE = "maps"
FILL_WINDOW = 16  # frames that InpaintNet was trained on
MIN_SIGHTINGS = 2  # a gap can only be filled between two frames in which the ball is visible
Size = tuple[int, int]


@dataclass(frozen=True)
class Scaling:
    """How the frames of a video are scaled to the network's input.

    Attributes:
        size: width and height of the input, px.
        to_image (2, 3): affine matrix from continuous px of the input to continuous px of the frame.
        scale: function from a frame (H, W, 3) uint8 to the scaled frame.
    """

    size: Size
    to_image: np.ndarray
    scale: Any


def scaling(frame_size: Size, config: Any) -> Scaling:
    """The Scaling that a configuration's DATA.SCALING describes, for frames of a size (width, height)."""
    size: Size = tuple(config.DATA.SIZE)
    if config.DATA.SCALING == "warp":
        similarity = released_similarity(frame_size, size)
        # WASB counts coordinates from the middle of the first px, we count from its edge.
        back = cv2.invertAffineTransform(similarity)
        back[:, 2] += 0.5 - 0.5 * back[:, :2].sum(axis=1)
        return Scaling(size, back, partial(_warp, similarity=similarity, size=size))
    if config.DATA.SCALING == "area":
        unit = multiple(config.MODEL)
        shrink = math.sqrt(size[0] * size[1] / (frame_size[0] * frame_size[1]))
        width, height = (max(round(side * shrink / unit), 1) * unit for side in frame_size)
        size = width, height
    back = np.array([[frame_size[0] / size[0], 0, 0], [0, frame_size[1] / size[1], 0]])
    return Scaling(size, back, partial(scale_to if config.DATA.SCALING == "area" else _bicubic, size=size))


def _warp(frame, similarity, size):
    return cv2.warpAffine(frame, similarity, size, flags=cv2.INTER_LINEAR)


def _bicubic(frame, size):
    return np.asarray(Image.fromarray(frame).resize(size))


@dataclass
class ClipState:
    """State of one video between two calls.

    Attributes:
        scaling: scaling of the frames; None before the first frame.
        frame_size: width and height, px.
        frames: scaled frames, from frame number `first` on.
        first: number of the first frame in `frames`.
        taken: number of frames so far.
        window: number of the next window's first frame.
        background: scaled background, or None.
        maps: {frame: [(position in the window, (h, w) probabilities)]} of frames without a result.
        answered: number of frames that have a result.
        linker: chooses the ball among the blobs of a frame.
        held: results that wait for the end of the video.
    """

    scaling: Scaling | None = None
    frame_size: Size = (0, 0)
    frames: list = field(default_factory=list)
    first: int = 0
    taken: int = 0
    window: int = 0
    background: np.ndarray | None = None
    maps: dict = field(default_factory=dict)
    answered: int = 0
    linker: Linker = field(default_factory=Linker)
    held: list = field(default_factory=list)


class BallTracker(ClipTracker, Staged):
    """Finds the ball in every frame, or reports that it is not visible.

    Args:
        config: a configuration of config.ball.
        weights: path of a checkpoint, ours or a released one; None for random weights.
        device: torch's name of the device.
        network: a network to use instead of building one. Torch runs it, and its gradients are turned off.

    Raises:
        UserError: the weights do not fit the configuration, or TEST.BACKEND does not run on this device.
    """

    def __init__(self, config: Any, weights: Any = None, device: Any = "cpu", network: nn.Module | None = None) -> None:
        self.config, self.device = config, torch.device(device)
        self.network = (network if network is not None else build_network(config)).eval()
        if weights is not None:
            log.info("weights: %s", load_weights(self.network, weights))
        self.network.to(self.device).requires_grad_(False)
        self._maps = Maps(self.network)
        self._filler = self._load_filler()
        self.length, self.step = config.MODEL.FRAMES, config.TEST.STEP or config.MODEL.FRAMES
        self.look_ahead = self._look_ahead()
        self.runs: Mapping[str, Run] = {}
        if network is None and config.TEST.BACKEND != "torch":
            self._use_engine()

    def _look_ahead(self):
        test, background = self.config.TEST, self.config.MODEL.BACKGROUND
        if test.FILL != "none" or (background and not test.BACKGROUND_FRAMES):
            return math.inf
        return max(self.length, test.BACKGROUND_FRAMES if background else 0) - 1

    def _load_filler(self):
        if self.config.TEST.FILL != "network":
            return None
        filler = InpaintNet().eval().requires_grad_(False)
        log.info("weights: %s", load_weights(filler, paths().weights(self.config.TEST.FILL_WEIGHTS)))
        return filler

    def stages(self) -> list[Stage]:
        """As in Staged: the network, for frames that scale to DATA.SIZE."""
        width, height = self.config.DATA.SIZE
        inputs = {"frames": torch.zeros(2, self.length, 3, height, width, device=self.device)}
        if self.config.MODEL.BACKGROUND:
            inputs["background"] = torch.zeros(2, 3, height, width, device=self.device)
        return [Stage(STAGE, self._maps, inputs, frozenset({"onnx", "compile"}), part=STAGE, frames=1)]

    def use(self, runs: Mapping[str, Run]) -> None:
        """As in Staged."""
        self.runs = runs

    def _use_engine(self):
        from ...export.graphs import use_engine

        config = self.config
        if self.device.type != "cpu":
            raise UserError(f"TEST.BACKEND {config.TEST.BACKEND} runs on the CPU: give --device cpu")
        use_engine(self, f"{config.MODEL}{config.DATA.SIZE}", paths().output / "export", config.TEST.BACKEND, "fp32")

    def start(self) -> ClipState:
        """As in ClipTracker."""
        return ClipState(linker=Linker(self.config.TEST.GATE, self.config.TEST.EXTRAPOLATION))

    def track_clip(
        self, state: ClipState, frames: Sequence[np.ndarray], last: bool
    ) -> tuple[ClipState, list[PointResult]]:
        """As in ClipTracker.

        Raises:
            UserError: the frames differ in size, or the exported network does not take their size.
        """
        state = replace(
            state,
            frames=[*state.frames],
            maps={index: [*maps] for index, maps in state.maps.items()},
            linker=copy.copy(state.linker),
            held=[*state.held],
        )
        for frame in frames:
            self._take(state, frame)
        if not self._background_known(state, last):
            return state, []
        self._run_windows(state, last)
        while state.answered < (state.taken if last else min(state.window, state.taken)):
            state.held.append(self._answer(state))
        kept = max(state.taken - self.length + 1, 0)  # later windows need no earlier frames
        state.frames, state.first = state.frames[kept - state.first :], kept
        if self.config.TEST.FILL != "none" and not last:
            return state, []
        found, state.held = state.held, []
        return state, self._fill(found, state) if self.config.TEST.FILL != "none" else found

    def _take(self, state, frame):
        size = frame.shape[1::-1]
        if state.scaling is None:
            state.frame_size, state.scaling = size, scaling(size, self.config)
            wanted = tuple(self.config.DATA.SIZE)
            if self.runs and state.scaling.size != wanted:
                width, height = state.scaling.size
                raise UserError(
                    f"frames of {size[0]}x{size[1]} become {width}x{height}, and the exported network takes "
                    f"{wanted[0]}x{wanted[1]}: --set DATA.SIZE=[{width},{height}]"
                )
        if size != state.frame_size:
            raise UserError(f"a frame of {size[0]}x{size[1]} px after frames of {'{}x{}'.format(*state.frame_size)}")
        state.frames.append(state.scaling.scale(frame))
        state.taken += 1

    def _background_known(self, state, last):
        if not self.config.MODEL.BACKGROUND or state.background is not None:
            return True
        wanted = self.config.TEST.BACKGROUND_FRAMES
        if not last and (not wanted or state.taken < wanted):
            return False
        if state.frames:
            state.background = median_background(np.stack(state.frames[: wanted or None])).astype(np.uint8)
        return True

    def _run_windows(self, state, last):
        """Run the network on all complete windows, and at the end of the video on one more for the remaining frames."""
        length = self.length
        while state.window + length <= state.taken:
            self._window(state, state.window)
            state.window += self.step
        if last and state.taken > state.answered and max(state.maps, default=state.answered - 1) < state.taken - 1:
            self._window(state, max(state.taken - length, state.first))

    def _window(self, state, first):
        offset = first - state.first
        images = state.frames[offset : offset + self.length]
        images += images[-1:] * (self.length - len(images))  # a video shorter than a window
        inputs = [_tensor(np.stack(images)[None])]
        if self.config.MODEL.BACKGROUND:
            inputs.append(_tensor(state.background[None]))
        if STAGE in self.runs:
            (maps,) = self.runs[STAGE](inputs)
        else:
            with torch.inference_mode():
                (maps,) = self._maps(*(each.to(self.device) for each in inputs))
        for position, heat in enumerate(maps[0].float().cpu().numpy()):
            if state.answered <= first + position < state.taken:
                state.maps.setdefault(first + position, []).append((position, heat))

    def _answer(self, state):
        """The result of the next frame."""
        maps = state.maps.pop(state.answered)
        state.answered += 1
        positions = [position for position, _ in maps]
        full = len(maps) == self.length
        weights = (
            window_weights(self.length, self.config.TEST.TRIANGULAR)[positions] if full else [1 / len(maps)] * len(maps)
        )
        heat = sum(np.float32(weight) * one for weight, (_, one) in zip(weights, maps, strict=True))
        fold = state.scaling.size[0] / heat.shape[1]
        blobs = {}
        for ball in find_balls(heat, self.config.TEST.THRESHOLD):
            x, y = state.scaling.to_image @ (ball.x * fold, ball.y * fold, 1)
            blobs[float(x), float(y)] = ball
        chosen = state.linker.step([(x, y, ball.mass) for (x, y), ball in blobs.items()])
        if not chosen.visible:
            return PointResult((math.nan, math.nan), float(heat.max()), False)
        return PointResult((chosen.x, chosen.y), min(blobs[chosen.x, chosen.y].peak, 1.0), True)

    def _fill(self, found, state):
        """The results with the gaps of the trajectory filled. Filled points have score 0."""
        visible = np.array([each.present for each in found], bool)
        if np.count_nonzero(visible) < MIN_SIGHTINGS:
            return found
        points = np.array([each.point for each in found])
        marked = gaps(visible, points[:, 1], self.config.TEST.FILL_TOP * state.frame_size[1])
        if self._filler is None:
            filled = fill_gaps(points, marked | ~visible)
        else:
            filled = inpaint(self._filler, points / state.frame_size, visible, marked) * state.frame_size
        for number in np.flatnonzero(marked):
            found[number] = PointResult(tuple(filled[number].tolist()), 0.0, True)
        return found


def inpaint(network: InpaintNet, points: np.ndarray, visible: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Estimate the points of a trajectory with InpaintNet, averaged over all windows of 16 frames.

    Args:
        network: InpaintNet with its weights.
        points (N, 2): x and y, divided by the frame's width and height.
        visible (N,): bool, true where the ball is visible.
        marked (N,): bool, true where the point must be filled.

    Returns:
        (N, 2) x and y, divided by the frame's width and height.
    """
    length = min(FILL_WINDOW, len(points))
    windows = np.arange(len(points) - length + 1)[:, None] + np.arange(length)
    known = np.where(visible[:, None], points, 0).astype(np.float32)
    with torch.inference_mode():
        found = network(
            torch.from_numpy(known[windows]), torch.from_numpy(marked.astype(np.float32)[windows][..., None])
        )
    return average_windows(found.numpy()[:, :, None])[:, 0].astype(np.float64)


def _tensor(images):
    """(..., H, W, 3) uint8 -> (..., 3, H, W) float32 in [0, 1]."""
    return torch.from_numpy(np.moveaxis(images, -1, -3).astype(np.float32) / 255)
