"""Windows of frames as ball finders take them: our own with area averaging, and those of published code.

A ball of 4 px of 1920x1080 is about one px at 512x288. Averaging over areas keeps its light wherever it lies; WASB's
bilinear warp samples points, so that such a ball may fall between them.
"""

import cv2
import numpy as np
from PIL import Image

# of ImageNet
_MEAN, _DEVIATION = np.array((0.485, 0.456, 0.406), np.float32), np.array((0.229, 0.224, 0.225), np.float32)


def window(frames: list[np.ndarray], size: tuple) -> np.ndarray:
    """Scale the frames of a window.

    Args:
        frames: N of (H, W, 3) uint8 RGB, oldest first.
        size (width, height): px that the network takes.

    Returns:
        (N, 3, height, width) float32 in [0, 1].
    """
    return np.stack([scale_to(frame, size) for frame in frames]).transpose(0, 3, 1, 2).astype(np.float32) / 255


def scale_to(image: np.ndarray, size: tuple) -> np.ndarray:
    """Scale an image: the mean of the px that a new one covers; between px where there are not enough of them.

    Args:
        image (H, W, 3): uint8.
        size (width, height): px.

    Returns:
        (height, width, 3) uint8.
    """
    smaller = size[0] <= image.shape[1] and size[1] <= image.shape[0]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)


def median_background(frames: np.ndarray) -> np.ndarray:
    """The median of every px over a rally: what a camera that stands still sees behind all that moves.

    Args:
        frames (N, H, W, 3): uint8.

    Returns:
        (H, W, 3) float64 in [0, 255]; halves where N is even.
    """
    return np.median(np.asarray(frames), axis=0)


def released_window_tracknetv3(
    frames: list[np.ndarray], background: np.ndarray | None, mode: str, size: tuple = (512, 288)
) -> np.ndarray:
    """Prepare a window as TrackNetV3 does, with Pillow's bicubic filter on 8 bits.

    The difference of a frame and the background is summed over the three channels and cast to 8 bits, so that it wraps
    at 256: a strong contrast can come out as a weak one.

    Args:
        frames: L of (H, W, 3) uint8 RGB, oldest first.
        background (H, W, 3): see `median_background`; for every mode but "".
        mode: as `background` of lib.models.ball.tracknet.input_channels.
        size (width, height): px that the network takes.

    Returns:
        (channels, height, width) uint8; the network takes it divided by 255.
    """
    if mode and background is None:
        raise ValueError(f"mode {mode!r}: expected a background")
    background = np.zeros((1, 1, 3)) if background is None else background
    if mode == "concat":
        return np.concatenate([_bicubic(image, size) for image in (background.astype(np.uint8), *frames)])
    parts = []
    for frame in frames:
        if mode != "subtract":
            parts.append(_bicubic(frame, size))
        if mode:
            difference = np.abs(frame.astype(np.float64) - background).sum(axis=2)
            parts.append(_bicubic(difference.astype(np.int64).astype(np.uint8), size))
    return np.concatenate(parts)


def _bicubic(image, size):
    scaled = np.asarray(Image.fromarray(image).resize(size))
    return scaled[None] if scaled.ndim == 2 else scaled.transpose(2, 0, 1)


def released_window_wasb(frames: list[np.ndarray], similarity: np.ndarray, size: tuple = (512, 288)) -> np.ndarray:
    """Prepare a window as WASB does: bilinear warp without averaging, ImageNet's mean and deviation.

    Args:
        frames: N of (H, W, 3) uint8 RGB, oldest first.
        similarity (2, 3): from px of the image to those of the window (lib.models.ball.decode.released_similarity).
        size (width, height): px that the network takes.

    Returns:
        (3 N, height, width) float32.
    """
    warped = [cv2.warpAffine(frame, similarity, size, flags=cv2.INTER_LINEAR) for frame in frames]
    normal = [(frame / np.float32(255) - _MEAN) / _DEVIATION for frame in warped]
    return np.concatenate([frame.transpose(2, 0, 1) for frame in normal])
