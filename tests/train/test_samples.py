"""A data set of another family, of template, search and online template, made of what lib/train/data shares."""

import numpy as np
import torch

from lib import config
from lib.data.sequence import Sequence
from lib.train.data.sampler import draw_frames
from lib.train.data.samples import FrameSamples
from lib.train.data.views import Views, side_of


class Triples(FrameSamples):
    """First template, search crop and a template of a frame in between, as STARK trains with."""

    def __init__(self, datasets, config, *, seed, training=True):
        super().__init__(datasets, config.DATA, seed=seed, training=training)
        self.views = Views(self.data, training)

    def _draw(self, rng, epoch):
        number = self._sequence(rng)
        templates, searches = draw_frames(rng, self.sequences[number].visible, 2, 1, self.data.MAX_SAMPLE_INTERVAL)
        frames = [self._labelled(number, frame, self._frame(number, frame)) for frame in (*templates, *searches)]
        scene = self.views.scene(rng, frames[:2], frames[2:], lambda: self._other(rng, number))
        shown = [self.views.template(rng, frame, scene, place) for place, frame in enumerate(frames[:2])]
        size = frames[2].size(scene.ratio)
        x, y, w, h = frames[2].around * scene.ratio
        window = self.views.window(rng, self.data.SEARCH, (x + w / 2, y + h / 2, w, h), size)
        window = self.views.search_window(window, size, scene)
        patch, anno, visible = self.views.search(rng, frames[2], window, scene, 2)
        return {
            "templates": torch.from_numpy(np.stack([patch for patch, *_ in shown])),
            "search": torch.from_numpy(patch),
            "anno": torch.from_numpy(anno),
            "visible": torch.tensor(visible),
            "side": torch.tensor(side_of((0, 0, w, h))),
            "frame_ids": torch.tensor(templates + searches),
            "name": torch.tensor(number),
        }


def test_a_family_of_its_own_samples():
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 90, (96, 96, 3), np.uint8) for _ in range(9)]
    boxes = np.array([(20.0 + 3 * n, 30, 12, 9) for n in range(9)])
    for image, (x, y, w, h) in zip(images, boxes.astype(int), strict=True):
        image[y : y + h, x : x + w] = 250
    settings = config.load("lunar", "tiny_pairs", ["DATA.SEARCH.MIN_SIDE=40", "DATA.AUGMENT.NIGHT=0"])
    made = Triples({"own": [Sequence("clip", "own", boxes, lambda: images)]}, settings, seed=1)
    for index in range(20):
        sample, again = made[1, index], made[1, index]
        assert all(value.equal(again[name]) for name, value in sample.items())
        assert sample["templates"].shape == (2, 3, 64, 64) and sample["search"].shape == (3, 128, 128)
        assert sample["frame_ids"].diff().min() >= 0
        if sample["visible"]:
            x, y, w, h = (sample["anno"] * 128).round().long().clamp(0, 127).tolist()
            inside = sample["search"][:, y : y + max(h, 1), x : x + max(w, 1)].float().mean()
            assert inside > sample["search"].float().mean(), "the box shows the bright target"
