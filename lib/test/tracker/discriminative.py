"""The rules of discriminative trackers (ATOM, DiMP, PrDiMP, KeepTrack, ToMP) between network and box.

All functions are pure.

Positions and sizes are real numbers of continuous image px, in the order y, x: pixel i spans [i, i + 1), and nothing is
rounded. The reference implementation (PyTracking) rounds in several centres. `faithful=True`, or a `rounding` for the
crop, reproduces that for comparison with published results. Its positions are pixel indices, which are 0.5 less.
"""

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ...models.parts.optimisers import gaussian_label
from . import association

Pair = tuple[float, float]
Flag = Literal["normal", "hard_negative", "uncertain", "not_found"]
Border = Literal["replicate", "inside", "inside_major"]
Rounding = Literal["exact", "integer", "half_pixel"]


@dataclass(frozen=True)
class Target:
    """Position of a target. Base of the trackers' states.

    Attributes:
        centre, extent: (y, x) and (h, w), image px.
        objects: the candidates of the last frame; None without TEST.ASSOCIATE.
    """

    centre: Pair
    extent: Pair
    _: KW_ONLY
    objects: association.Objects | None = None

    @property
    def box_xywh(self) -> list[float]:
        """The target's box, image px."""
        (y, x), (height, width) = self.centre, self.extent
        return [x - width / 2, y - height / 2, width, height]


def centre_and_extent(box_xywh: Sequence[float]) -> tuple[Pair, Pair]:
    """Centre (y, x) and extent (h, w) of a box xywh."""
    x, y, width, height = box_xywh
    return (y + height / 2, x + width / 2), (height, width)


# The search window


@dataclass(frozen=True)
class Window:
    """The part of an image that a crop shows: top, left, bottom, right in image px, shown as size x size crop px."""

    top: float
    left: float
    bottom: float
    right: float
    size: int

    @property
    def centre(self) -> Pair:
        """Centre (y, x), image px."""
        return (self.top + self.bottom) / 2, (self.left + self.right) / 2

    @property
    def scale(self) -> float:
        """Image px per crop px: the geometric mean over the two directions."""
        return math.sqrt((self.bottom - self.top) * (self.right - self.left)) / self.size

    def box_to_crop(self, centre: Pair, extent: Pair) -> list[float]:
        """Convert a target to crop px.

        Args:
            centre: (y, x) of the target, image px.
            extent: (h, w) of the target, image px.

        Returns:
            Its box xywh, crop px.
        """
        (middle_y, middle_x), scale = self.centre, self.scale
        height, width = extent[0] / scale, extent[1] / scale
        y = (centre[0] - middle_y) / scale + self.size / 2
        x = (centre[1] - middle_x) / scale + self.size / 2
        return [x - width / 2, y - height / 2, width, height]

    def box_to_image(self, box_xywh: Sequence[float], faithful: bool = False) -> tuple[Pair, Pair]:
        """Convert a box to image px: the inverse of `box_to_crop`.

        Args:
            box_xywh: box, crop px.
            faithful: return a centre that is half a crop px further down and right. The reference subtracts half a px
                when it maps a box into the crop, but adds none when it maps the refined box back.

        Returns:
            Centre (y, x) and extent (h, w), image px.
        """
        (middle_y, middle_x), scale = self.centre, self.scale
        x, y, width, height = box_xywh
        half = (self.size - 1) / 2 if faithful else self.size / 2
        centre = (y + height / 2 - half) * scale + middle_y, (x + width / 2 - half) * scale + middle_x
        return centre, (height * scale, width * scale)


def search_scale(extent: Pair, factor: float, size: int, least_side: float = 0.0) -> float:
    """Image px per crop px of the search window around a target.

    Args:
        extent: (h, w) of the target, image px.
        factor: side of the window / sqrt(h w).
        size: side of the crop, crop px.
        least_side: smallest side of the window, image px. It gives tiny targets room to move.
    """
    return max(math.sqrt(extent[0] * extent[1]) * factor, least_side) / size


def search_centre(centre: Pair, scale: float, size: int, cells: int, kernel: int) -> Pair:
    """Centre of the search crop. It is half a cell off the target if no cell of the score map would be centred on it.

    Args:
        centre: (y, x) of the target, image px.
        scale: image px per crop px.
        size: side of the crop, px.
        cells: side of the features, cells.
        kernel: side of the filter, cells.

    Returns:
        (y, x) of the crop's centre, image px.
    """
    shift = (cells + kernel) % 2 * scale * size / (2 * cells)
    return centre[0] + shift, centre[1] + shift


def search_window(
    centre: Pair,
    scale: float,
    size: int,
    image_size: tuple[int, int],
    border: Border = "replicate",
    max_shrink: float | None = None,
) -> Window:
    """Compute the window of a crop, with sub-pixel borders.

    Args:
        centre: requested centre (y, x), image px.
        scale: requested image px per crop px.
        size: side of the crop, px.
        image_size: (H, W) of the image.
        border: what to do with a window that leaves the image. "replicate" keeps it. "inside" shrinks it until it fits
            both sides of the image, and moves it inside. "inside_major" shrinks it until it fits the longer side of the
            image, and moves it inside as far as possible.
        max_shrink: largest factor of that shrinking, such as 1.5. None for no limit.
    """
    side = scale * size
    if border != "replicate":
        ratio = [side / length for length in image_size]
        shrink = max(ratio) if border == "inside" else min(ratio)
        side /= min(max(shrink, 1.0), max_shrink or math.inf)
    start = [middle - side / 2 for middle in centre]
    if border != "replicate":
        for axis, length in enumerate(image_size):
            overhang = side - length
            start[axis] = -overhang / 2 if overhang > 0 else min(max(start[axis], 0.0), -overhang)
    return Window(start[0], start[1], start[0] + side, start[1] + side, size)


def assumed_window(centre: Pair, scale: float, size: int, rounded: bool = True) -> Window:
    """The window around a target, whatever the border of the image.

    Args:
        centre, scale, size: see `search_window`.
        rounded: centre the window on the nearest whole px, as the reference assumes.
    """
    y, x = (round(position - 0.5) + 0.5 if rounded else position for position in centre)
    half = scale * size / 2
    return Window(y - half, x - half, y + half, x + half, size)


def extract_window(image: np.ndarray, window: Window) -> np.ndarray:
    """Resample a window from an image (H, W, 3) uint8 -> (size, size, 3) uint8. Borders are replicated.

    Interpolation is bilinear at exact sub-pixel positions. If a crop px covers two or more image px, blocks of image px
    are averaged first, which prevents aliasing.
    """
    top, left, bottom, right = window.top, window.left, window.bottom, window.right
    block = int(min(bottom - top, right - left) / window.size)
    if block >= 2:
        rows, columns = (side - side % block for side in image.shape[:2])
        if rows and columns:
            image = cv2.resize(image[:rows, :columns], (columns // block, rows // block), interpolation=cv2.INTER_AREA)
            top, left, bottom, right = (edge / block for edge in (top, left, bottom, right))
    down, across = (bottom - top) / window.size, (right - left) / window.size
    # A px's centre lies at +1/2; OpenCV counts positions from the centre of px 0.
    matrix = np.array([[across, 0, left + across / 2 - 0.5], [0, down, top + down / 2 - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (window.size, window.size), flags=flags, borderMode=cv2.BORDER_REPLICATE)


def crop(
    image: np.ndarray,
    centre: Pair,
    scale: float,
    size: int,
    border: Border = "replicate",
    max_shrink: float | None = None,
    rounding: Rounding = "exact",
) -> tuple[Tensor, Window]:
    """Crop a search window.

    Args:
        image (H, W, 3): uint8.
        centre, scale, size, border, max_shrink: as in `search_window`.
        rounding: "exact" does not round. "integer" truncates the centre, rounds the side and takes whole px, as the
            reference did until May 2022. "half_pixel" is the reference's rule since then: its coordinates have halves
            of px but its crop does not, which moves every position by 0.25 px.

    Returns:
        Crop (1, 3, size, size) float32 in [0, 255], and its window.
    """
    if rounding == "exact":
        window = search_window(centre, scale, size, image.shape[:2], border, max_shrink)
        patch = torch.from_numpy(extract_window(image, window))
        return patch.permute(2, 0, 1)[None].float(), window
    return _rounded_crop(image, centre, scale, size, border, max_shrink, rounding)


def _rounded_crop(image, centre, scale, size, border, max_shrink, rounding):
    """The reference's crop. It computes in float32, because the rounding of float32 decides which whole px it takes."""
    whole = np.float32(size) * np.float32(scale)
    side = [whole, whole]
    middle = [int(np.float32(position - 0.5)) for position in centre]
    height, width = image.shape[:2]
    if border != "replicate":
        ratio = [np.float32(whole / np.float32(length)) for length in (height, width)]
        shrink = max(ratio) if border == "inside" else min(ratio)
        shrink = np.float32(min(max(shrink, np.float32(1)), np.float32(max_shrink or np.inf)))
        side = [np.float32(int(whole / shrink))] * 2
    step = max(int(min(side) / np.float32(size) - np.float32(0.1)), 1)
    if step > 1:
        offset = [position % step for position in middle]
        middle = [(position - start) // step for position, start in zip(middle, offset, strict=True)]
        image = image[offset[0] :: step, offset[1] :: step]
        side = [length / np.float32(step) for length in side]
    side = [max(round(float(length)), 2) for length in side]
    if rounding == "integer":
        start = [position - (length - 1) // 2 for position, length in zip(middle, side, strict=True)]
        end = [position + length // 2 + 1 for position, length in zip(middle, side, strict=True)]
    else:
        start = [position - (length - 1) / 2 for position, length in zip(middle, side, strict=True)]
        end = [position + length / 2 + 1 for position, length in zip(middle, side, strict=True)]
    if border != "replicate":
        for axis, length in enumerate(image.shape[:2]):
            shift = max(-start[axis], 0) - max(end[axis] - length, 0)
            start[axis], end[axis] = start[axis] + shift, end[axis] + shift
            outside = (-start[axis] + end[axis] - length) // 2
            if outside > 0:
                shift = -start[axis] - outside
                start[axis], end[axis] = start[axis] + shift, end[axis] + shift
    rows, columns = image.shape[:2]
    pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    padding = int(-start[1]), int(end[1]) - columns, int(-start[0]), int(end[0]) - rows
    patch = F.interpolate(F.pad(pixels, padding, mode="replicate"), (size, size), mode="bilinear")
    return patch, Window(*(step * edge for edge in (*start, *end)), size)


# Localisation


@dataclass(frozen=True)
class LocalisationRule:
    """Thresholds of `localise`.

    Attributes:
        not_found: the target counts as not found if the highest peak is below this.
        distractor: second peak / highest peak above which either may be the target.
        hard_negative: second peak / highest peak above which the filter is updated at once.
        neighbourhood: side of the region that belongs to a peak, in target sizes.
        displacement: a peak within this share of half the map counts as near the expected position.
    """

    not_found: float = 0.25
    distractor: float = 0.8
    hard_negative: float = 0.5
    neighbourhood: float = 2.2
    displacement: float = 0.8


@dataclass(frozen=True)
class Localisation:
    """Result of a localisation.

    Attributes:
        translation: (y, x) of the target from the crop's centre, image px.
        flag: how certain the result is.
        score: the highest score.
        cell: row and column of the target in the score map.
    """

    translation: Pair
    flag: Flag
    score: float
    cell: tuple[int, int]


def highest_cell(scores: np.ndarray) -> tuple[int, int]:
    """Row and column of the maximum of a map (H, W). Of equal maxima, the leftmost one, then the uppermost one."""
    column, row = np.unravel_index(int(scores.T.argmax()), scores.T.shape)
    return int(row), int(column)


def _judge(scores, rule, centre, expected, neighbourhood, radius):
    """Choose between the two highest peaks. All lengths are in cells.

    Returns:
        Displacement from `centre`, flag, highest score, and cell.
    """

    def displacement(cell):
        return cell[0] - centre[0], cell[1] - centre[1]

    def near(cell):
        y, x = displacement(cell)
        return math.hypot(y - expected[0], x - expected[1])

    first = highest_cell(scores)
    score = float(scores[first])
    if score < rule.not_found:
        return displacement(first), "not_found", score, first
    rest = scores.copy()
    spans = [
        slice(max(round(cell - side / 2), 0), min(round(cell + side / 2 + 1), length))
        for cell, side, length in zip(first, neighbourhood, scores.shape, strict=True)
    ]
    rest[spans[0], spans[1]] = 0
    second = highest_cell(rest)
    other = float(rest[second])
    if other > rule.distractor * score:
        if near(second) > radius and near(first) < radius:
            return displacement(first), "hard_negative", score, first
        if near(second) < radius and near(first) > radius:
            return displacement(second), "hard_negative", score, second
        return displacement(first), "uncertain", score, first
    if other > rule.hard_negative * score and other > rule.not_found:
        return displacement(first), "hard_negative", score, first
    return displacement(first), "normal", score, first


def localise(
    scores: Tensor, rule: LocalisationRule, window: Window, centre: Pair, extent: Pair, kernel: int
) -> Localisation:
    """Find the target in a score map.

    Args:
        scores (H, W): the score map.
        rule: thresholds.
        window: of the crop.
        centre: (y, x) of the target in the last frame, image px.
        extent: (h, w) of the target, image px.
        kernel: side of the filter, cells. The scores of an even filter have one row and one column more than the
            features.

    Returns:
        The localisation. If the flag is "not_found", the translation is still that of the highest score.
    """
    scores = scores.detach().float().cpu().numpy()
    rows, columns = scores.shape
    even = (kernel + 1) % 2
    cell = [window.scale * window.size / (length - even) for length in (rows, columns)]
    crop_stride = window.size / (rows - even)
    neighbourhood = [rule.neighbourhood * side / window.scale / crop_stride for side in extent]
    expected = [(position - middle) / side
                for position, middle, side in zip(centre, window.centre, cell, strict=True)]  # fmt: skip
    middle = (rows - 1) / 2, (columns - 1) / 2
    radius = rule.displacement * math.sqrt(rows * columns) / 2
    moved, flag, score, found = _judge(scores, rule, middle, expected, neighbourhood, radius)
    return Localisation((moved[0] * cell[0], moved[1] * cell[1]), flag, score, found)


def fourier_interpolate(scores: Tensor, size: int, faithful: bool = False) -> Tensor:
    """Interpolate a periodic score map by its Fourier series.

    Args:
        scores (n, n): values at cells 0 .. n-1.
        size: number of samples per side. They start at cell 0 and are n / size cells apart.
        faithful: give the highest frequency of an even map twice its weight, as the reference does. The series then no
            longer passes through the given values.

    Returns:
        (size, size).
    """
    cells = scores.shape[-1]
    place = torch.arange(size, dtype=torch.float64, device=scores.device) * cells / size
    distance = place[:, None] - torch.arange(cells, dtype=torch.float64, device=scores.device)
    order = torch.arange(1, cells // 2 + 1, dtype=torch.float64, device=scores.device)
    weight = torch.full_like(order, 2.0)
    if cells % 2 == 0 and not faithful:
        weight[-1] = 1.0
    waves = torch.cos(2 * math.pi / cells * distance[..., None] * order) @ weight
    kernel = ((1 + waves) / cells).to(scores)
    return kernel @ scores @ kernel.T


def localise_atom(
    scores: Tensor, rule: LocalisationRule, scale: float, extent: Pair, size: int = 288, faithful: bool = False
) -> Localisation:
    """Find the target in ATOM's score map, which is interpolated to the crop's resolution first.

    Distances are measured from the crop's centre, the target's last position.

    Args:
        scores, rule, extent: see `localise`.
        scale: image px per crop px.
        size: side of the crop, px.
        faithful: see `fourier_interpolate`.
    """
    fine = fourier_interpolate(scores.detach(), size, faithful).float().cpu().numpy()
    neighbourhood = [rule.neighbourhood * side / scale for side in extent]
    radius = rule.displacement * size / 2
    moved, flag, score, found = _judge(fine, rule, (size / 2, size / 2), (0, 0), neighbourhood, radius)
    return Localisation((moved[0] * scale, moved[1] * scale), flag, score, found)


# What all of these trackers are configured with


@dataclass(frozen=True)
class CropSettings:
    """How search windows are cropped and score maps are read.

    Attributes:
        size: side of the crop, px.
        factor: side of the search window / sqrt(w h) of the target.
        border, max_shrink: see `search_window`.
        localisation: thresholds of `localise`.
        least_side: smallest side of the search window, image px.
        rounding: see `crop`.
        associate: whether the identities of all candidates decide which of them is the target.
    """

    size: int
    factor: float
    border: Border
    localisation: LocalisationRule
    _: KW_ONLY
    max_shrink: float = 1.5
    least_side: float = 0.0
    rounding: Rounding = "exact"
    associate: bool = False

    @property
    def faithful(self) -> bool:
        """Whether the reference's roundings and offsets are reproduced."""
        return self.rounding != "exact"

    def scale(self, extent: Pair) -> float:
        """Image px per crop px of the search window for a target of this extent (h, w; image px)."""
        return search_scale(extent, self.factor, self.size, self.least_side)

    def crop(self, image: np.ndarray, centre: Pair, scale: float) -> tuple[Tensor, Window]:
        """Crop a search window with these settings. Arguments and result: see the function `crop`."""
        return crop(image, centre, scale, self.size, self.border, self.max_shrink, self.rounding)

    def search(self, image: np.ndarray, centre: Pair, scale: float, cells: int, kernel: int) -> tuple[Tensor, Window]:
        """Crop the search window around a target, see `search_centre`. Result: see the function `crop`."""
        return self.crop(image, search_centre(centre, scale, self.size, cells, kernel), scale)


# State and box


def clamp_centre(centre: Pair, extent: Pair, image_size: tuple[int, int], faithful: bool = False) -> Pair:
    """Clamp a target's centre to the image, widened by 0.3 target sizes on each side.

    Args:
        centre: (y, x), image px.
        extent: (h, w), image px.
        image_size: (H, W).
        faithful: apply the limits to the pixel index, as the reference does. They are then half a px further down and
            right.
    """
    offset = 0.5 if faithful else 0.0
    y, x = (
        max(-0.3 * side + offset, min(length + 0.3 * side + offset, position))
        for position, side, length in zip(centre, extent, image_size, strict=True)
    )
    return y, x


def jittered_boxes(box_xywh: Sequence[float], uniform: Tensor, position: float = 0.1, size: float = 0.5) -> Tensor:
    """Make the start boxes of the refinement: the given box, and random boxes around it.

    Args:
        box_xywh: box, crop px.
        uniform (N, 4): random numbers in [0, 1), for x, y, w, h.
        position: range of the centre, in mean sides sqrt(w h).
        size: range of the width and height, in mean sides.

    Returns:
        (N + 1, 4) boxes xywh, crop px. The first one is the given box. No side is shorter than a third of its shorter
        side.
    """
    box = torch.as_tensor(box_xywh, dtype=uniform.dtype, device=uniform.device)
    change = (uniform - 0.5) * box[2:].prod().sqrt()
    extent = (box[2:] + size * change[:, 2:]).clamp(min=(box[2:].min() / 3).item())
    centre = box[:2] + box[2:] / 2 + position * change[:, :2]
    return torch.cat([box[None], torch.cat([centre - extent / 2, extent], dim=1)])


def choose_box(
    boxes: Tensor,
    quality: Tensor,
    start: Sequence[float],
    keep: int = 3,
    max_aspect: float = 6.0,
    faithful: bool = False,
) -> list[float] | None:
    """Average the refined boxes with the highest predicted quality.

    Args:
        boxes (N, 4): refined boxes xywh, crop px. Sides below 1 crop px count as 1; for a tiny target that is far less
            than 1 image px.
        quality (N,): predicted quality of each box.
        start: the box xywh that the refinement started from, crop px.
        keep: number of boxes that are averaged.
        max_aspect: boxes with a larger aspect ratio, in either direction, are rejected.
        faithful: use this limit for every target. Otherwise the limit is at least twice the aspect ratio of `start`, so
            that long thin targets are not rejected in every frame.

    Returns:
        Box xywh, crop px, or None if all boxes are rejected.
    """
    boxes = torch.cat([boxes[:, :2], boxes[:, 2:].clamp(min=1)], dim=1)
    if not faithful:
        width, height = max(start[2], 1e-6), max(start[3], 1e-6)
        max_aspect = max(max_aspect, 2 * max(width / height, height / width))
    aspect = boxes[:, 2] / boxes[:, 3]
    left = (aspect < max_aspect) & (aspect > 1 / max_aspect)
    if not left.any():
        return None
    boxes, quality = boxes[left], quality[left]
    best = quality.topk(min(keep, len(quality))).indices
    return boxes[best].mean(dim=0).tolist()


def target_label(window: Window, centre: Pair, cells: int, kernel: int, sigma: float) -> Tensor:
    """Make the Gaussian label of a target in a crop.

    Args:
        window: of the crop.
        centre: (y, x) of the target, image px.
        cells: side of the features, cells.
        kernel: side of the filter, cells. An even filter adds a row and a column.
        sigma: standard deviation of the Gaussian, cells.

    Returns:
        (cells, cells) or (cells + 1, cells + 1), float32.
    """
    even = (kernel + 1) % 2
    side = window.scale * window.size
    centres = [
        (cells - 1) / 2 + cells * (position - middle) / side + even / 2
        for position, middle in zip(centre, window.centre, strict=True)
    ]
    return gaussian_label(torch.tensor(centres, dtype=torch.float32), (cells + even, cells + even), sigma)
