"""Samples of trackers that learn their target online: some frames to learn from, and later ones to find it in."""

import math
from typing import Any

import numpy as np
import torch
from easydict import EasyDict

from ...data import boxes
from ...data.crop import Crop
from ...errors import FrameError
from .proposals import density_proposals, overlap_proposals
from .sampler import draw_frames
from .samples import FrameSamples
from .views import Views

MAX_SHRINK = 1.5  # of a window that is to lie in the image, as while tracking
PROPOSALS = {"overlap": overlap_proposals, "density": density_proposals}


class OnlineSamples(FrameSamples):
    """With N template frames and M search frames, `self[epoch, index]` holds these tensors beside Samples':

        template_images (N, 3, S, S), search_images (M, 3, S, S) uint8
        template_boxes (N, 4), search_boxes (M, 4) float32: the target xywh, px of the crop; it is in every crop
        proposals (M, P, 4) float32: boxes to rate, xywh px, where the network rates boxes (TRAIN.PROPOSALS)

    Windows lie as while tracking, as TEST.BORDER says. Beyond the image a crop repeats its border.

    Args:
        datasets, seed, ratios: see Samples.
        config: a configuration with DATA, TRAIN and TEST.
        training: False for validation: jitter but no augmentation, and the same in every epoch.
    """

    def __init__(self, datasets: dict, config: Any, *, seed: int, training: bool = True, ratios: list | None = None):
        data = EasyDict({**config.DATA, "TEMPLATE": {**config.DATA.SEARCH, **config.DATA.TEMPLATE}})
        super().__init__(datasets, data, seed=seed, training=training, ratios=ratios)
        self.views, self.inside = Views(data, training), config.TEST.BORDER != "replicate"
        self.propose, self.count = PROPOSALS.get(config.TRAIN.get("BOX_LOSS")), config.TRAIN.get("PROPOSALS", 0)

    def _draw(self, rng, epoch):
        number = self._sequence(rng)
        visible, data = self.sequences[number].visible, self.data
        ids = draw_frames(rng, visible, data.TEMPLATE.NUMBER, data.SEARCH.NUMBER, data.MAX_SAMPLE_INTERVAL)
        template_ids, search_ids = ids[0], _seen(ids[1], visible)
        images = {frame: self._frame(number, frame) for frame in sorted({*template_ids, *search_ids})}
        templates, searches = (
            [self._labelled(number, frame, images[frame]) for frame in frames] for frames in (template_ids, search_ids)
        )
        scene = self.views.scene(rng, templates, searches, lambda: self._other(rng, number))
        sections = [data.TEMPLATE] * len(templates) + [data.SEARCH] * len(searches)
        crops = [
            self._crop(rng, frame, scene, section, index)
            for index, (frame, section) in enumerate(zip([*templates, *searches], sections, strict=True))
        ]
        patches, found = (np.stack(column) for column in zip(*crops, strict=True))
        patches, found = torch.from_numpy(patches), found * data.SEARCH.SIZE
        first = len(templates)
        sample = {
            "template_images": patches[:first],
            "template_boxes": torch.from_numpy(found[:first].astype(np.float32)),
            "search_images": patches[first:],
            "search_boxes": torch.from_numpy(found[first:].astype(np.float32)),
            "frame_ids": torch.tensor(template_ids + search_ids),
            "name": torch.tensor(number),
        }
        if self.propose is not None:
            drawn = np.stack([self.propose(rng, box, self.count) for box in found[first:]])
            sample["proposals"] = torch.from_numpy(drawn.astype(np.float32))
        return sample

    def _crop(self, rng, frame, scene, section, number):
        """(patch (3, S, S), box (4,) in shares of it). Raises FrameError where the crop does not show the target."""
        size = frame.size(scene.ratio)
        window = self.views.window(rng, section, boxes.xywh_to_cxcywh(frame.around) * scene.ratio, size)
        if self.inside:
            window = _within(window, size)
        window = self.views.search_window(window, size, scene)
        step = max(number + 1 - self.data.TEMPLATE.NUMBER, 0)
        patch, box, visible = self.views.search(rng, frame, window, scene, number, step)
        if not visible:
            raise FrameError("the target is not in the crop", frame.location)
        return _repeat_border(patch, window, size, scene.appearance.flip), box


def _seen(frames, visible):
    """Frames in ascending order, the first of them visible; in the place of one without target the one before."""
    seen = []
    for frame in frames:
        seen.append(frame if visible[frame] else seen[-1])
    return seen


def _within(window, frame_size):
    """The window, shrunk to the longer side of the frame (up to MAX_SHRINK times) and moved into it."""
    side = window.side / min(max(min(window.side / length for length in frame_size), 1.0), MAX_SHRINK)
    cx, cy = (
        length / 2 if side > length else min(max(centre, side / 2), length - side / 2)
        for centre, length in zip((window.cx, window.cy), frame_size, strict=True)
    )
    return Crop(cx, cy, side, window.size, window.stretch)


def _repeat_border(patch, window, frame_size, flip):
    """A patch (C, S, S) whose rows and columns beyond the frame are those at its border."""
    inside = window.to_patch(np.array([0.0, 0.0, *frame_size]))
    for axis, (start, length) in enumerate(((inside[1], inside[3]), (inside[0], inside[2])), start=1):
        first, last = math.ceil(start - 1e-6), math.floor(start + length + 1e-6) - 1
        if flip and axis == 2:
            first, last = window.size - 1 - last, window.size - 1 - first
        index = np.arange(window.size).clip(max(first, 0), min(last, window.size - 1))
        patch = patch.take(index, axis=axis)
    return patch
