"""Noise averaged away over time: frames of a video, aligned, before they are brightened.

Light is what a night lacks, and every frame brings some. A Kalman filter of each place: its state is the mean of the
frames so far and that mean's variance, in units of the noise of one frame. The noise is measured, as the finest detail
of the difference between frame and mean; where more than noise differs, something moved, and the frame counts the more.
So neither a small target nor its edges are smeared, as any filter of one frame alone must do.

A camera that has averaged already leaves noise that stays from frame to frame, of which nothing more averages away.
Where the image is flat, the differences of frames are then smaller than the frames' own detail, and new frames count
the more. Blotches, noise that neighbours share, show as noise where nothing moves and are not taken for motion.
"""

import functools
from typing import NamedTuple

import cv2
import numpy as np

FRAMES = 8  # that the mean holds at most: what moves less than the noise shows trails no longer than this
TOLERANCE = 2.0  # differences up to this many times those of noise are noise
UNKNOWN = 50.0  # variance of a place not seen before, in units of that of the noise
SHIFT = 0.5  # px: displacement below which the mean is not resampled, for that would blur it
RESPONSE = 0.1  # of phase correlation, from which its displacement is believed
LEAST = 32  # px: side of the common part of two windows below which they are not compared
FLAT = 25  # percentile of the local energies at which noise is compared: flat places
COARSEST = 50.0  # largest ratio of the variance of blotches to that of white noise which is believed
STAYS = 0.5  # share of the noise shared by successive frames, from which averaging is given up, to 1
DARKEST = 0.1  # squared grey levels, added to the variance of the noise: nothing is quieter than rounding


class Memory(NamedTuple):
    """What is kept of the frames so far, of a window of them.

    x, y: upper left corner of the window, px. mean: (h, w, 3) float32, grey levels. variance: (h / 2, w / 2), of the
    mean, relative to that of the noise of one frame.
    """

    x: int
    y: int
    mean: np.ndarray
    variance: np.ndarray


def average(part, corner, memory=None):
    """A window of a frame with its noise averaged away.

    part: (h, w, 3) uint8 RGB, not changed; a last odd row or column is left as it is. corner: its x, y in the frame,
    even numbers. memory: what the frame before gave, None for the first one, which comes back as it is.
    Returns ((h, w, 3) uint8, Memory).
    """
    height, width = (side // 2 * 2 for side in part.shape[:2])
    if not height or not width:
        return part, memory
    frame = part[:height, :width].astype(np.float32)
    small = _halved(frame)
    grey = cv2.transform(small, _MEAN)
    before = memory and _aligned(memory, corner, grey)
    if before is None:
        return part, Memory(*corner, frame, np.ones_like(grey))
    mean, variance = before
    change = frame - mean
    change_small = _halved(change)
    new, own = _fine(change, change_small) / (1 + variance), _fine(frame, small)
    noise = cv2.min(new, own) + DARKEST
    smooth = cv2.GaussianBlur(change_small, (3, 3), _SIGMA)
    moved = cv2.GaussianBlur(_energy(smooth), (3, 3), _SIGMA) / (_PASSED * _blotches(own, small))
    moved = np.maximum(moved / ((1 + variance) * noise) - TOLERANCE, 0)
    variance = variance + moved
    stays = 1 - (_flat(new) + DARKEST) / (_flat(own) + DARKEST)
    least = max(1 / FRAMES, (stays - STAYS) / (1 - STAYS))
    variance = np.maximum(variance / (variance + 1), least)  # which is the weight of this frame as well
    mean += cv2.resize(variance, (width, height))[..., None] * change
    out = part.copy()
    out[:height, :width] = cv2.convertScaleAbs(mean)
    return out, Memory(*corner, mean, variance)


def _aligned(memory, corner, grey):
    """The mean and its variance where this window of the video is now; None where too little of it is known."""
    shift = np.subtract(corner, (memory.x, memory.y))  # of this window against that of the memory
    half = shift // 2
    known = cv2.transform(_halved(memory.mean), _MEAN)
    size = np.array(grey.shape[::-1])
    low = np.maximum(half, 0)
    high = np.minimum(half + size, known.shape[::-1])
    if (high - low < LEAST // 2).any():
        return None
    now, then = (
        image[y0:y1, x0:x1] - cv2.mean(image[y0:y1, x0:x1])[0]
        for image, (x0, y0), (x1, y1) in ((grey, low - half, high - half), (known, low, high))
    )
    motion, response = cv2.phaseCorrelate(now, then, _hanning(*now.shape[::-1]))
    motion = 2 * np.array(motion)  # px, from this frame back to the mean
    still = response < RESPONSE or np.abs(motion).sum() < SHIFT
    motion = shift if still else shift + motion
    how = (cv2.INTER_NEAREST if still else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    mean = cv2.warpAffine(memory.mean, _translation(motion), 2 * size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    variance = cv2.warpAffine(memory.variance, _translation(motion / 2), size, flags=how, borderValue=UNKNOWN)
    return mean, variance


_MEAN = np.full((1, 3), 1 / 3, np.float32)
_SIGMA = 0.8
_PASSED = float((cv2.getGaussianKernel(3, _SIGMA) ** 2).sum() ** 2) / 4  # of white noise, by halving and this blur


def _halved(image):
    return cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)


def _energy(image):
    """Mean over the channels of the squares."""
    return cv2.transform(cv2.multiply(image, image), _MEAN)


def _fine(image, small):
    """Variance of what `small`, the means of 2x2 px, lacks of the image, over 14x14 px; of white noise its own."""
    return cv2.blur((_halved(_energy(image)) - _energy(small)) * (4 / 3), (7, 7))


def _blotches(own, small):
    """Variance of the noise in the next coarser band / that of white noise, which is 1, where the image is flat."""
    rows, columns = (side // 2 * 2 for side in small.shape[:2])
    if not rows or not columns:
        return 1.0
    coarser = small[:rows, :columns]
    ratio = 4 * _flat(_fine(coarser, _halved(coarser))) / (_flat(own) + DARKEST)
    return min(max(1.0, ratio), COARSEST)


def _flat(energies):
    """What (h, w) energies are where the image is flattest; a sample of them is enough."""
    return float(np.percentile(energies[::4, ::4], FLAT))


def _translation(motion):
    return np.float32([[1, 0, motion[0]], [0, 1, motion[1]]])


@functools.lru_cache(16)
def _hanning(width, height):
    return cv2.createHanningWindow((width, height), cv2.CV_32F)
