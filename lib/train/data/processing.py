"""From frames with boxes to the tensors of a sample: crop first, with the tracker's geometry, then change the crop.

Nothing is done to whole frames. Each crop is taken in two steps: a view of the camera's own pixels around the window,
in which augmentation happens (a blur, noise or JPEG block has the size it has in a recording), then the patch that the
network sees. Tiny augmentation (spec tracker.md A.8.5) is a view with `ratio` < 1 camera px per source px, so the frame
as a whole is never resized. All coordinates below are px of that camera unless said.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from lib.data import boxes
from lib.data.crop import Crop, window_side
from lib.data.frames import PartialFrame
from lib.errors import FrameError
from lib.models.lunar.model import template_mask
from lib.train.data.augmentation import Distractor, Look, apply_look, draw_look

ONLINE_JITTER = 0.05  # of the boxes of templates but the first: while tracking they are the tracker's own
TRIES = 10


@dataclass(frozen=True)
class Shot:
    """A frame of a sample.

    image: (H, W, 3) uint8 RGB, or a PartialFrame. box_xywh: (4,) source px, None where the target is absent. around:
    (4,) the box around which the window lies. place: its name, for errors.
    """

    image: np.ndarray | PartialFrame
    box_xywh: np.ndarray | None
    around: np.ndarray
    place: str = ""


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

    def __call__(self, rng, templates, searches, other, away=()):
        """Make a sample.

        Args:
            rng: np.random.Generator.
            templates, searches: [Shot].
            other: () -> Shot of another sequence, or None where there is none.
            away: numbers of the search shots whose window shall not show the target.

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
        distractor = None
        if self.training:
            look = draw_look(rng, augment, len(templates), len(searches), ratio < 1)
            if rng.random() < augment.DISTRACTORS:
                shot = other()
                distractor = shot and Distractor.draw(rng, shot.image, np.asarray(shot.around, np.float64))
        shown = [self._template(rng, shot, ratio, look, number) for number, shot in enumerate(templates)]
        moves = self._moves(rng, searches)
        found = []
        for number, shot in enumerate(searches):
            crop = (rng, shot, ratio, look, len(templates) + number)
            found.append(self._search(*crop, moves[: number + 1], distractor, other, number in away))
        images, annos, seen, params, sides = (list(column) for column in zip(*found, strict=True))
        images, patches = np.stack(images), np.stack([image for image, _ in shown])
        template_annos = np.stack([anno for _, anno in shown])
        size = self.data.TEMPLATE.SIZE
        sample = {
            "template_images": torch.from_numpy(patches[:, :3]),
            "template_masks": template_mask(template_annos * size, size, self.grid),
            "template_anno": torch.from_numpy(template_annos.astype(np.float32)),
            "search_images": torch.from_numpy(images[:, :3]),
            "search_anno": torch.from_numpy(np.stack(annos).astype(np.float32)),
            "search_visible": torch.tensor(seen),
            "crop_params": torch.tensor(params, dtype=torch.float32),
            "src_side": torch.tensor(sides, dtype=torch.float32),
        }
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
        """(patch (3, Z, Z) uint8, box (4,) in shares of the patch)."""
        box = boxes.xywh_to_cxcywh(shot.around) * ratio
        if number:
            box[:2] += rng.normal(0, ONLINE_JITTER, 2) * box[2:]
            box[2:] *= np.exp(rng.normal(0, ONLINE_JITTER, 2))
        window = self._window(rng, self.data.TEMPLATE, box, _frame_size(shot.image, ratio))
        patch = self._shoot(rng, shot.image, window, ratio, look, number)
        return patch, _shares(boxes.cxcywh_to_xywh(box), window, look.flip)

    def _search(self, rng, shot, ratio, look, number, moves, distractor, other, away):
        """(patch (3, S, S) uint8, box (4,) in shares, visible, (cx, cy, side) px, target side px) of a search frame."""
        window = self._away(rng, shot, ratio) if away else None
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
            jittered = self._window(rng, self.data.SEARCH, around, (width, height), not moves.any())
            # As the tracker's: a prediction may run off the image, the search not.
            centre = (min(max(jittered.cx, 0.0), width), min(max(jittered.cy, 0.0), height))
            window = Crop(*centre, jittered.side, jittered.size, look.stretch)
        box = None if shot.box_xywh is None else np.asarray(shot.box_xywh, np.float64) * ratio
        patch = self._shoot(rng, shot.image, window, ratio, look, number, box, distractor, len(moves))
        anno = np.zeros(4) if box is None else _shares(box, window, look.flip)
        centre = anno[:2] + anno[2:] / 2
        visible = box is not None and bool(((centre >= 0) & (centre < 1)).all())
        dx, dy = moves.sum(axis=0) * side
        params = (width - window.cx - dx if look.flip else window.cx + dx, window.cy + dy, window.side)
        return patch, anno if visible else np.zeros(4), visible, params, side

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

    def _shoot(self, rng, image, window, ratio, look, number, box_xywh=None, distractor=None, step=0):
        """What a camera with that look shows in a window: (3, S, S) uint8; with `clean` the same by day below it."""
        view = _view(window)
        source = replace(view, cx=view.cx / ratio, cy=view.cy / ratio, side=view.side / ratio)
        pixels = source.extract(image)
        if distractor is not None and box_xywh is not None:
            pixels = distractor.paste(pixels, view.to_patch(box_xywh), step)
        looks = [look, replace(look, night=None, noise=0.0, quality=None)] if self.clean else [look]
        views = [apply_look(pixels, each, number, rng) for each in looks]
        if view is not window:
            cx, cy = view.to_patch([window.cx, window.cy, 0, 0])[:2]
            views = [replace(window, cx=cx, cy=cy).extract(pixels) for pixels in views]
        step = -1 if look.flip else 1
        return np.concatenate([pixels[:, ::step].transpose(2, 0, 1) for pixels in views])


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
