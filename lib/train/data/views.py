"""What the samples of every family are made of: crops of frames with boxes, with the tracker's geometry.

Nothing is done to whole frames. Each crop is taken in two steps: a view of the camera's own pixels around the window,
in which augmentation happens (a blur, noise or JPEG block has the size it has in a recording), then the patch that the
network sees. Tiny augmentation (spec tracker.md A.8.5) is a view with `ratio` < 1 camera px per source px, so the frame
as a whole is never resized. All coordinates below are px of that camera unless said otherwise.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...data import boxes
from ...data.crop import Crop, window_side
from ...data.frames import PartialFrame
from ...errors import FrameError
from .augmentation import Appearance, Distractor, apply_appearance, draw_appearance

ONLINE_JITTER = 0.05  # of the boxes of templates but the first: while tracking they are the tracker's own
TRIES = 10


@dataclass(frozen=True)
class LabelledFrame:
    """A frame of a sample.

    Attributes:
        image (H, W, 3): uint8 RGB, or a PartialFrame.
        box_xywh (4,): source px, None where the target is absent.
        around (4,): the box around which the window lies.
        location: its name, for errors.
        source: the part of the whole frame that the image shows; None for all of it.
    """

    image: np.ndarray | PartialFrame
    box_xywh: np.ndarray | None
    around: np.ndarray
    location: str = ""
    source: Crop | None = None

    def to_source(self, boxes_xywh: np.ndarray) -> np.ndarray:
        """Boxes (..., 4), px of the image, in px of the whole frame."""
        return boxes_xywh if self.source is None else self.source.to_image(boxes_xywh)

    def size(self, ratio: float) -> tuple[float, float]:
        """Width and height in px of a camera with `ratio` px per source px."""
        return self.image.shape[1] * ratio, self.image.shape[0] * ratio


@dataclass(frozen=True)
class Scene:
    """What all crops of a sample share.

    Attributes:
        appearance: how the camera sees them.
        ratio: camera px per source px, at most 1.
        distractor: what is pasted into the search crops; None for nothing.
    """

    appearance: Appearance
    ratio: float
    distractor: Distractor | None = None


def plausible(box_xywh: np.ndarray, image: np.ndarray | PartialFrame) -> bool:
    """Whether a box (4,) is finite, touches the image, is less than ten times as large, and has sides from 0.1 px."""
    height, width = image.shape[:2]
    x, y, w, h = np.asarray(box_xywh, np.float64).tolist()
    return (
        all(map(math.isfinite, (x, y, w, h)))
        and min(w, h) >= 0.1
        and max(w, h) < 10 * max(width, height)
        and x < width
        and y < height
        and x + w > 0
        and y + h > 0
    )


class Views:
    """Makes the crops of samples. A family's data set calls its methods in the order of its frames.

    Args:
        data: section DATA of a configuration, with SEARCH, TEMPLATE and AUGMENT.
        training: False for crops that are jittered but not augmented.
        clean: whether each patch is followed by the same one by day, without noise: 6 channels.
    """

    def __init__(self, data, training: bool = True, clean: bool = False):
        self.data, self.training, self.clean = data, training, clean and training

    def scene(
        self,
        rng: np.random.Generator,
        templates: Sequence[LabelledFrame],
        searches: Sequence[LabelledFrame],
        other: Callable[[], LabelledFrame | None],
        crossing: bool = False,
    ) -> Scene:
        """Draw what all crops of a sample share.

        Args:
            rng: of the sample.
            templates, searches: its frames.
            other: reads a frame of another sequence, or None where there is none.
            crossing: whether a distractor may cross the target's trajectory (DATA.AUGMENT.CROSSING).

        Raises:
            FrameError: a template's box is not on its frame.
        """
        for frame in templates:
            if not plausible(frame.around, frame.image):
                box = np.round(frame.around, 2).tolist()
                raise FrameError(f"the box {box} is not on the frame", frame.location)
        augment, ratio, distractor = self.data.AUGMENT, self._ratio(rng, searches[0]), None
        if not self.training:
            return Scene(Appearance.plain(len(templates) + len(searches)), ratio)
        appearance = draw_appearance(rng, augment, len(templates), len(searches), ratio < 1)
        first = templates[0]
        if rng.random() < augment.DISTRACTORS:
            own = augment.PARTS and rng.random() < augment.PARTS
            shown = first if own else other()
            if shown is not None:
                draw = Distractor.part if own else Distractor.draw
                distractor = draw(rng, shown.image, np.asarray(shown.around, np.float64))
        elif crossing and rng.random() < augment.CROSSING:
            frame = (other() if rng.random() < 0.3 else None) or first
            distractor = Distractor.crossing(rng, frame.image, np.asarray(frame.around, np.float64), len(searches))
        return Scene(appearance, ratio, distractor)

    def template(self, rng: np.random.Generator, frame: LabelledFrame, scene: Scene, number: int) -> tuple:
        """Crop of template `number` of a sample.

        Returns:
            patch (3 or 6, Z, Z) uint8, the target's box (4,) xywh in shares of it, and the window that it shows.
        """
        frame = turned(frame, scene.appearance.turn)
        box = boxes.xywh_to_cxcywh(frame.around) * scene.ratio
        if number:
            box[:2] += rng.normal(0, ONLINE_JITTER, 2) * box[2:]
            box[2:] *= np.exp(rng.normal(0, ONLINE_JITTER, 2))
        window = self.window(rng, self.data.TEMPLATE, box, frame.size(scene.ratio))
        patch = self.photograph(rng, frame, window, scene, number, turn=scene.appearance.turn)
        return patch, shares(boxes.cxcywh_to_xywh(box), window, scene.appearance.flip), window

    def search(
        self, rng: np.random.Generator, frame: LabelledFrame, window: Crop, scene: Scene, number: int, step: int = 1
    ) -> tuple:
        """Crop of a search frame.

        Args:
            window: what it shows, from `search_window`.
            scene: what the crops of the sample share.
            number: of the crop in the sample, templates first.
            step: number of the search frame, from 1, by which the distractor moves.

        Returns:
            patch (3 or 6, S, S) uint8; the target's box (4,) xywh in shares of it, zeros where it is not visible;
            whether it is there with its centre in the crop.
        """
        box = None if frame.box_xywh is None else np.asarray(frame.box_xywh, np.float64) * scene.ratio
        patch = self.photograph(rng, frame, window, scene, number, box, step)
        anno = np.zeros(4) if box is None else shares(box, window, scene.appearance.flip)
        centre = anno[:2] + anno[2:] / 2
        visible = box is not None and bool(((centre >= 0) & (centre < 1)).all())
        return patch, anno if visible else np.zeros(4), visible

    def search_window(self, window: Crop, frame_size: tuple[float, float], scene: Scene) -> Crop:
        """A search window as the tracker has it: a prediction may run off the image, the search does not."""
        width, height = frame_size
        cx, cy = min(max(window.cx, 0.0), width), min(max(window.cy, 0.0), height)
        return Crop(cx, cy, window.side, window.size, scene.appearance.stretch)

    def window(
        self, rng: np.random.Generator, section, box_cxcywh, frame_size: tuple, jitter_centre: bool = True
    ) -> Crop:
        """The window around a box, jittered as a section (DATA.SEARCH or DATA.TEMPLATE) says.

        OSTrack jitters in target sizes. Here the unit is the window's side / FACTOR, which is the same except for the
        smallest windows. There OSTrack's jitter would keep a tiny target in the very middle of its crop.
        """
        cx, cy, w, h = box_cxcywh
        w, h = np.exp(rng.normal(0, section.SCALE_JITTER, 2)) * (w, h)
        side = window_side(w, h, section.FACTOR, section.MIN_SIDE, frame_size)
        dx, dy = rng.uniform(-0.5, 0.5, 2) * (section.CENTER_JITTER * jitter_centre * side / section.FACTOR)
        return Crop(cx + dx, cy + dy, side, section.SIZE)

    def elsewhere(self, rng: np.random.Generator, frame: LabelledFrame, ratio: float) -> Crop | None:
        """A window of the usual size that does not show the target, or None where none was found."""
        box = boxes.xywh_to_cxcywh(frame.around) * ratio
        size = np.array(frame.size(ratio))
        for centre in rng.uniform(0, 1, (TRIES, 2)) * size:
            window = self.window(rng, self.data.SEARCH, [*centre, *box[2:]], frame.size(ratio))
            if (np.abs(box[:2] - (window.cx, window.cy)) > (window.side + box[2:]) / 2).any():
                return window
        return None

    def _ratio(self, rng, frame):
        """Camera px per source px: 1, or what makes the target a tiny one.

        It is never so small that the smallest search window exceeds the frame. Black beyond it would give away where
        the target is.
        """
        tiny, (low, high), share = rng.random(), self.data.AUGMENT.TINY_SIDE, rng.random()
        side = side_of(frame.around)
        low = max(low, side * self.data.SEARCH.MIN_SIDE / min(frame.image.shape[:2]))
        high = min(high, side)
        if not self.training or tiny >= self.data.AUGMENT.TINY or low >= high:
            return 1.0
        return low * (high / low) ** share / side

    def photograph(
        self,
        rng: np.random.Generator,
        frame: LabelledFrame,
        window: Crop,
        scene: Scene,
        number: int,
        box_xywh: np.ndarray | None = None,
        step: int = 0,
        turn: float = 0.0,
    ) -> np.ndarray:
        """What the camera of a scene shows in a window.

        Args:
            number: of the crop in the sample, templates first.
            box_xywh (4,): of the target; None pastes no distractor.
            step: number of the search frame, by which the distractor moves.
            turn: of the camera about the window's middle, radian.

        Returns:
            (3, S, S) uint8; (6, S, S) with `clean`, the same by day below it.
        """
        look, view = scene.appearance, _view(window)
        source = replace(view, cx=view.cx / scene.ratio, cy=view.cy / scene.ratio, side=view.side / scene.ratio)
        pixels = source.extract(frame.image) if turn == 0 else _extract_turned(source, frame.image, turn)
        if scene.distractor is not None and box_xywh is not None:
            pixels = scene.distractor.paste(pixels, view.to_patch(box_xywh), step)
        looks = [look, replace(look, night=None, camera=None, noise=0.0, quality=None)] if self.clean else [look]
        seen = [apply_appearance(pixels, each, number, rng) for each in looks]
        if view is not window:
            cx, cy = view.to_patch([window.cx, window.cy, 0, 0])[:2]
            seen = [replace(window, cx=cx, cy=cy).extract(each) for each in seen]
        columns = -1 if look.flip else 1
        return np.concatenate([each[:, ::columns].transpose(2, 0, 1) for each in seen])


def turned(frame: LabelledFrame, turn: float) -> LabelledFrame:
    """A frame whose target is turned by `turn` radian about its middle.

    The new box encloses the ellipse that filled the old one.
    """
    if turn == 0:
        return frame
    cx, cy, w, h = boxes.xywh_to_cxcywh(frame.around)
    cosine, sine = math.cos(turn), math.sin(turn)
    extent = math.hypot(w * cosine, h * sine), math.hypot(w * sine, h * cosine)
    around = boxes.cxcywh_to_xywh(np.array([cx, cy, *extent]))
    return replace(frame, box_xywh=None if frame.box_xywh is None else around, around=around)


def _extract_turned(window, image, turn):
    """As window.extract(image), by a camera that is turned about the window's middle by `turn` radian."""
    cosine, sine = math.cos(turn), math.sin(turn)
    size = math.ceil(window.size * (abs(cosine) + abs(sine))) + 2
    wide = replace(window, side=window.side * size / window.size, size=size).extract(image)
    rotation = np.array([[cosine, -sine], [sine, cosine]])
    middle = np.full(2, (window.size - 1) / 2)
    matrix = np.column_stack([rotation, np.full(2, (size - 1) / 2) - rotation @ middle])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(wide, matrix, (window.size, window.size), flags=flags)


def _view(window):
    """The camera's own pixels under a window, or the window itself where it has more of them than the patch."""
    if window.side >= window.size:
        return window
    side = max(window.extent)
    count = math.ceil(side) + 3
    x0, y0 = (math.floor(centre - side / 2) - 1 for centre in (window.cx, window.cy))
    return Crop(x0 + count / 2, y0 + count / 2, count, count)


def side_of(box) -> float:
    """sqrt(w h) of a box whose last two numbers are w and h."""
    return math.sqrt(box[2] * box[3])


def shares(box_xywh: np.ndarray, window: Crop, flip: bool) -> np.ndarray:
    """A box (4,) in shares of a window's patch, mirrored where `flip`."""
    anno = window.to_patch(box_xywh) / window.size
    if flip:
        anno[0] = 1 - anno[0] - anno[2]
    return anno


def inside(window: Crop, frame_size: tuple[float, float], flip: bool) -> np.ndarray:
    """The part of a window's patch that shows its frame; the rest is black.

    Args:
        window: of a camera that is not turned.
        frame_size: width and height of the frame, px of the camera.
        flip: whether the patch is mirrored.

    Returns:
        (4,) float32: x0, y0, x1, y1 in shares of the patch.
    """
    x, y, w, h = shares(np.array([0, 0, *frame_size]), window, flip)
    return np.array([x, y, x + w, y + h], np.float32).clip(0, 1)
