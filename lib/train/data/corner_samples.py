"""Samples of trackers that answer with the corners of one box: templates, search crops, and what of them is black."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ...data import boxes
from .sampler import draw_frames
from .samples import FrameSamples
from .views import Views, inside, side_of


class CornerSamples(FrameSamples):
    """With T templates and N search frames, `self[epoch, index]` holds these tensors beside Samples':

        template_images (T, 3, Z, Z), search_images (N, 3, S, S) uint8
        search_anno (N, 4) float32: xywh in shares of the crop, zeros where the target is not visible
        search_visible (N,) bool: the target is there and its centre in the crop
        template_inside (T, 4), search_inside (N, 4) float32: x0, y0, x1, y1 of the part of the crop that shows the
            frame, in shares of the crop; the rest is black

    Search frames are in the order of time. The window of each one is jittered about its own target.

    Args:
        datasets, seed, training, ratios: see FrameSamples.
        config: a configuration with DATA.
    """

    def __init__(self, datasets: dict, config: Any, *, seed: int, training: bool = True, ratios: list | None = None):
        super().__init__(datasets, config.DATA, seed=seed, training=training, ratios=ratios)
        self.views = Views(config.DATA, training)

    def _draw(self, rng, epoch):
        number = self._sequence(rng)
        data, count = self.data, self.data.SEARCH.NUMBER
        absent, choice = rng.random() < data.ABSENT, rng.random()
        template_ids, search_ids = draw_frames(
            rng,
            self.sequences[number].visible,
            data.TEMPLATE.NUMBER,
            count,
            data.MAX_SAMPLE_INTERVAL,
            absent and count == 1,
        )
        images = {frame: self._frame(number, frame) for frame in sorted({*template_ids, *search_ids})}
        templates = [self._labelled(number, frame, images[frame]) for frame in template_ids]
        searches = self._searched(number, search_ids, images, templates[-1].around)
        away = int(choice * count) if absent and all(frame.box_xywh is not None for frame in searches) else None
        other = lambda: self._other(rng, number)  # noqa: E731 -- seldom needed, and it reads a frame
        scene = self.views.scene(rng, templates, searches, other, crossing=count > 1)
        first = [self._template(rng, frame, scene, place) for place, frame in enumerate(templates)]
        found = [
            self._search(rng, frame, scene, place, other if place == away else None)
            for place, frame in enumerate(searches)
        ]
        patches, parts = zip(*first, strict=True)
        crops, annos, visible, shown = zip(*found, strict=True)
        return {
            "template_images": torch.from_numpy(np.stack(patches)),
            "template_inside": torch.from_numpy(np.stack(parts)),
            "search_images": torch.from_numpy(np.stack(crops)),
            "search_inside": torch.from_numpy(np.stack(shown)),
            "search_anno": torch.from_numpy(np.stack(annos).astype(np.float32)),
            "search_visible": torch.tensor(visible),
            "frame_ids": torch.tensor(template_ids + search_ids),
            "name": torch.tensor(number),
        }

    def _template(self, rng, frame, scene, number):
        """(patch, inside) of a template."""
        patch, _, window = self.views.template(rng, frame, scene, number)
        return patch, inside(window, frame.size(scene.ratio), scene.appearance.flip)

    def _search(self, rng, frame, scene, number, other):
        """(patch, box, visible, inside) of search frame `number`, from 0.

        other: None for a window that shows the target. Otherwise the window shows another part of the frame, or where
            there is no room for it the target of the frame that `other` reads.
        """
        window = None if other is None else self.views.elsewhere(rng, frame, scene.ratio)
        stranger = other() if other is not None and window is None else None
        if stranger is not None:  # it is shown as large as the target would be
            scene = replace(scene, ratio=min(scene.ratio * side_of(frame.around) / side_of(stranger.around), 1.0))
            frame = replace(stranger, box_xywh=None)
        size, around = frame.size(scene.ratio), boxes.xywh_to_cxcywh(frame.around) * scene.ratio
        if window is None:
            window = self.views.window(rng, self.data.SEARCH, around, size)
            window = self.views.search_window(window, size, scene)
        crop = self.data.TEMPLATE.NUMBER + number
        patch, anno, visible = self.views.search(rng, frame, window, scene, crop, number + 1)
        return patch, anno, visible, inside(window, size, scene.appearance.flip)
