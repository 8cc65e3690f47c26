"""Augmented training samples that discriminative trackers make of the first frame."""

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
    """One augmentation of the first frame's crop. Flip, blur and rotate also get a random shift.

    Attributes:
        kind: the operation.
        amount: for "shift" (y, x) in crop sides, for "blur" sigma (y, x) in px, for "rotate" degrees.
    """

    kind: Literal["identity", "shift", "flip", "blur", "rotate"]
    amount: tuple[float, ...] = ()


def dimp_augmentations() -> list[Augmentation]:
    """The augmentations of DiMP, PrDiMP, Super-DiMP and KeepTrack. They add two samples with dropped channels."""
    return _augmentations([(3, 1), (1, 3), (2, 2)], [10, -10, 45, -45])


def atom_augmentations() -> list[Augmentation]:
    """The augmentations of ATOM. It adds seven samples with dropped channels."""
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
    """Gaussian blur with zero padding. The kernel of each sigma has 2 ceil(2 sigma) + 1 px."""
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
    """Shift the content down and right by whole px (y, x), and cut out the middle size x size px. Replicate borders."""
    spare = size - image.shape[-1]
    top, left = spare // 2 + shift[0], spare // 2 + shift[1]
    return F.pad(image, (left, spare - left, top, spare - top), mode="replicate")


def augment(image: Tensor, augmentation: Augmentation, size: int, shift: tuple[int, int]) -> Tensor:
    """Apply one augmentation to a crop.

    Args:
        image (1, 3, n, n): a crop that is larger than the result, centred on the target.
        augmentation: the augmentation.
        size: side of the result, px.
        shift: (y, x) shift of the content, whole crop px.

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
    """Training samples of the first frame.

    Attributes:
        crops (N, 3, S, S): float in [0, 255].
        boxes (N, 4): xywh, crop px.
        window: of the first crop.
    """

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

    The crop is centred on the target exactly, so a mirrored or rotated crop has the same box. The reference centres the
    crop on a whole pixel but computes the box as if the target were centred. So does a `rounding` other than "exact".

    Args:
        image (H, W, 3): uint8.
        centre, extent: (y, x) and (h, w) of the target, image px.
        scale: image px per crop px.
        size: side of the crops, px.
        augmentations: one per sample.
        uniform (M, 2): random numbers of `random_shifts`.
        expansion: side of the crop that is augmented, in crop sides.
        shift_range: width of the range of random shifts, in crop sides.
        rounding: see `crop`.
        truncate: with a `rounding`, crop around the truncated centre but compute boxes with the rounded one, as ATOM.

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
