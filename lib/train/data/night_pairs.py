"""Pairs of a clean image and the same at night, which a low-light enhancer learns from."""

import cv2
import numpy as np
import torch

from ...data.camera_night import record_crop, sample_camera_night
from ...data.crop import Crop
from ...data.night import darken, sample_night
from ...errors import UserError
from .samples import Samples

DAY = 0.25  # mean brightness (largest channel) from which a frame is one of the day
GREY = 4.0  # grey levels: mean difference of the channels up to which a frame is grey, as those of thermal cameras are
DRAWS = 50  # of a frame that will do
OPEN = 0.5  # share of samples whose gate is forced open
MARGIN = 1  # px around what is enlarged, so that no border shows


class NightPairs(Samples):
    """Samples of an enhancer's. `self[epoch, index]` holds, beside Samples' own,

        night, clean (3, C, C) uint8: the observed image, and what it should become
        identity bool: the two are equal
        open bool: the gate is to be forced open; always so for identity
        real bool: a real night, of which there is no clean image; `clean` is the night itself

    Frames are taken where they are of the day; of thermal (grey) ones the dark too, in the share DATA.NIGHT.DARK of
    samples. Where there are none, day frames are made to look like them: what is dark on them stays dark. Of the
    datasets in DATA.NIGHT.REAL any frame is taken, as it is, at any scale.

    Args:
        config: an `enhancer` configuration.
        datasets, seed, ratios: see Samples. Boxes are not looked at.
        training: False for validation: no identity, the gate open, and the same in every epoch.
    """

    def __init__(self, datasets, config, *, seed, training=True, ratios=None):
        self.data = config.DATA
        part = self.data.TRAIN if training else self.data.VAL
        super().__init__(datasets, part, seed=seed, training=training, ratios=ratios)
        real = (name in self.data.NIGHT.REAL for name in datasets)
        self.real = {number for one, group in zip(real, self.groups, strict=True) if one for number in group}

    def _draw(self, rng, _epoch):
        night, size = self.data.NIGHT, self.data.CROP
        number = self._sequence(rng) if self.real else None
        if number in self.real:
            return self._draw_real(rng, number)
        shares = (night.DARK, night.IDENTITY * self.training, night.ENLARGED, 0.5, OPEN if self.training else 1)
        dark, identity, enlarged, flip, forced = (rng.random(5) < shares).tolist()
        number, frame, image, thermal = self._find(rng, dark)
        clean = self._cut(rng, image, size // 2 + 2 * MARGIN if enlarged else size)
        if dark and not thermal:
            clean = as_thermal(clean, rng.uniform(1, 2))
        shown = clean if identity else self._darkened(rng, clean)
        if enlarged:
            window = Crop(len(clean) / 2, len(clean) / 2, size / 2, size)
            clean, shown = window.extract(clean), window.extract(shown)
        return {
            "night": _planes(shown, flip),
            "clean": _planes(clean, flip),
            "identity": torch.tensor(identity),
            "open": torch.tensor(forced or identity),
            "real": torch.tensor(False),
            "frame_ids": torch.tensor([frame]),
            "name": torch.tensor(number),
        }

    def _draw_real(self, rng, number):
        """A sample of a real night: a square of it, from one pixel of the crop per pixel up to all of it."""
        frame = int(rng.integers(len(self.sequences[number])))
        image, size = self._frames(number)[frame], self.data.CROP
        flip, forced = (rng.random(2) < (0.5, OPEN)).tolist()
        largest = max(1.0, min(image.shape[:2]) / size)
        planes = _planes(self._cut(rng, image, size, (1.0, largest)), flip)
        return {
            "night": planes,
            "clean": planes,
            "identity": torch.tensor(False),
            "open": torch.tensor(forced),
            "real": torch.tensor(True),
            "frame_ids": torch.tensor([frame]),
            "name": torch.tensor(number),
        }

    def _darkened(self, rng, clean):
        night = self.data.NIGHT
        if night.CAMERA and rng.random() < night.CAMERA:
            return record_crop(clean, sample_camera_night(rng, night.EV), rng)
        return darken(clean, sample_night(rng, night.EV, processed=night.PROCESSED), rng)

    def _find(self, rng, dark):
        """A frame by chance that is one of the day or, where `dark`, a thermal one: (its sequence's number, its own,
        image, whether it is thermal)."""
        for _ in range(DRAWS):
            number = self._sequence(rng)
            if number in self.real:
                continue
            frame = int(rng.integers(len(self.sequences[number])))
            image = self._frames(number)[frame]
            few = image[::4, ::4]
            value = few.max(axis=2)
            thermal = (value - few.min(axis=2)).mean() <= GREY
            if value.mean() >= 255 * DAY or (dark and thermal):
                return number, frame, image, thermal
        raise UserError(
            f"{DRAWS} frames in a row are darker than {DAY} on average, the last one of {self.names[number]}: "
            f"an enhancer learns from images of the day"
        )

    def _cut(self, rng, image, size, scale=None):
        """A square of an image, by chance: (size, size, 3) uint8. scale: range, px of it per px; None: DATA.SCALE."""
        height, width = image.shape[:2]
        side = min(size * np.exp(rng.uniform(*np.log(scale or self.data.SCALE))), height, width)
        x, y = (int(rng.integers(int(length - side) + 1)) for length in (width, height))  # px are not resampled at 1
        return Crop(x + side / 2, y + side / 2, side, size).extract(image)


def _planes(image, flip):
    """(H, W, 3) uint8 -> (3, H, W) tensor, mirrored where `flip`."""
    return torch.from_numpy(image[:, :: -1 if flip else 1].transpose(2, 0, 1).copy())


def as_thermal(image, power):
    """A day image, (H, W, 3) uint8, as a thermal camera might show it: grey, objects light on a dark ground.

    A bright image (a sky, most often) is inverted; the dark is deepened by a power from 1.
    """
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if grey.mean() > 127:
        grey = 255 - grey
    table = np.round(255 * (np.arange(256) / 255) ** power).astype(np.uint8)
    return cv2.cvtColor(cv2.LUT(grey, table), cv2.COLOR_GRAY2RGB)
