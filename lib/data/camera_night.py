"""Night as a camera records it: what `night.py` leaves out, because it adds white noise to every frame anew.

A video camera filters its noise over time and in space before it compresses. So the noise that a tracker sees is
correlated from frame to frame, is coarse ("blotches"), and fine texture is gone where the contrast is low. Lenses
darken the corners and scatter the light of lamps. The order here is that of a camera: exposure in linear light with
vignetting, light and glare of lamps, noise, temporal filter, spatial filter, gamma, 4:2:0, compression.

Noise and filters work on stabilised light s = sqrt(x + read / shot + 3 shot / 8), the generalised Anscombe transform
(Starck, Murtagh & Bijaoui, 1998). There the noise of variance shot x + read has one standard deviation, sqrt(shot) / 2,
so one threshold serves bright and dark places.

`video_night.py` makes videos of it, `record_crop` single crops for training.
"""

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from .codec import compress
from .lamps import CELL, Lamp, add_cores, draw_lamp, enlarge, lamp_light
from .night import NightParams, day_to_linear, illumination, noise_pool

_FAINT = 2e-4  # light of lamps below this is not seen
_STRIPE = 32  # rows
_POOL = 1024  # side of the field that noise is taken from
_LEVELS = 4096  # of the encoding table
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)  # BT.601
_CHROMA = np.array([[-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32)  # Cb, Cr
_LUMA_NOISE, _CHROMA_NOISE = 0.67, 0.64  # standard deviation of Y, and of Cb and Cr, for 1 in each of R, G, B


@dataclass(frozen=True)
class CameraNight:
    """One night and one camera. Hashable.

    light: exposure, field, white balance, shot and read noise, gamma and veil; its lamps and jpeg are not used.
    vignette: stops lost at the corners, [0, 2]. centre: of the vignetting, fractions of width and height; a crop lies
    anywhere in its frame, so it may be outside [0, 1]. reach: half the frame's diagonal / the image's width.
    temporal: weight of the newest frame in the temporal filter where nothing moves, (0, 1]; 1 = no filter. motion: how
    fast the weight rises to 1 where frames differ by more than noise, [0.2, 3].
    denoise: threshold of the spatial filter / the noise that the temporal filter leaves, [0, 6].
    grain: sigma of the sensor's noise, px, [0, 2]: demosaicing and scaling correlate neighbours.
    chroma: sigma of the filter of the colours, px of 4:2:0 chroma, [0, 4].
    codec: "h264", "hevc", "jpeg" or None. rate: crf of the first two, [18, 45]; quality of the third, [10, 95].
    lamps: in the scene.
    """

    light: NightParams
    vignette: float = 0.5
    centre: tuple[float, float] = (0.5, 0.5)
    reach: float = 0.625
    temporal: float = 0.3
    motion: float = 1.0
    denoise: float = 2.0
    grain: float = 0.6
    chroma: float = 1.5
    codec: str | None = "h264"
    rate: int = 33
    lamps: tuple[Lamp, ...] = ()

    @property
    def sigma(self):
        """Standard deviation of the noise of R, G and B in stabilised light."""
        return np.sqrt(self.light.shot) / 2

    @property
    def offset(self):
        """What is added to linear light before the square root."""
        return self.light.read / self.light.shot + 0.375 * self.light.shot if self.light.shot else 0.0


def filtered_noise(weight):
    """Standard deviation after / before the recursive filter m += weight (y - m), at rest."""
    return float(np.sqrt(weight / (2 - weight)))


@lru_cache(maxsize=4)
def exposure(camera, height, width):
    """Light of the night without its lamps, with vignetting: (height, width, 3) float32, 1 is day, read-only."""
    light = illumination(replace(camera.light, lamps=(), jpeg=None), height, width)
    rows, columns = max(height // CELL, 2), max(width // CELL, 2)
    x = ((np.arange(columns) + 0.5) / columns - camera.centre[0]) / camera.reach
    y = ((np.arange(rows) + 0.5) / rows - camera.centre[1]) * height / width / camera.reach
    lost = np.exp2(-camera.vignette * np.minimum(x**2 + (y**2)[:, None], 2)).astype(np.float32)
    light = light * cv2.resize(lost, (width, height), interpolation=cv2.INTER_LINEAR)[:, :, None]
    light.flags.writeable = False
    return light


def sense(image, camera, lamps):
    """What the sensor would record of a day image without noise, in stabilised light.

    Args:
        image ((H, W, 3) uint8 RGB, H and W even): by day.
        camera: CameraNight; its own lamps are not used.
        lamps: list of those that are lit.

    Returns:
        (luma (H, W), chroma (H / 2, W / 2, 2)) float32; the chroma is Cb and Cr about 0.
    """
    height, width, _ = image.shape
    light = exposure(camera, height, width)
    luma = np.empty((height, width), np.float32)
    chroma = np.empty((height // 2, width // 2, 2), np.float32)
    if lamps:
        maps = lamp_light(lamps, height, width)
        brightest = np.maximum(*maps).max(axis=2)
    for top in range(0, height, _STRIPE):  # stripes stay in the processor's cache
        bottom = min(top + _STRIPE, height)
        linear = cv2.LUT(image[top:bottom], day_to_linear())
        rows = top // CELL, -(-bottom // CELL)
        lit = np.flatnonzero(brightest[slice(*rows)].max(axis=0) > _FAINT) if lamps else ()
        if len(lit):
            columns = int(lit[0]), int(lit[-1]) + 1
            left, right = columns[0] * CELL, min(columns[1] * CELL, width)
            cast, glare = (enlarge(grid, rows, columns)[: bottom - top, : right - left] for grid in maps)
            cast *= linear[:, left:right]
            cast += glare
            linear *= light[top:bottom]
            linear[:, left:right] += cast
            add_cores(linear, lamps, top, height)
        else:
            linear *= light[top:bottom]
        cv2.threshold(linear, 1, 1, cv2.THRESH_TRUNC, linear)
        linear += np.float32(camera.offset)
        cv2.sqrt(linear, linear)
        cv2.transform(linear, _LUMA, luma[top:bottom])
        # At exactly half the size linear interpolation is the mean of 2 x 2 px.
        half = cv2.resize(linear, (width // 2, (bottom - top) // 2), interpolation=cv2.INTER_LINEAR)
        cv2.transform(half, _CHROMA, chroma[top // 2 : bottom // 2])
    return luma, chroma


def add_noise(planes, camera, rng, share=1.0):
    """Add the sensor's noise to (luma, chroma), in place. share: of its standard deviation."""
    luma, chroma = planes
    _add(luma, _noise(camera.grain), share * _LUMA_NOISE * camera.sigma, rng)
    _add(chroma.reshape(len(chroma), -1), _noise(0.0), share * _CHROMA_NOISE * camera.sigma, rng)


def _add(plane, noise, level, rng):
    """Add noise (_POOL, _POOL) to a plane (H, W), each tile of it from a random place."""
    tile = _POOL // 2
    for top in range(0, plane.shape[0], tile):
        for left in range(0, plane.shape[1], tile):
            part = plane[top : top + tile, left : left + tile]
            y, x = rng.integers(0, _POOL - tile, 2).tolist()
            cv2.scaleAdd(noise[y : y + part.shape[0], x : x + part.shape[1]], level, part, part)


@lru_cache(maxsize=8)
def _noise(grain):
    """(_POOL, _POOL) float32 normal deviates, correlated by a Gaussian of that sigma, of standard deviation 1."""
    noise = noise_pool().reshape(_POOL, _POOL)
    if grain > 0:
        noise = cv2.GaussianBlur(noise, (0, 0), grain)
        noise /= noise.std()
    return noise


class TemporalFilter:
    """A camera's recursive filter over time: much of the past where nothing moves, little where something does."""

    def __init__(self, camera):
        self.camera, self.state = camera, None

    def __call__(self, planes):
        """Filter the next frame.

        Args:
            planes: (luma, chroma) of the frame with noise; of the first one, noise as the filter leaves it. Changed.

        Returns:
            (luma, chroma), not to be changed.
        """
        luma, chroma = planes
        least = self.camera.temporal
        if self.state is None or least >= 1:
            self.state = luma, chroma
            return self.state
        luma -= self.state[0]
        chroma -= self.state[1]
        # The weight is found on half of the resolution: it needs a neighbourhood, and the chroma has no more.
        activity = cv2.resize(np.abs(luma), chroma.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        activity = cv2.blur(activity, (3, 3))
        # The mean of |change| is about .8 of its deviation where only the noise changed.
        usual = 0.8 * _LUMA_NOISE * self.camera.sigma * np.sqrt(1 + filtered_noise(least) ** 2)
        slope = self.camera.motion * (1 - least) / max(usual, 1e-6)
        activity *= np.float32(slope)
        activity += np.float32(least - 1.3 * usual * slope)
        weight = np.clip(activity, least, 1, out=activity)
        luma *= cv2.resize(weight, luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
        chroma *= weight[:, :, None]
        luma += self.state[0]
        chroma += self.state[1]
        self.state = luma, chroma
        return self.state


def denoise(planes, camera):
    """A camera's spatial filter: fine contrasts below a threshold vanish, coarse ones stay as blotches.

    It is a pyramid of two bands, 1 and 2 px, each shrunk where it is small; the second less.

    Args:
        planes: (luma, chroma) in stabilised light, not changed.

    Returns:
        (luma, chroma), new arrays.
    """
    luma, chroma = planes
    if camera.chroma > 0:
        chroma = cv2.GaussianBlur(chroma, (0, 0), camera.chroma)
    threshold = camera.denoise * _LUMA_NOISE * camera.sigma * filtered_noise(camera.temporal)
    if threshold <= 0:
        return luma, chroma
    half = cv2.resize(luma, chroma.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    low = cv2.GaussianBlur(half, (5, 5), 1.0)
    kept = _cored(half - low, 0.4 * threshold)
    kept += low
    out = _cored(luma - cv2.resize(half, luma.shape[::-1], interpolation=cv2.INTER_LINEAR), threshold)
    out += cv2.resize(kept, luma.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return out, chroma


def _cored(band, threshold):
    """Shrink, in place, what is small against a threshold and keep what is large: b^3 / (b^2 + t^2)."""
    square = band * band
    band *= square
    square += np.float32(threshold**2)
    band /= square
    return band


@lru_cache(maxsize=64)
def _encoding(offset, gamma, veil):
    """Tables over stabilised light in [0, sqrt(1 + offset)]: (8-bit luma, gain of the chroma)."""
    step = np.sqrt(1 + offset) / (_LEVELS - 1)
    light = np.clip((np.arange(_LEVELS) * step) ** 2 - offset, 0, 1)
    encoded = veil + (1 - veil) * light ** (1 / gamma)
    luma = np.round(16 + 219 * encoded).astype(np.uint8)
    gain = np.maximum(np.gradient(encoded) / step, 0)
    return luma, (224 * np.minimum(gain, 2.0)).astype(np.float32)


def encode(planes, camera):
    """Gamma and 8 bits: (luma, chroma) in stabilised light -> (3 H / 2, W) uint8, I420, limited range."""
    luma, chroma = planes
    height, width = luma.shape
    table, gain = _encoding(camera.offset, camera.light.gamma, camera.light.veil)
    scale = np.float32((_LEVELS - 1) / np.sqrt(1 + camera.offset))
    out = np.empty((height * 3 // 2, width), np.uint8)
    for top in range(0, height, _STRIPE):
        index = np.maximum(luma[top : top + _STRIPE], 0)
        index *= scale
        np.take(table, index.astype(np.uint16), out=out[top : min(top + _STRIPE, height)], mode="clip")
    colours = chroma * np.take(gain, (np.maximum(luma[::2, ::2], 0) * scale).astype(np.uint16), mode="clip")[:, :, None]
    colours += np.float32(128.5)
    np.clip(colours, 16, 240, out=colours)
    out[height:] = colours.astype(np.uint8).transpose(2, 0, 1).reshape(height // 2, width)
    return out


def decode(planes, height, width):
    """(3 H / 2, W) uint8 I420 -> (height, width, 3) uint8 RGB, without what `even` added."""
    return np.ascontiguousarray(cv2.cvtColor(planes, cv2.COLOR_YUV2RGB_I420)[:height, :width])


def even(image):
    """The image with its last row and column repeated where needed, so that both sides are even and at least 16 px."""
    height, width = image.shape[:2]
    below, right = max(16, height + height % 2) - height, max(16, width + width % 2) - width
    return cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REPLICATE) if below or right else image


def sample_camera_night(rng, ev_range=(1.5, 6.0)):
    """Draw a random night of a random camera for a training crop, from a np.random.Generator.

    ev_range: stops darker than day. The share of white noise that a camera leaves is drawn from almost none to nearly
    all, so that the nights of `night.sample_night` and these meet.
    """
    ev, shot, read, gamma, veil = rng.uniform(
        (ev_range[0], *np.log([2e-4, 1e-8]), 2.0, 0), (ev_range[1], *np.log([1e-2, 3e-5]), 2.4, 0.03)
    ).tolist()
    balance = np.exp(rng.normal(0, 0.12, 3))
    light = NightParams(
        ev,
        tuple((rng.standard_normal(9) * rng.uniform(0, 0.8)).tolist()),
        white_balance=tuple((balance / balance.max()).tolist()),
        shot=float(np.exp(shot)),
        read=float(np.exp(read)),
        gamma=gamma,
        veil=veil,
    )
    # A crop lies anywhere in a frame that is up to four times as wide, or is all of it.
    reach = rng.uniform(0.6, 2.5)
    vignette, x, y = rng.uniform((0, 0.5 - reach, 0.5 - reach), (1.5, 0.5 + reach, 0.5 + reach)).tolist()
    temporal, motion, denoise, chroma = rng.uniform((0.1, 0.2, 0, 0), (1, 3, 4, 3)).tolist()
    grain = 0.4 * int(rng.integers(0, 4))  # few values, whose fields of noise are kept
    kind = rng.random()
    codec, rate = ("jpeg", int(rng.integers(15, 70))) if kind < 0.4 else ("h264", int(rng.integers(24, 41)))
    lamps = tuple(draw_lamp(rng) for _ in range(int(rng.integers(1, 4)))) if rng.random() < 0.5 else ()
    return CameraNight(
        light, vignette, (x, y), float(reach), temporal, motion, denoise, grain, chroma, codec, rate, lamps
    )


def record_crop(image, camera, rng, frames=1):
    """One crop of a day image as a camera would show it in the middle of a video.

    Args:
        image ((H, W, 3) uint8 RGB): the crop by day.
        camera: CameraNight.
        rng: np.random.Generator of the noise and of the motion before this frame.
        frames: how many frames in a row the result is the mean of, as by an enhancer's averaging.

    Returns:
        (H, W, 3) uint8 RGB, a new array.
    """
    height, width, _ = image.shape
    clean = sense(even(image), camera, camera.lamps)
    share = filtered_noise(camera.temporal) * _averaged(1 - camera.temporal, frames)
    shown = [_processed(clean, camera, rng, share)]
    if camera.codec == "jpeg":
        pixels = cv2.cvtColor(shown[0], cv2.COLOR_YUV2BGR_I420)
        _, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, camera.rate])
        return np.ascontiguousarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)[:height, :width])
    if camera.codec:
        if rng.random() < 0.3:  # a predicted frame, after an intra frame of what was there before
            dx, dy = rng.normal(0, 1.5, 2).tolist()
            shift = np.float32([[1, 0, dx], [0, 1, dy]])
            moved = tuple(
                cv2.warpAffine(plane, shift, plane.shape[1::-1], borderMode=cv2.BORDER_REPLICATE) for plane in clean
            )
            shown.insert(0, _processed(moved, camera, rng, share))
        shown = compress(shown, camera.codec, camera.rate)
    return decode(shown[-1], height, width)


def _processed(clean, camera, rng, share):
    """8-bit planes of one frame from (luma, chroma) without noise. share: of the noise, that earlier filters left."""
    planes = tuple(plane.copy() for plane in clean)
    add_noise(planes, camera, rng, share)
    return encode(denoise(planes, camera), camera)


def _averaged(correlation, frames):
    """Standard deviation of the mean of that many frames in a row, whose noise is correlated as correlation ** lag."""
    lags = np.arange(1, frames)
    return float(np.sqrt((1 + 2 * ((1 - lags / frames) * correlation**lags).sum()) / frames))
