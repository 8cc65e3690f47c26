"""Noise of one image, measured in the image itself and removed band by band.

Noise of a real camera is not white: after its filters and its codec it is blotchy. So it is measured in each band of a
Laplacian pyramid on its own, where the image is flattest, and each band is shrunk by a Wiener filter with that level.
White noise fills the finest band, blotches the coarser ones, and a clean image loses nothing. What a codec and a
camera's filters have left of blotches hides in all bands; a blur, the stronger the blotchier the noise is, takes most
of it, which suits a tracker.

Images are (H, W, 3) float32 in grey levels, 0 to 255.
"""

from collections.abc import Sequence

import cv2
import numpy as np

BANDS = 3  # finer than 2 px, than 4 px, than 8 px
CELL = 2**BANDS  # px
FLAT = 25  # percentile of the local energies that counts as noise: a quarter of most images is flat
BIAS = 1.15  # mean energy of noise / that percentile of it
BLOTCHY = (0.5, 1.5)  # variance of noise in the middle / in the finest band: white noise has .25, blotches from here on
ROUNDING = 0.02  # squared grey levels, added to each level: less than rounding to 8 bits
STRIP, MARGIN = 512, 64  # rows that are worked on at once, and rows beside them that the filters reach
LEAST_BLUR = 0.2  # px: sigma of a blur that is seen
KEPT = 0.9  # share of the levels of the frames before
SAMPLE = 768  # px: side of the part of a larger image in which noise is measured

_MEAN = np.full((1, 3), 1 / 3, np.float32)


def clean(image: np.ndarray, strength: float, before: Sequence[float] | None = None) -> tuple[np.ndarray, tuple]:
    """An image, or the next window of a video, without its noise.

    Args:
        image (H, W, 3): uint8, grey levels.
        strength: see `remove`.
        before: levels of the last frame, of which KEPT is kept; None for the first one.

    Returns:
        (H, W, 3) float32, and the levels, see `measure`.
    """
    if image.shape[0] > STRIP + MARGIN:
        levels = measure(image)
        return remove(image, levels, strength), levels
    bands, coarse = _bands(np.float32(image))
    levels = _levels(bands)
    if before is not None:
        levels = tuple(KEPT * old + (1 - KEPT) * new for old, new in zip(before, levels, strict=True))
    return _joined(bands, coarse, levels, strength)[: image.shape[0], : image.shape[1]], levels


def measure(image: np.ndarray) -> tuple[float, ...]:
    """Noise of an image.

    Args:
        image (H, W, 3): uint8 or float32, grey levels. Of a larger one the middle SAMPLE px are looked at.

    Returns:
        Variance of the noise in each of the BANDS, finest first, squared grey levels.
    """
    y, x = (max(0, side - SAMPLE) // 2 for side in image.shape[:2])
    bands, _ = _bands(np.float32(image[y : y + SAMPLE, x : x + SAMPLE]))
    return _levels(bands)


def blotches(levels: Sequence[float]) -> float:
    """How blotchy noise of these levels (see `measure`) is: 0 for white noise, 1 for blotches of 2 px and more."""
    low, high = BLOTCHY
    return min(max((levels[1] / levels[0] - low) / (high - low), 0.0), 1.0)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """An image (H, W, 3) float32 after a Gaussian blur of `sigma` px; below LEAST_BLUR the image itself."""
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma >= LEAST_BLUR else image


def remove(image: np.ndarray, levels: Sequence[float], strength: float = 1.0) -> np.ndarray:
    """An image without its noise. Large images are worked on in strips, with the same result.

    Args:
        image (H, W, 3): uint8 or float32, grey levels.
        levels: of `measure`.
        strength: factor of the levels; 0 keeps the noise.

    Returns:
        (H, W, 3) float32.
    """
    height = image.shape[0]
    if height <= STRIP + MARGIN:
        return _removed(np.float32(image), levels, strength)
    out = np.empty(image.shape, np.float32)
    for top in range(0, height, STRIP):
        first, bottom = max(0, top - MARGIN), min(height, top + STRIP)
        part = _removed(np.float32(image[first : bottom + MARGIN]), levels, strength)
        out[top:bottom] = part[top - first : bottom - first]
    return out


def _levels(bands):
    found = []
    for number, band in enumerate(bands):
        step = 2 ** (BANDS - 1 - number)  # neighbours tell nothing new
        energies = cv2.blur(_energy(band), (7, 7))[::step, ::step]
        found.append(BIAS * float(np.percentile(energies, FLAT)) + ROUNDING)
    return tuple(found)


def _removed(image, levels, strength):
    bands, coarse = _bands(image)
    return _joined(bands, coarse, levels, strength)[: image.shape[0], : image.shape[1]]


def _joined(bands, out, levels, strength):
    """The bands, each shrunk where its energy is that of noise, and what is coarser put together. Changes the bands."""
    for band, level in zip(reversed(bands), reversed(levels), strict=True):
        energy = cv2.blur(_energy(band), (5, 5))
        lost = cv2.divide(strength * level, cv2.max(energy, max(strength * level, ROUNDING)))
        lost = cv2.blur(lost, (3, 3))
        kept = cv2.subtract(1.0, lost)
        cv2.multiply(band, cv2.merge([kept, kept, kept]), band)
        out = cv2.add(_enlarged(out, band), band, band)
    return out


def _bands(image):
    """(bands, finest first, and what is coarser): the image with its last row and column repeated to whole CELLs."""
    height, width = (-side % CELL for side in image.shape[:2])
    if height or width:
        image = cv2.copyMakeBorder(image, 0, height, 0, width, cv2.BORDER_REPLICATE)
    bands = []
    for _ in range(BANDS):
        coarser = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        bands.append(cv2.subtract(image, _enlarged(coarser, image)))
        image = coarser
    return bands, image


def _enlarged(image, like):
    return cv2.resize(image, like.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _energy(band):
    """Mean over the channels of the squares."""
    return cv2.transform(cv2.multiply(band, band), _MEAN)
