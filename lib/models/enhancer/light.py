"""What an enhancer adds to the light of an image, found on a thumbnail and applied to the whole at full resolution.

Depths of the haze diffusion add up: all steps together move the log-odds of the brightness V by one sum, the lift
(haze.py). It is smooth, so a thumbnail of the image is enough to find it, and one step of that depth at full
resolution is what the steps would have done: [0, 1] is not left, black and lamps stay, the order of tones is kept
where the lift is the same.
"""

import cv2
import numpy as np
import torch

from .base import Enhancer

LIMIT = 1 / 255  # brightness is this far from 0 and 1 at least, where its log-odds are taken
SMOOTH = 1 / 16  # sigma of the blur of a lift / the thumbnail's longer side: places that far apart keep their order
LARGEST = 6.0  # mean lift: odds of brightness grow at most 400 times
HALVINGS = 10  # of the interval in which `exposed` looks
GUARD = 0.6  # of the lift that the brightest places do without, so that what is next to white is not blown out


def thumbnail(image: np.ndarray, side: int) -> np.ndarray:
    """An image (H, W, C) made smaller by a whole factor, so that its longer side has at most about `side` px."""
    factor = -(-max(image.shape[:2]) // side)
    size = tuple(max(1, length // factor) for length in image.shape[1::-1])
    return image if factor == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


@torch.no_grad()
def lifts(enhancer: Enhancer, small: np.ndarray, gate: float, device: torch.device) -> list[np.ndarray]:
    """How far the enhancer has moved the log-odds of brightness after each of its steps.

    Args:
        small (h, w, 3): uint8 RGB.
        gate: in [0, 1].

    Returns:
        (h, w) float32 a step, from 0.
    """
    images = torch.from_numpy(np.ascontiguousarray(small.transpose(2, 0, 1)))[None].to(device).float() / 255
    sigma = max(1.0, SMOOTH * max(small.shape[:2]))
    before, found = _log_odds(images), []
    for image in enhancer.steps(images, torch.tensor([gate], device=device)):
        lift = (_log_odds(image) - before)[0, 0].clamp(min=0).cpu().numpy()
        found.append(cv2.GaussianBlur(lift, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))
    return found


def _log_odds(images):
    return torch.logit(images.amax(dim=1, keepdim=True), LIMIT)


def exposed(small: np.ndarray, lift: np.ndarray, wanted: float, spread: float) -> np.ndarray:
    """The lift with which an image's mean brightness becomes `wanted`.

    Args:
        small (h, w, 3): uint8.
        lift (h, w): of `lifts`.
        wanted: mean brightness, [0, 1].
        spread: share of the differences between places that is kept, [0, 1]; the more, the more tones change places.

    Returns:
        (h, w) float32, from 0. 0 everywhere for an image that is as bright already.
    """
    value = small.max(axis=2).astype(np.float32) / 255
    local = spread * (lift - lift.mean())
    low, high = 0.0, LARGEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        dark = float((value / _passes(value, np.maximum(local + middle, 0))).mean()) < wanted
        low, high = (middle, high) if dark else (low, middle)
    return np.maximum(local + low, 0) if low else np.zeros_like(lift)


def _passes(value, lift):
    """The transmission (h, w) of a step at a brightness in [0, 1]; what is bright gets less of the lift."""
    attenuation = cv2.exp(cv2.multiply(lift, GUARD * value - 1))
    return cv2.add(value, cv2.multiply(1 - value, attenuation))


def brighten(image: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """An image after one step of the haze diffusion at full resolution: channels over the transmission.

    Args:
        image (H, W, 3): float32, grey levels; what is out of [0, 255] is clipped.
        lift (h, w): of `exposed`, of any size.

    Returns:
        (H, W, 3) uint8.
    """
    channels = [np.clip(channel, 0, 255) for channel in cv2.split(image)]
    value = cv2.max(cv2.max(channels[0], channels[1]), channels[2]) / 255
    lift = cv2.resize(lift, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    passes = _passes(value, lift)
    return cv2.merge([cv2.convertScaleAbs(cv2.divide(channel, passes)) for channel in channels])
