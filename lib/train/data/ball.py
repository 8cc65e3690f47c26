"""Windows of frames with the places of a ball: what networks that find balls learn from."""

from collections import OrderedDict

import cv2
import numpy as np
import torch

from ...data.ball_windows import median_background, scale_to
from ...data.render.throw import throw
from ...errors import UserError
from .samples import Samples

KEPT = 1.2e9  # bytes of decoded frames that a process keeps: rendered ones cost more to make than to keep
MEDIAN_OF = 9  # frames, spread over the sequence, that the background is the median of


class BallSamples(Samples):
    """Windows of one sequence, cut out and scaled alike. `self[epoch, index]` holds, beside Samples' own,

        frames (N, 3, h, w) uint8: in the order of time
        points (N, 2) float32: the ball's centre, px of them; NaN where it is not seen or lies outside
        background (3, h, w) uint8: median of the sequence, if MODEL.BACKGROUND

    A sequence of boxes shows no ball. In training one is drawn over its frames (lib/data/render/throw.py).

    Args:
        datasets, seed, ratios: see Samples.
        config: a configuration of config.ball.
        training: False for validation: crops are around the ball or not as in training, but nothing is augmented.

    Raises:
        UserError: a dataset in which no sequence is as long as a window.
    """

    def __init__(self, datasets, config, *, seed, training=True, ratios=None):
        self.data, self.count, self.background = config.DATA, config.MODEL.FRAMES, config.MODEL.BACKGROUND
        long = {name: [one for one in group if len(one) >= self.count] for name, group in datasets.items()}
        for name, sequences in long.items():
            if not sequences:
                raise UserError(f"{name}: no sequence has {self.count} frames, which a window has")
        part = self.data.TRAIN if training else self.data.VAL
        super().__init__(long, part, seed=seed, training=training, ratios=ratios)
        self._kept: OrderedDict = OrderedDict()
        self._bytes = 0

    def __getstate__(self):
        return {**super().__getstate__(), "_kept": OrderedDict(), "_bytes": 0}

    def _draw(self, rng, epoch):
        data = self.data
        number = self._of_pool(rng, epoch)
        sequence = self.sequences[number]
        ids, gap, around = self._window(rng, sequence)
        images, points = [self._image(number, index) for index in ids], sequence.points[ids]
        lows, side = self._regions(rng, images[0], points[self.count // 2] if around else None)
        size = tuple(data.CROP)
        frames = np.stack([_cut(image, low, side, size) for image, low in zip(images, lows, strict=True)])
        sample = {"frames": frames}
        if self.background:
            spread = np.linspace(0, len(sequence) - 1, min(MEDIAN_OF, len(sequence))).round().astype(int)
            low = lows[self.count // 2]
            cuts = [_cut(self._image(number, index), low, side, size) for index in spread]
            sample["background"] = median_background(np.stack(cuts)).astype(np.uint8)[None]
        points = (points - lows) * np.divide(size, side)
        if self.training:
            if sequence.task == "box":  # its boxes show something else
                points = throw(rng, frames, gap) if around else np.full_like(points, np.nan)
            table = _tones(rng, data.COLOUR)
            sample = {
                name: cv2.LUT(value.reshape(-1, 1, 3), table).reshape(value.shape) for name, value in sample.items()
            }
            if rng.random() < data.COMPRESS:
                sample["frames"] = _compressed(rng, sample["frames"])
            if rng.random() < data.FLIP:
                sample = {name: value[:, :, ::-1] for name, value in sample.items()}
                points[:, 0] = size[0] - points[:, 0]
        with np.errstate(invalid="ignore"):
            inside = ((points >= 0) & (points < size)).all(axis=1)
        points[~inside] = np.nan
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(value.transpose(0, 3, 1, 2))) for name, value in sample.items()
        }
        if self.background:
            tensors["background"] = tensors["background"][0]
        return {
            **tensors,
            "points": torch.from_numpy(points.astype(np.float32)),
            "frame_ids": torch.tensor(ids),
            "name": torch.tensor(number),
        }

    def _of_pool(self, rng, epoch):
        """The number of a sequence, of those that this epoch draws from."""
        dataset, share = rng.random(2).tolist()
        group = self.groups[self._dataset(dataset)]
        pool = min(self.data.POOL or len(group), len(group)) if self.training else len(group)
        return group[(epoch * pool + int(share * pool)) % len(group)]

    def _window(self, rng, sequence):
        """Frame numbers of a window, their distance, and whether the crop shows the ball of the middle frame."""
        reach = self.count - 1
        gap = int(rng.integers(1, min(self.data.GAP, (len(sequence) - 1) // max(reach, 1)) + 1))
        first = int(rng.integers(len(sequence) - reach * gap))
        around = rng.random() < self.data.AROUND
        if around:
            before = self.count // 2 * gap
            seen = np.flatnonzero(sequence.visible[before : before + len(sequence) - reach * gap])
            around = len(seen) > 0
            first = int(seen[rng.integers(len(seen))]) if around else first
        return [first + gap * step for step in range(self.count)], gap, around

    def _regions(self, rng, image, point):
        """The parts of the frames that the crops show: corners (N, 2) (x, y) and size (2,), whole px."""
        whole, crop = np.array(image.shape[1::-1]), np.array(self.data.CROP)
        scale = np.full(2, np.sqrt(np.prod(self.data.SIZE) / whole.prod()))
        if self.training:
            stretch = rng.uniform(-0.5, 0.5) * np.log(self.data.STRETCH)
            scale *= np.exp(rng.uniform(*np.log(self.data.ZOOM)) + stretch * np.array([1, -1]))
        scale = np.maximum(scale, crop / whole)
        side = np.minimum(np.round(crop / scale).astype(int), whole)
        shares = rng.uniform(0, 1, 2)
        corner = shares * (whole - side) if point is None else point - (0.1 + 0.8 * shares) * side
        pan = rng.normal(0, self.data.PAN / scale, 2) if self.training and rng.random() < 0.5 else np.zeros(2)
        steps = np.arange(self.count)[:, None] - self.count // 2
        return np.clip(np.round(corner + steps * pan).astype(int), 0, whole - side), side

    def _image(self, number, index):
        """A frame, kept as long as there is room."""
        frames = self._frames(number)
        key = number, index
        if key not in self._kept:
            self._kept[key] = frames[index]
            self._bytes += self._kept[key].nbytes
            while self._bytes > KEPT and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept.move_to_end(key)
        return self._kept[key]


def _cut(image, low, side, size):
    """The part of an image from a corner, scaled."""
    return scale_to(image[low[1] : low[1] + side[1], low[0] : low[0] + side[0]], size)


def _compressed(rng, frames):
    """Frames (N, H, W, 3) after a soft lens and JPEG of one random quality."""
    blur, quality = rng.uniform(0.2, 0.7), int(rng.uniform(30, 90))
    soft = [cv2.GaussianBlur(frame, (0, 0), blur) for frame in frames]
    written = [cv2.cvtColor(frame, cv2.COLOR_RGB2BGR) for frame in soft]
    files = [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in written]
    return np.stack([cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) for file in files])


def _tones(rng, change):
    """(1, 256, 3) uint8: what every value of each channel becomes, for OpenCV's LUT."""
    gain = (1 + rng.uniform(-change, change)) * (1 + rng.uniform(-change, change, 3) / 2)
    power = np.exp(rng.uniform(-change, change))
    values = 255 * (np.arange(256) / 255)[:, None] ** power * gain
    return np.round(values).clip(0, 255).astype(np.uint8)[None]
