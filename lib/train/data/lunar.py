"""Samples of the family `lunar`: pairs of a template and a search crop, and clips for a network with a query."""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch

from ...data import boxes
from ...data.crop import Crop, coverage, window_side
from ...errors import UserError
from ...models.lunar.query import TRAJECTORY
from .sampler import draw_frames
from .samples import FrameSamples
from .views import ONLINE_JITTER, LabelledFrame, Views, side_of, turned

INDEPENDENT, CHAIN_GT, CHAIN_PRED = 0, 1, 2  # where the windows of a clip lie (spec query.md B.4)
CORRUPTIONS = KEPT, DROPPED, POISONED, DRAWN_OFF = range(4)  # of the memory before a clip
ROOM = 2  # a search image of CHAIN_PRED shows this many sides of the window, for the network to choose its own


@dataclass(frozen=True)
class Past:
    """What a tracker would know at the N search frames of a clip.

    Attributes:
        chain: INDEPENDENT, CHAIN_GT or CHAIN_PRED.
        room: whether search images show ROOM sides of their windows.
        before: for each search frame the target's box (4,) one step earlier, px of its image; None where there is none.
        history (L, 5): such boxes at the steps before the first search frame, the last one last, px of the whole frame,
            and 1; zeros where there is none.
        times (N,): int, steps from the first template's frame to the search frames.
    """

    chain: int
    room: bool
    before: list
    history: np.ndarray
    times: np.ndarray


class _SearchCrop(NamedTuple):
    """A search frame in the words of LunarSamples: shown is crop_params, window and target are those of a clip."""

    image: np.ndarray
    anno: np.ndarray
    visible: bool
    shown: tuple
    window: tuple
    target: tuple
    side: float


class LunarSamples(FrameSamples):
    """Pairs and clips. With T templates and N search frames, `self[epoch, index]` holds these tensors beside Samples':

        template_images (T, 3, Z, Z) uint8; template_masks (T, Lz) float32, see data.crop.coverage
        template_anno (T, 4), search_anno (N, 4) float32: xywh in shares of the crop, zeros where nothing is visible
        search_images (N, 3, S, S) uint8
        search_visible (N,) bool: the target is there and its centre in the crop
        crop_params (N, 3) float32: centre and side of what the search image shows, px of the whole frame, mirrored at
            x = 0 and stretched as the image is, so that they are the same for all frames of a clip
        src_side (N,) float32: sqrt(w h) of the target (where absent: as it was last), px of the frame as shrunk

    and for a network with a query (MODEL.QUERY), where centre_size is (3,): centre and sqrt(w h), px as of crop_params,

        search_images (N, 3, R, R), R = 2 S in the last part of the training (DATA.CLIP.CHAIN_PRED), else S
        search_windows (N, 3) float32: as crop_params, the window that the network is to see
        search_centre_size (N, 3) float32: of the target, where absent as it was last
        anchor_image (3, S, S) uint8: the search crop of the first template's frame
        anchor_window, anchor_centre_size (3,) float32: its window and target
        history (L, 4) float32: centre_size at the steps before the first search frame, and 1; zeros where unknown
        times (N,) int64: steps from the first template's frame
        chain int64: INDEPENDENT, CHAIN_GT or CHAIN_PRED
        least_window float32: side of the smallest window, px
        corruption int64: CORRUPTIONS, what happens to the memory before the first search frame

    Args:
        datasets, seed, ratios: see Samples.
        config: a `lunar` configuration.
        training: False for validation: jitter but no augmentation, and the same in every epoch.
    """

    def __init__(self, datasets: dict, config, *, seed: int, training: bool = True, ratios: list | None = None):
        super().__init__(datasets, config.DATA, seed=seed, training=training, ratios=ratios)
        self.query = config.MODEL.QUERY if config.MODEL.QUERY.ENABLE else None
        if training and self.query and self.data.CACHE:
            old = next((one for one in self.sequences if len(one) > 1 and one.windows is None), None)
            if old is not None:  # motion would be learned from crops that all have the target in the middle
                raise UserError("an older version made these crops, without windows.txt: make them anew", old.place)
        self.clips = Clips(config, training)
        self.epochs = config.TRAIN.EPOCH

    def _draw(self, rng, epoch):
        number = self._sequence(rng)
        sequence, searches = self.sequences[number], self.data.SEARCH.NUMBER
        absent, choice = rng.random() < self.data.ABSENT, rng.random()
        template_ids, search_ids = draw_frames(
            rng,
            sequence.visible,
            self.data.TEMPLATE.NUMBER,
            searches,
            self.data.MAX_SAMPLE_INTERVAL,
            absent and searches == 1,
        )
        images = {frame: self._frame(number, frame) for frame in sorted({*template_ids, *search_ids})}
        past = corruption = None
        if self.query:
            past, corruption = self._past(rng, number, template_ids[0], search_ids, images[search_ids[0]], epoch)
        templates = [self._labelled(number, frame, images[frame]) for frame in template_ids]
        search = self._searched(number, search_ids, images, templates[-1].around)
        away = range(0)
        if absent and all(found.box_xywh is not None for found in search):
            first = 1 + int(choice * (searches - 1)) if searches > 1 else 0  # a clip begins with its target
            away = range(first, searches if searches == 1 else min(first + 2, searches))
        other = lambda: self._other(rng, number)  # noqa: E731 -- seldom needed, and it reads a frame
        sample = self.clips(rng, templates, search, other, away, past)
        if past is not None:
            sample["corruption"] = torch.tensor(corruption)
        return {**sample, "frame_ids": torch.tensor(template_ids + search_ids), "name": torch.tensor(number)}

    def _past(self, rng, number, template, searches, image, epoch):
        """(Past, corruption) of a clip that begins at frame `searches[0]`, shown by `image`."""
        clip, sequence = self.data.CLIP, self.sequences[number]
        chance, kind, cut = rng.random(3)
        # From here on the progress of the training decides, so that a sample stays a function of (seed, epoch, index).
        progress = (epoch - 1) / self.epochs if self.training else clip.CHAIN_GT
        room = self.training and progress >= clip.CHAIN_PRED
        other = CHAIN_PRED if room else CHAIN_GT if progress >= clip.CHAIN_GT else INDEPENDENT
        chain = other if chance < 0.5 else CHAIN_GT
        shares = np.cumsum([clip.DROP, clip.POISON, clip.DRAW_OFF]) * self.training
        corruption = (DROPPED, POISONED, DRAWN_OFF, KEPT)[int(np.searchsorted(shares, kind, side="right"))]
        stride = max(searches[1] - searches[0], 1) if len(searches) > 1 else 1
        earlier = searches[0] - stride * np.arange(TRAJECTORY, 0, -1)
        known = (earlier >= template) & sequence.visible[np.maximum(earlier, 0)]
        if self.training and cut < 0.3:  # a track just begun
            known[: -1 - int(cut / 0.3 * (len(known) - 1))] = False
        history = np.zeros((len(earlier), 5))
        for row in np.flatnonzero(known):
            history[row] = *self._whole(number, int(earlier[row]), image.shape[0]), 1
        if corruption == DRAWN_OFF:  # as by a similar object that crosses the trajectory of the target
            count, angle = int(rng.integers(1, 9)), rng.uniform(0, 2 * np.pi)
            ramp = rng.uniform(0, 0.8) * np.arange(1, count + 1) / count
            size = np.sqrt(history[-count:, 2:4].prod(axis=1))
            history[-count:, :2] += (ramp[-len(size) :] * size)[:, None] * [np.cos(angle), np.sin(angle)]
        before = []
        for frame in searches:
            last = frame - stride
            seen = last >= 0 and sequence.visible[last] and len(sequence) > 1
            before.append(self._seen_in(number, last, frame, image.shape[0]) if seen else None)
        gap = max(round((searches[0] - template) / stride), 1)
        return Past(chain, room, before, history, gap + np.arange(len(searches))), corruption

    def _seen_in(self, number, last, frame, size):
        """The target's box (4,) in frame `last`, px of the image of `frame`."""
        source, box = self._source(number, frame, size), self._whole(number, last, size)
        return box if source is None else source.to_patch(box)


class Clips:
    """Makes the tensors of samples from their frames.

    Args:
        config: a `lunar` configuration.
        training: False for crops as they are, jittered but not augmented.
    """

    def __init__(self, config, training: bool = True):
        self.data, self.training = config.DATA, training
        self.grid = config.DATA.TEMPLATE.SIZE // config.MODEL.BACKBONE.STRIDE
        self.views = Views(config.DATA, training, clean=config.TRAIN.FEATURE_WEIGHT > 0)

    def __call__(
        self,
        rng: np.random.Generator,
        templates: Sequence[LabelledFrame],
        searches: Sequence[LabelledFrame],
        other: Callable[[], LabelledFrame | None],
        away: Collection[int] = (),
        past: Past | None = None,
    ) -> dict[str, torch.Tensor]:
        """Make a sample.

        Args:
            rng: of the sample.
            templates, searches: its frames.
            other: reads a frame of another sequence, or None where there is none.
            away: numbers of the search frames whose window shall not show the target.
            past: for a network with a query; None for one without.

        Returns:
            What LunarSamples says, without what names the sample.

        Raises:
            FrameError: a template's box is not on its frame.
        """
        scene = self.views.scene(rng, templates, searches, other, crossing=past is not None)
        patches, boxes_of, _ = zip(
            *(self.views.template(rng, frame, scene, number) for number, frame in enumerate(templates)), strict=True
        )
        moves, found = self._moves(rng, searches), []
        for number, frame in enumerate(searches):
            window = None
            if number in away and past is None:
                window = self.views.elsewhere(rng, frame, scene.ratio)
            stranger = other() if number in away and window is None else None
            crop = len(templates) + number
            found.append(self._search(rng, frame, scene, crop, moves[: number + 1], past, window, stranger))
        shown, template_anno, size = np.stack(patches), np.stack(boxes_of), self.data.TEMPLATE.SIZE
        images = np.stack([each.image for each in found])
        sample = {
            "template_images": torch.from_numpy(shown[:, :3]),
            "template_masks": torch.from_numpy(coverage(template_anno * size, size, self.grid)),
            "template_anno": torch.from_numpy(template_anno.astype(np.float32)),
            "search_images": torch.from_numpy(images[:, :3]),
            "search_anno": torch.from_numpy(np.stack([each.anno for each in found]).astype(np.float32)),
            "search_visible": torch.tensor([each.visible for each in found]),
            "crop_params": torch.tensor([each.shown for each in found], dtype=torch.float32),
            "src_side": torch.tensor([each.side for each in found], dtype=torch.float32),
        }
        if past is not None:
            sample |= self._known(rng, templates[0], scene, past)
            sample["search_windows"] = torch.tensor([each.window for each in found], dtype=torch.float32)
            sample["search_centre_size"] = torch.tensor([each.target for each in found], dtype=torch.float32)
        if self.views.clean:
            sample["template_clean"] = torch.from_numpy(shown[:, 3:])
            sample["search_clean"] = torch.from_numpy(images[:, 3:])
        return sample

    def _moves(self, rng, searches):
        """(N, 2) how the target of a still moves before each search frame, in target sizes; zeros for video."""
        moves = np.zeros((len(searches), 2))
        if len(searches) > 1 and all(frame.image is searches[0].image for frame in searches):
            limit = self.data.SEARCH.CENTER_JITTER / 2
            speed = min(rng.uniform(0, 1.5), limit)
            for step, push in enumerate(rng.standard_normal(moves.shape)):
                moves[step] = np.clip(0.8 * moves[step - 1] + 0.6 * speed * push, -limit, limit)
        return moves

    def _known(self, rng, first, scene, past):
        """What the query knows before the first search frame: the search crop of the first template's frame, and past.

        first: LabelledFrame of the first template.
        """
        look, search = scene.appearance, self.data.SEARCH
        frame = turned(first, look.turn)
        around = boxes.xywh_to_cxcywh(frame.around) * scene.ratio
        side = window_side(*around[2:], search.FACTOR, search.MIN_SIDE, frame.size(scene.ratio))
        window = Crop(*around[:2], side, search.SIZE, look.stretch)
        patch = self.views.photograph(rng, frame, window, scene, 0, turn=look.turn)
        history = np.zeros((len(past.history), 4))
        jitter = rng.normal(0, ONLINE_JITTER * self.training, (len(history), 2))
        for row, (*box, seen), noise in zip(history, past.history, jitter, strict=True):
            if seen:
                row[:] = *_centre_size(np.array(box), look), seen
                row[:2] += noise * row[2]
        scale = 1.0 if frame.source is None else frame.source.side / frame.source.size
        target = _centre_size(frame.to_source(frame.around), look)
        shown = _centre_size(_window_box(window, frame, scene.ratio), look)
        return {
            "anchor_image": torch.from_numpy(patch[:3]),
            "anchor_window": torch.tensor(shown, dtype=torch.float32),
            "anchor_centre_size": torch.tensor(target, dtype=torch.float32),
            "history": torch.from_numpy(history.astype(np.float32)),
            "times": torch.from_numpy(past.times),
            "chain": torch.tensor(past.chain),
            "least_window": torch.tensor(search.MIN_SIDE / scene.ratio * scale, dtype=torch.float32),
        }

    def _search(self, rng, frame, scene, number, moves, past, window, stranger):
        """The _SearchCrop of a frame.

        Args:
            frame: LabelledFrame.
            number: of the crop in the sample.
            moves (n, 2): of a still's target before this frame and those before it, in target sizes.
            past: Past or None.
            window: one that does not show the target; None for the usual one.
            stranger: LabelledFrame of another sequence to be shown instead, or None. When the target is absent, a
                tracker with memory searches its last position: clips show another target there.
        """
        gone, look = frame, scene.appearance
        if stranger is not None:  # its target, a wrong one, is shown as large as the right one would be
            scene = replace(scene, ratio=min(scene.ratio * side_of(frame.around) / side_of(stranger.around), 1.0))
            frame = LabelledFrame(stranger.image, None, stranger.around)
        around = boxes.xywh_to_cxcywh(frame.around) * scene.ratio
        side = side_of(around)
        if window is None:
            # The window lies where a still's target was one frame before.
            around[:2] -= moves[-1] * side
            before = past.before[len(moves) - 1] if past is not None and stranger is None else None
            window = self._usual_window(rng, around, before, frame.size(scene.ratio), scene, past, not moves.any())
        room = past is not None and past.room
        shown = replace(window, side=ROOM * window.side, size=ROOM * window.size) if room else window
        patch, anno, visible = self.views.search(rng, frame, shown, scene, number, len(moves))
        # A still does not move, its camera does.
        drift = np.array([*moves.sum(axis=0) * side / scene.ratio, 0, 0])
        boxes_xywh = (
            *(_window_box(each, frame, scene.ratio) for each in (shown, window)),
            frame.to_source(frame.around),
        )
        found = [_centre_size(box + drift, look) for box in boxes_xywh]
        if stranger is not None and past is not None:
            cx, cy, size = _centre_size(gone.to_source(gone.around) + drift, look)
            scale = size / side_of(stranger.around)
            found = [(cx, cy, scale * extent) for _, _, extent in found[:2]] + [(cx, cy, size)]
        return _SearchCrop(patch, anno, visible, *found, side)

    def _usual_window(self, rng, around, before, frame_size, scene, past, jitter_centre):
        """The window around a box (4,) cxcywh, or around the one before where clips follow their target."""
        if past is None or past.chain == INDEPENDENT:
            window = self.views.window(rng, self.data.SEARCH, around, frame_size, jitter_centre)
        else:
            around = around if before is None else boxes.xywh_to_cxcywh(before) * scene.ratio
            window = self._chained(rng, around, frame_size)
        return self.views.search_window(window, frame_size, scene)

    def _chained(self, rng, before_cxcywh, frame_size):
        """The window of a tracker that found its target at a box one frame earlier, not quite exactly."""
        search, jitter = self.data.SEARCH, self.data.CLIP.JITTER
        cx, cy, w, h = before_cxcywh
        dx, dy, growth = rng.normal(0, jitter, 3) if self.training else np.zeros(3)
        side = window_side(w * np.exp(growth), h * np.exp(growth), search.FACTOR, search.MIN_SIDE, frame_size)
        return Crop(cx + dx * math.sqrt(w * h), cy + dy * math.sqrt(w * h), side, search.SIZE)


def _window_box(window, frame, ratio):
    """A window in the camera's px of a frame as a box (4,) in px of the whole frame."""
    side = window.side / ratio
    return frame.to_source(np.array([window.cx / ratio - side / 2, window.cy / ratio - side / 2, side, side]))


def _centre_size(box_xywh, appearance):
    """(3,) centre and sqrt(w h) of a box as a clip sees it, mirrored and stretched."""
    x, y, w, h = box_xywh
    x, y = (x + w / 2) / appearance.stretch, (y + h / 2) * appearance.stretch
    return -x if appearance.flip else x, y, math.sqrt(max(w * h, 0.0))
