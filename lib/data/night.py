"""Day to night: what a camera would have recorded of the same scene with 1.5 to 7 stops less light.

Physics of spec/enhancer.md section 6, in its order: linear light, exposure with a smooth field and lamps, colour of
the light, shot and read noise, gamma, veil, 8 bits, JPEG. Draw `NightParams` once and use it for template and search,
or for a whole clip: only the noise is fresh for every frame. All randomness comes from the generator passed in, so the
same seed gives the same bytes.
"""

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from ..errors import UserError

DAY_GAMMA = 2.2
# Of the encoding table, which is read at sqrt(light): there 12 bits resolve 8-bit output even in the dark.
_LEVELS = 4096
_STRIPE = 32  # rows worked on at a time: intermediate arrays stay in the cache, 1.7 times faster on 1080p frames
_POOL = 1 << 20


@dataclass(frozen=True)
class Lamp:
    """A pool of light: centre as fractions of width and height, radius (Gaussian sigma) as a fraction of the width.

    exposure: at its centre, where 1 is day.
    """

    x: float
    y: float
    radius: float
    colour: tuple[float, float, float]  # linear RGB, [0, 1]
    exposure: float = 0.8


@dataclass(frozen=True)
class NightParams:
    """One night. Hashable, so that its light map is computed once per clip.

    ev: stops darker than day. field: (9,) further stops, a 3x3 grid in row order spread over the image. white_balance:
    linear RGB gains of the light, largest 1. shot: noise variance per unit of linear light. read: noise variance in
    the dark. gamma: of the camera's encoding. veil: [0, 1] grey added after encoding (haze, stray light). jpeg:
    quality, or None for no compression.
    """

    ev: float
    field: tuple[float, ...] = (0.0,) * 9
    lamps: tuple[Lamp, ...] = ()
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    shot: float = 0.0
    read: float = 0.0
    gamma: float = DAY_GAMMA
    veil: float = 0.0
    jpeg: int | None = None


_SLOPE = (-0.4, -0.2, 0.1, -0.3, 0.0, 0.3, -0.1, 0.2, 0.4)  # one fixed field: top left lighter, bottom right darker
# Fixed nights for validation. Mean V (largest of R, G, B, in [0, 1]) of 16 real day and thermal sequences, 10 frames
# of each, is 0.46 by day and 0.25, 0.14, 0.09 in these.
STRENGTHS = {
    "mild": NightParams(2.0, _SLOPE, (), (1.0, 0.93, 0.85), shot=5e-5, read=1e-7, veil=0.01),
    "moderate": NightParams(4.0, _SLOPE, (), (1.0, 0.93, 0.85), shot=2e-4, read=5e-7, veil=0.01),
    "heavy": NightParams(6.0, _SLOPE, (), (1.0, 0.93, 0.85), shot=5e-4, read=1e-6, veil=0.01),
}


def night_strength(name):
    """The fixed night called mild, moderate or heavy (`STRENGTHS`). Raises UserError for another name."""
    if name not in STRENGTHS:
        raise UserError(f"unknown night strength {name!r}: expected one of {', '.join(STRENGTHS)}")
    return STRENGTHS[name]


def sample_night(rng, ev_range=(1.5, 6.0), jpeg_probability=0.5, processed=0.0):
    """Draw a random night from a np.random.Generator.

    processed: probability of a camera that denoises before it saves, in a lit town: noise 3 to 100 times weaker, veil a
    quarter, light up to three times as uneven, twice as many lamps, smaller and up to 2.5 times as bright. Median of
    100 such nights / of 110 real frames from drones: mean V .13 / .11, noise in flat places .002 / .002, darkest
    hundredths .03 / .02, brightest .47 / .62.

    ev_range: stops; (1.5, 6) gives a mean V of 0.18 from day frames, (3, 7) 0.14. Ranges are those of spec/enhancer.md
    section 6, but read noise is drawn independently of shot noise, over 1e-8 to 1e-5 (spec/enhancer_tracking.md 6).
    """
    ev = rng.uniform(*ev_range)
    field = rng.standard_normal(9) * rng.uniform(0, 0.8)
    draws = rng.uniform((0, 0, 0.02, 0.6, 0.3), (1, 1, 0.12, 1, 1), (rng.integers(0, 3), 5)).tolist()
    lamps = tuple(Lamp(x, y, radius, (1.0, green, blue)) for x, y, radius, green, blue in draws)
    balance = np.exp(rng.normal(0, 0.12, 3))
    shot, read = np.exp(rng.uniform(np.log([2e-5, 1e-8]), np.log([1e-3, 1e-5])))
    jpeg = int(rng.integers(40, 96)) if rng.random() < jpeg_probability else None
    night = NightParams(
        ev=float(ev),
        field=tuple(field.tolist()),
        lamps=lamps,
        white_balance=tuple((balance / balance.max()).tolist()),
        shot=float(shot),
        read=float(read),
        gamma=float(rng.uniform(2.0, 2.4)),
        veil=float(rng.uniform(0, 0.04)),
        jpeg=jpeg,
    )
    return _processed(night, rng) if processed and rng.random() < processed else night


def _processed(night, rng):
    weaker = float(10 ** -rng.uniform(1, 4))
    draws = rng.uniform((0, 0, 0.01, 0.6, 0.3, 0.5), (1, 1, 0.06, 1, 1, 2.5), (rng.integers(0, 6), 6)).tolist()
    lamps = tuple(Lamp(x, y, radius, (1.0, green, blue), power) for x, y, radius, green, blue, power in draws)
    uneven = rng.uniform(1, 3)
    field = tuple(uneven * stops for stops in night.field)
    noise = {"shot": night.shot * weaker, "read": night.read * weaker}
    return replace(night, field=field, lamps=lamps, veil=night.veil / 4, **noise)


@lru_cache(maxsize=4)
def illumination(params, height, width):
    """Light of that night relative to day: (height, width, 3) float32, read-only."""
    # The map is smooth: a quarter of the resolution is enough for the smallest lamp (2 % of the width) and faster.
    h, w = max(height // 4, 3), max(width // 4, 3)
    stops = cv2.resize(np.float32(params.field).reshape(3, 3), (w, h), interpolation=cv2.INTER_CUBIC) + params.ev
    light = np.repeat(np.exp2(-np.maximum(stops, 0))[:, :, None], 3, axis=2)
    for lamp in params.lamps:
        x = (((np.arange(w) + 0.5) / w - lamp.x) / lamp.radius) ** 2
        y = (((np.arange(h) + 0.5) / h - lamp.y) * height / width / lamp.radius) ** 2
        glow = np.exp(-0.5 * y)[:, None] * np.exp(-0.5 * x)[None]
        light += lamp.exposure * glow[:, :, None] * np.float32(lamp.colour)
    light *= np.float32(params.white_balance)
    light = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
    light.flags.writeable = False
    return light


@lru_cache(maxsize=1)
def day_to_linear():
    return (np.linspace(0, 1, 256) ** DAY_GAMMA).astype(np.float32)


@lru_cache(maxsize=64)
def _encoding(gamma, veil):
    """(_LEVELS,) uint8: 8-bit output at sqrt(light) = index / (_LEVELS - 1)."""
    encoded = np.linspace(0, 1, _LEVELS) ** (2 / gamma)
    return np.round(255 * (veil + (1 - veil) * encoded)).astype(np.uint8)


@lru_cache(maxsize=1)
def noise_pool():
    """Normal deviates drawn once: fresh ones would cost three times all the rest of `darken`."""
    return np.random.default_rng(0).standard_normal(_POOL, dtype=np.float32)


def expose(linear, params, rng):
    """What the camera records of linear light: shot and read noise, gamma, veil, 8 bits, JPEG.

    linear: (H, W, 3) float32, 1 is day's white, not changed. Returns (H, W, 3) uint8 RGB. Each row takes its noise from
    a random place of a fixed pool of a million normal deviates.
    """
    height, width, _ = linear.shape
    encoding = _encoding(params.gamma, params.veil)
    rows = np.lib.stride_tricks.sliding_window_view(noise_pool(), 3 * width)
    starts = rng.integers(0, len(rows), height)
    out = np.empty(linear.shape, np.uint8)
    for top in range(0, height, _STRIPE):
        light = linear[top : top + _STRIPE]
        noise = rows[starts[top : top + _STRIPE]].reshape(light.shape)
        sigma = light * np.float32(params.shot)
        sigma += np.float32(params.read)
        noise *= np.sqrt(sigma, out=sigma)
        noise += light
        np.clip(noise, 0, 1, out=noise)
        np.sqrt(noise, out=noise)
        noise *= _LEVELS - 1
        noise += 0.5
        np.take(encoding, noise.astype(np.uint16), out=out[top : top + _STRIPE], mode="clip")
    if params.jpeg is not None:
        _, data = cv2.imencode(".jpg", out[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, params.jpeg])
        out = np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR)[:, :, ::-1])
    return out


def darken(image, params, rng):
    """A day image as that night would show it: (H, W, 3) uint8 RGB -> a new array of the same form."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"expected an (H, W, 3) uint8 image, got {image.dtype} {image.shape}")
    linear = cv2.LUT(image, day_to_linear())
    linear *= illumination(params, *image.shape[:2])
    return expose(linear, params, rng)


class NightFrames:
    """A frame source as one of the STRENGTHS shows it; the noise of frame i depends on `name` and i alone."""

    def __init__(self, frames, strength, name):
        self.frames, self.params = frames, night_strength(strength)
        self.fps = frames.fps
        self._seed = zlib.crc32(name.encode())

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        index = range(len(self))[index]
        return darken(self.frames[index], self.params, np.random.default_rng([self._seed, index]))
