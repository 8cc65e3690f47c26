"""The light that a moving ball sends during an exposure, and how it is laid over a picture."""

import cv2
import numpy as np

_GAMMA = 2.2
_SMALL = 2.5  # px: a disc of this radius or less, behind the lens, is a Gaussian of the same light and width


def streak(centres: np.ndarray, radii: np.ndarray, x: np.ndarray, y: np.ndarray, blur: float) -> np.ndarray:
    """Share of each pixel's exposure that a ball covers. The ball is a union of discs.

    Args:
        centres (K, D, 2): of D discs at K times of the exposure, px.
        radii (K, D): px.
        x (w,), y (h,): centres of the columns and rows of pixels, px.
        blur: standard deviation of the lens, px.

    Returns:
        (h, w) float32 in [0, 1].
    """
    x, y = x.astype(np.float32), y.astype(np.float32)
    alpha = np.zeros((len(y), len(x)), np.float32)
    small = radii.max() < _SMALL
    for discs, sizes in zip(centres.astype(np.float32), radii.astype(np.float32), strict=True):
        cover = np.zeros_like(alpha)
        for (cx, cy), radius in zip(discs, sizes, strict=True):
            if small:
                variance = blur**2 + radius**2 / 4 + 1 / 12  # of lens, disc and px
                across = np.exp(-((x - cx) ** 2) / (2 * variance)) * np.float32(radius**2 / (2 * variance))
                part = np.exp(-((y - cy) ** 2) / (2 * variance))[:, None] * across
            else:
                part = np.clip(radius - np.sqrt((x - cx) ** 2 + (y[:, None] - cy) ** 2) + 0.5, 0, 1)
            np.maximum(cover, part, out=cover)
        alpha += cover
    alpha /= len(centres)
    return alpha.clip(0, 1) if small else cv2.GaussianBlur(alpha, (0, 0), blur)


def lay(part: np.ndarray, alpha: np.ndarray, colour: np.ndarray) -> None:
    """Mix a colour into a part of a picture, in linear light.

    Args:
        part (h, w, 3): uint8, changed in place.
        alpha (h, w): share of the colour.
        colour (h, w, 3) or (3,): 0..255.
    """
    before, after = (part / np.float32(255)) ** _GAMMA, (colour / 255).clip(0, 1) ** _GAMMA
    mixed = before + alpha[..., None] * (after - before)
    part[:] = (255 * mixed ** (1 / _GAMMA) + 0.5).astype(np.uint8)
