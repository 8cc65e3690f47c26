"""The first frame's training samples of discriminative trackers: its crop shifted, mirrored, blurred and rotated."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .discriminative import Pair, Rounding, Window, assumed_window, crop


@dataclass(frozen=True)
class Augmentation:
    """One way to change the first frame's crop.

    kind: what is done. amount: for "shift" (y, x) in crop sides; for "blur" the sigma (y, x) in px; for "rotate"
    degrees. Flip, blur and rotate are also moved by a random shift.
    """

    kind: Literal["identity", "shift", "flip", "blur", "rotate"]
    amount: tuple[float, ...] = ()


def dimp_augmentations() -> list[Augmentation]:
    """List what DiMP, PrDiMP, Super-DiMP and KeepTrack do; they add two samples with dropped channels."""
    return _augmentations([(3, 1), (1, 3), (2, 2)], [10, -10, 45, -45])


def atom_augmentations() -> list[Augmentation]:
    """List what ATOM does; it adds seven samples with dropped channels."""
    blurs = [(2, 0.2), (0.2, 2), (3, 1), (1, 3), (2, 2)]
    return _augmentations(blurs, [5, -5, 10, -10, 20, -20, 30, -30, 45, -45, -60, 60])


def _augmentations(blurs, angles):
    shifts = [(0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6)]
    return [
        Augmentation("identity"),
        *(Augmentation("shift", (y / 2, x / 2)) for y, x in shifts),
        Augmentation("flip"),
        *(Augmentation("blur", sigma) for sigma in blurs),
        *(Augmentation("rotate", (angle,)) for angle in angles),
    ]


def _blur(image, sigmas):
    """Gaussian blur with zeros beyond the image; each sigma gets a kernel of 2 ceil(2 sigma) + 1 px."""
    channels = image.shape[1]
    for axis, sigma in enumerate(sigmas):
        reach = math.ceil(2 * sigma)
        weights = torch.exp(-torch.arange(-reach, reach + 1, dtype=image.dtype).square() / (2 * sigma**2))
        shape = (1, 1, -1, 1) if axis == 0 else (1, 1, 1, -1)
        kernel = (weights / weights.sum()).view(shape).to(image.device).repeat(channels, 1, 1, 1)
        image = F.conv2d(image, kernel, padding=(reach, 0) if axis == 0 else (0, reach), groups=channels)
    return image


def _rotate(image, degrees):
    """Rotate a square image (1, C, H, H) about its centre, with replicated borders."""
    pixels = image[0].permute(1, 2, 0).cpu().numpy()
    side = pixels.shape[0]
    matrix = cv2.getRotationMatrix2D(((side - 1) / 2, (side - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(pixels, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
    return torch.from_numpy(turned).permute(2, 0, 1)[None].to(image)


def _shifted_centre(image, size, shift):
    """Cut the middle size x size px after moving the content down and right by whole px (y, x), borders replicated."""
    spare = size - image.shape[-1]
    top, left = spare // 2 + shift[0], spare // 2 + shift[1]
    return F.pad(image, (left, spare - left, top, spare - top), mode="replicate")


def augment(image: Tensor, augmentation: Augmentation, size: int, shift: tuple[int, int]) -> Tensor:
    """Apply one augmentation to a crop.

    Args:
        image (1, 3, n, n): crop larger than wanted, centred on the target.
        augmentation: what to do.
        size: side of the result, px.
        shift: (y, x) by which the content moves, whole crop px.

    Returns:
        (1, 3, size, size).
    """
    if augmentation.kind == "flip":
        image = image.flip(-1)
    elif augmentation.kind == "blur":
        image = _blur(image, augmentation.amount)
    elif augmentation.kind == "rotate":
        image = _rotate(image, augmentation.amount[0])
    return _shifted_centre(image, size, shift)


def random_shifts(augmentations: Sequence[Augmentation], uniform: Callable[[tuple[int, ...]], Tensor]) -> Tensor:
    """Draw the random numbers (M, 2) that `first_samples` needs, one row for each flip, blur and rotation.

    Args:
        augmentations: one per sample.
        uniform: returns random numbers in [0, 1) of a given shape.
    """
    moved = [each for each in augmentations if each.kind in ("flip", "blur", "rotate")]
    return torch.stack([uniform((2,)) for _ in moved])


@dataclass(frozen=True)
class FirstSamples:
    """The first frame's training crops (N, 3, S, S) in [0, 255], and boxes (N, 4) xywh, crop px."""

    crops: Tensor
    boxes: Tensor
    window: Window


def first_samples(
    image: np.ndarray,
    centre: Pair,
    extent: Pair,
    scale: float,
    size: int,
    augmentations: Sequence[Augmentation],
    uniform: Tensor,
    expansion: int = 2,
    shift_range: float = 1 / 3,
    rounding: Rounding = "exact",
    truncate: bool = False,
) -> FirstSamples:
    """Make the training samples of the first frame.

    The crop is centred on the target exactly, so a mirrored or rotated crop has the same box. The reference centres it
    on a whole pixel and assumes for the box that it succeeded; any other `rounding` than "exact" does the same.

    Args:
        image (H, W, 3): uint8.
        centre, extent: (y, x) and (h, w) of the target, image px.
        scale: image px a crop px.
        size: side of the crops, px.
        augmentations: one a sample.
        uniform (M, 2): random numbers in [0, 1) for the shifts, one row for each flip, blur and rotation.
        expansion: side of the crop that is augmented, in crop sides.
        shift_range: width of the range of random shifts, in crop sides.
        rounding: as in `crop`.
        truncate: with a `rounding`, crop around the truncated centre, as ATOM does, but still assume the rounded one.

    Returns:
        The samples, in the order of the augmentations, and the window of the first.
    """
    window = assumed_window(centre, scale, size, rounding != "exact")
    middle = centre if truncate else window.centre
    wide, _ = crop(image, middle, scale, expansion * size, "replicate", None, rounding)
    box = torch.tensor(window.box_to_crop(centre, extent))
    rows = iter(uniform)
    crops, boxes = [], []
    for augmentation in augmentations:
        if augmentation.kind == "identity":
            shift = 0, 0
        elif augmentation.kind == "shift":
            down, right = augmentation.amount
            shift = int(size * down), int(size * right)
        else:
            down, right = next(rows) - 0.5
            shift = int(float(down) * size * shift_range), int(float(right) * size * shift_range)
        crops.append(augment(wide, augmentation, size, shift))
        boxes.append(box + box.new_tensor([shift[1], shift[0], 0, 0]))
    return FirstSamples(torch.cat(crops), torch.stack(boxes), window)
