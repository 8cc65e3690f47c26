"""From frames with boxes to the tensors of a sample: crop first, with the tracker's geometry, then change the crop.

Nothing is done to whole frames. Each crop is taken in two steps: a view of the camera's own pixels around the window,
in which augmentation happens (a blur, noise or JPEG block has the size it has in a recording), then the patch that the
network sees. Tiny augmentation (spec tracker.md A.8.5) is a view with `ratio` < 1 camera px per source px, so the frame
as a whole is never resized. All coordinates below are px of that camera unless said.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch

from ...data import boxes
from ...data.crop import Crop, window_side
from ...data.frames import PartialFrame
from ...errors import FrameError
from ...models.lunar.model import template_mask
from .augmentation import Distractor, Look, apply_look, draw_look

INDEPENDENT, CHAIN_GT, CHAIN_PRED = 0, 1, 2  # where the windows of a clip lie (spec query.md B.4)
ROOM = 2  # a search image of CHAIN_PRED shows this many sides of the window, for the network to choose its own
ONLINE_JITTER = 0.05  # of the boxes of templates but the first: while tracking they are the tracker's own
TRIES = 10


@dataclass(frozen=True)
class Shot:
    """A frame of a sample.

    image: (H, W, 3) uint8 RGB, or a PartialFrame. box_xywh: (4,) source px, None where the target is absent. around:
    (4,) the box around which the window lies. place: its name, for errors. source: the part of the whole frame that the
    image shows; None for all of it.
    """

    image: np.ndarray | PartialFrame
    box_xywh: np.ndarray | None
    around: np.ndarray
    place: str = ""
    source: Crop | None = None

    def to_source(self, boxes_xywh):
        """Boxes (..., 4), px of the image -> px of the whole frame."""
        return boxes_xywh if self.source is None else self.source.to_image(boxes_xywh)


@dataclass(frozen=True)
class Past:
    """What a tracker would know at the search frames of a clip.

    chain: INDEPENDENT, CHAIN_GT or CHAIN_PRED. room: whether search images show ROOM sides of their windows. before:
    for each search frame the target's box (4,) one step earlier, px of its image, or None where there was none.
    history: (L, 5) such boxes at the steps before the first search frame, the last one last, px of the whole frame,
    and 1; or zeros. times: (N,) int, steps from the first template's frame to the search frames.
    """

    chain: int
    room: bool
    before: list
    history: np.ndarray
    times: np.ndarray


def plausible(box_xywh, image):
    """Whether a box (4,) is finite, touches the image, is not ten times as large and no side is under a tenth px."""
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


class Processing:
    """Makes samples. config: a `lunar` configuration. training: False for crops as they are, jitter but no more."""

    def __init__(self, config, training=True):
        self.data, self.training = config.DATA, training
        self.grid = config.DATA.TEMPLATE.SIZE // config.MODEL.BACKBONE.STRIDE
        self.clean = training and config.TRAIN.FEATURE_WEIGHT > 0

    def __call__(self, rng, templates, searches, other, away=(), past=None):
        """Make a sample.

        Args:
            rng: np.random.Generator.
            templates, searches: [Shot].
            other: () -> Shot of another sequence, or None where there is none.
            away: numbers of the search shots whose window shall not show the target.
            past: Past, for a network with a query; None for one without.

        Returns:
            dict of tensors, as SampleSet says, without what names the sample.

        Raises:
            FrameError: a template's box is not on its frame.
        """
        for shot in templates:
            if not plausible(shot.around, shot.image):
                raise FrameError(f"the box {np.round(shot.around, 2).tolist()} is not on the frame", shot.place)
        augment = self.data.AUGMENT
        ratio = self._ratio(rng, searches[0])
        look = Look.plain(len(templates) + len(searches))
        distractor, past = None, past or Past(INDEPENDENT, False, [None] * len(searches), None, None)
        if self.training:
            look = draw_look(rng, augment, len(templates), len(searches), ratio < 1)
            if rng.random() < augment.DISTRACTORS:
                own = augment.PARTS and rng.random() < augment.PARTS
                shot = templates[0] if own else other()
                draw = Distractor.part if own else Distractor.draw
                distractor = shot and draw(rng, shot.image, np.asarray(shot.around, np.float64))
            elif past.times is not None and rng.random() < augment.CROSSING:
                shot = rng.random() < 0.3 and other() or templates[0]
                distractor = Distractor.crossing(rng, shot.image, np.asarray(shot.around, np.float64), len(searches))
        templates = [_turned(shot, look.turn) for shot in templates]
        shown = [self._template(rng, shot, ratio, look, number) for number, shot in enumerate(templates)]
        moves = self._moves(rng, searches)
        found = []
        for number, shot in enumerate(searches):
            crop = (rng, shot, ratio, look, len(templates) + number)
            found.append(self._search(*crop, moves[: number + 1], distractor, other, number in away, past, number))
        columns = (list(column) for column in zip(*found, strict=True))
        images, annos, seen, params, windows, places, sides, insides = columns
        images, patches = np.stack(images), np.stack([image for image, *_ in shown])
        template_annos = np.stack([anno for _, anno, _ in shown])
        size = self.data.TEMPLATE.SIZE
        sample = {
            "template_images": torch.from_numpy(patches[:, :3]),
            "template_masks": template_mask(template_annos * size, size, self.grid),
            "template_anno": torch.from_numpy(template_annos.astype(np.float32)),
            "template_inside": torch.from_numpy(np.stack([inside for *_, inside in shown])),
            "search_images": torch.from_numpy(images[:, :3]),
            "search_inside": torch.from_numpy(np.stack(insides)),
            "search_anno": torch.from_numpy(np.stack(annos).astype(np.float32)),
            "search_visible": torch.tensor(seen),
            "crop_params": torch.tensor(params, dtype=torch.float32),
            "src_side": torch.tensor(sides, dtype=torch.float32),
        }
        if past.times is not None:
            sample |= self._known(rng, templates[0], ratio, look, past)
            sample["search_windows"] = torch.tensor(windows, dtype=torch.float32)
            sample["search_places"] = torch.tensor(places, dtype=torch.float32)
        if self.clean:
            sample["template_clean"] = torch.from_numpy(patches[:, 3:])
            sample["search_clean"] = torch.from_numpy(images[:, 3:])
        return sample

    def _ratio(self, rng, shot):
        """Camera px per source px: 1, or what makes the target a tiny one.

        It is never so small that the smallest search window exceeds the frame: black beyond it would give away the
        place of the target.
        """
        tiny, (low, high), place = rng.random(), self.data.AUGMENT.TINY_SIDE, rng.random()
        side = _side(shot.around)
        low = max(low, side * self.data.SEARCH.MIN_SIDE / min(shot.image.shape[:2]))
        high = min(high, side)
        if not self.training or tiny >= self.data.AUGMENT.TINY or low >= high:
            return 1.0
        return low * (high / low) ** place / side

    def _moves(self, rng, searches):
        """(N, 2) how the target of a still moves before each search frame, in target sizes; zeros for video."""
        moves = np.zeros((len(searches), 2))
        if len(searches) > 1 and all(shot.image is searches[0].image for shot in searches):
            limit = self.data.SEARCH.CENTER_JITTER / 2
            speed = min(rng.uniform(0, 1.5), limit)
            for step, push in enumerate(rng.standard_normal(moves.shape)):
                moves[step] = np.clip(0.8 * moves[step - 1] + 0.6 * speed * push, -limit, limit)
        return moves

    def _template(self, rng, shot, ratio, look, number):
        """(patch (3, Z, Z) uint8, box (4,) in shares of the patch, what of it shows the frame; see _inside)."""
        box = boxes.xywh_to_cxcywh(shot.around) * ratio
        if number:
            box[:2] += rng.normal(0, ONLINE_JITTER, 2) * box[2:]
            box[2:] *= np.exp(rng.normal(0, ONLINE_JITTER, 2))
        size = _frame_size(shot.image, ratio)
        window = self._window(rng, self.data.TEMPLATE, box, size)
        patch = self._shoot(rng, shot.image, window, ratio, look, number, turn=look.turn)
        return patch, _shares(boxes.cxcywh_to_xywh(box), window, look.flip), _inside(window, size, look.flip)

    def _known(self, rng, shot, ratio, look, past):
        """What the query knows before the first search frame, as SampleSet says: of a template's shot, and the Past."""
        around = boxes.xywh_to_cxcywh(shot.around) * ratio
        search = self.data.SEARCH
        side = window_side(*around[2:], search.FACTOR, search.MIN_SIDE, _frame_size(shot.image, ratio))
        window = Crop(*around[:2], side, search.SIZE, look.stretch)
        patch = self._shoot(rng, shot.image, window, ratio, look, 0, turn=look.turn)
        history = np.zeros((len(past.history), 4))
        jitter = rng.normal(0, ONLINE_JITTER * self.training, (len(history), 2))
        for row, (*box, seen), noise in zip(history, past.history, jitter, strict=True):
            if seen:
                row[:] = *_placed(np.array(box), look), seen
                row[:2] += noise * row[2]
        scale = 1.0 if shot.source is None else shot.source.side / shot.source.size
        return {
            "anchor_image": torch.from_numpy(patch[:3]),
            "anchor_window": torch.tensor(_placed(_window_box(window, shot, ratio), look), dtype=torch.float32),
            "anchor_place": torch.tensor(_placed(shot.to_source(shot.around), look), dtype=torch.float32),
            "history": torch.from_numpy(history.astype(np.float32)),
            "times": torch.from_numpy(past.times),
            "chain": torch.tensor(past.chain),
            "least_window": torch.tensor(search.MIN_SIDE / ratio * scale, dtype=torch.float32),
        }

    def _search(self, rng, shot, ratio, look, number, moves, distractor, other, away, past, which):
        """What SampleSet says of a search frame.

        (patch (3, S, S) uint8, box (4,) in shares of it, visible, what it shows (3,), the window (3,), the place (3,),
        target's side, what of the patch shows the frame; see _inside), all px of the whole frame.
        """
        # A tracker that knows where its target was looks there when it is gone: a clip shows another place instead.
        clip, gone = past.times is not None, shot
        window = self._away(rng, shot, ratio) if away and not clip else None
        stranger = other() if away and window is None else None
        if stranger is not None:  # its target, a wrong one, is shown as large as the right one would be
            ratio = min(ratio * _side(shot.around) / _side(stranger.around), 1.0)
            shot = Shot(stranger.image, None, stranger.around)
        around = boxes.xywh_to_cxcywh(shot.around) * ratio
        side = _side(around)
        width, height = _frame_size(shot.image, ratio)
        if window is None:
            # The window lies where a still's target was one frame before.
            around[:2] -= moves[-1] * side
            if past.chain == INDEPENDENT:
                jittered = self._window(rng, self.data.SEARCH, around, (width, height), not moves.any())
            else:
                before = past.before[which] if stranger is None else None
                around = around if before is None else boxes.xywh_to_cxcywh(before) * ratio
                jittered = self._chained(rng, around, (width, height))
            # As the tracker's: a prediction may run off the image, the search not.
            centre = (min(max(jittered.cx, 0.0), width), min(max(jittered.cy, 0.0), height))
            window = Crop(*centre, jittered.side, jittered.size, look.stretch)
        shown = replace(window, side=ROOM * window.side, size=ROOM * window.size) if past.room else window
        box = None if shot.box_xywh is None else np.asarray(shot.box_xywh, np.float64) * ratio
        patch = self._shoot(rng, shot.image, shown, ratio, look, number, box, distractor, len(moves))
        anno = np.zeros(4) if box is None else _shares(box, shown, look.flip)
        centre = anno[:2] + anno[2:] / 2
        visible = box is not None and bool(((centre >= 0) & (centre < 1)).all())
        # A still does not move, its camera does.
        drift = np.array([*moves.sum(axis=0) * side / ratio, 0, 0])
        boxes_xywh = (_window_box(shown, shot, ratio), _window_box(window, shot, ratio), shot.to_source(shot.around))
        places = [_placed(box + drift, look) for box in boxes_xywh]
        if stranger is not None and clip:
            cx, cy, size = _placed(gone.to_source(gone.around) + drift, look)
            scale = size / _side(stranger.around)
            places = [(cx, cy, scale * extent) for _, _, extent in places[:2]] + [(cx, cy, size)]
        inside = _inside(shown, (width, height), look.flip)
        return patch, anno if visible else np.zeros(4), visible, *places, side, inside

    def _chained(self, rng, before_cxcywh, frame_size):
        """The window of a tracker that found its target at a box one frame earlier, not quite exactly."""
        search, jitter = self.data.SEARCH, self.data.CLIP.JITTER
        cx, cy, w, h = before_cxcywh
        dx, dy, growth = rng.normal(0, jitter, 3) if self.training else np.zeros(3)
        side = window_side(w * np.exp(growth), h * np.exp(growth), search.FACTOR, search.MIN_SIDE, frame_size)
        return Crop(cx + dx * math.sqrt(w * h), cy + dy * math.sqrt(w * h), side, search.SIZE)

    def _window(self, rng, part, box_cxcywh, frame_size, jitter_centre=True):
        """The window around a box, jittered as configured in `part`.

        OSTrack's jitter, but in units of window / factor: these are target sizes, save where the smallest window
        applies. There OSTrack's would hold a tiny target in the very middle of its crop.
        """
        cx, cy, w, h = box_cxcywh
        w, h = np.exp(rng.normal(0, part.SCALE_JITTER, 2)) * (w, h)
        side = window_side(w, h, part.FACTOR, part.MIN_SIDE, frame_size)
        dx, dy = rng.uniform(-0.5, 0.5, 2) * (part.CENTER_JITTER * jitter_centre * side / part.FACTOR)
        return Crop(cx + dx, cy + dy, side, part.SIZE)

    def _away(self, rng, shot, ratio):
        """A window of the usual size that does not show the target, or None where none was found."""
        box = boxes.xywh_to_cxcywh(shot.around) * ratio
        size = np.array(_frame_size(shot.image, ratio))
        for centre in rng.uniform(0, 1, (TRIES, 2)) * size:
            window = self._window(rng, self.data.SEARCH, [*centre, *box[2:]], size)
            if (np.abs(box[:2] - (window.cx, window.cy)) > (window.side + box[2:]) / 2).any():
                return window
        return None

    def _shoot(self, rng, image, window, ratio, look, number, box_xywh=None, distractor=None, step=0, turn=0.0):
        """What a camera with that look shows in a window: (3, S, S) uint8; with `clean` the same by day below it.

        turn: of the camera about the window's middle, radian.
        """
        view = _view(window)
        source = replace(view, cx=view.cx / ratio, cy=view.cy / ratio, side=view.side / ratio)
        pixels = source.extract(image) if turn == 0 else _extract_turned(source, image, turn)
        if distractor is not None and box_xywh is not None:
            pixels = distractor.paste(pixels, view.to_patch(box_xywh), step)
        looks = [look, replace(look, night=None, noise=0.0, quality=None)] if self.clean else [look]
        views = [apply_look(pixels, each, number, rng) for each in looks]
        if view is not window:
            cx, cy = view.to_patch([window.cx, window.cy, 0, 0])[:2]
            views = [replace(window, cx=cx, cy=cy).extract(pixels) for pixels in views]
        step = -1 if look.flip else 1
        return np.concatenate([pixels[:, ::step].transpose(2, 0, 1) for pixels in views])


def _turned(shot, turn):
    """A Shot whose target is turned about its middle: the box encloses the ellipse that filled the one before."""
    if turn == 0:
        return shot
    cx, cy, w, h = boxes.xywh_to_cxcywh(shot.around)
    cosine, sine = math.cos(turn), math.sin(turn)
    extent = math.hypot(w * cosine, h * sine), math.hypot(w * sine, h * cosine)
    around = boxes.cxcywh_to_xywh(np.array([cx, cy, *extent]))
    return replace(shot, box_xywh=None if shot.box_xywh is None else around, around=around)


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


def _side(box):
    return math.sqrt(box[2] * box[3])


def _frame_size(image, ratio):
    return image.shape[1] * ratio, image.shape[0] * ratio


def _shares(box_xywh, window, flip):
    """A box (4,) in shares of a window's patch, mirrored or not."""
    anno = window.to_patch(box_xywh) / window.size
    if flip:
        anno[0] = 1 - anno[0] - anno[2]
    return anno


def _inside(window, frame_size, flip):
    """The part of a window's patch that shows the frame, (4,) float32 x0, y0, x1, y1 in shares of the patch.

    A turn of the camera is not counted.
    """
    frame = _shares(np.array([0, 0, *frame_size]), window, flip)
    return np.concatenate([frame[:2], frame[:2] + frame[2:]]).clip(0, 1).astype(np.float32)


def _window_box(window, shot, ratio):
    """A window in the camera's px of a shot as a box (4,) in px of the whole frame."""
    side = window.side / ratio
    return shot.to_source(np.array([window.cx / ratio - side / 2, window.cy / ratio - side / 2, side, side]))


def _placed(box_xywh, look):
    """(3,) centre and sqrt(w h) of a box as a clip sees it, mirrored and stretched."""
    x, y, w, h = box_xywh
    x, y = (x + w / 2) / look.stretch, (y + h / 2) * look.stretch
    return -x if look.flip else x, y, math.sqrt(max(w * h, 0.0))
