"""THE crop: a square window of an image, resampled to a patch, with an exact inverse for boxes.

Used by the sampler and by every tracker, so that training and tracking see the same geometry. A window's centre and
side are real numbers of image pixels; nothing is rounded. With window centre q, side c and patch side S (px):

    x_image = q + (x_patch - S/2) c/S          (spec tracker.md A.8.1)

A window may be stretched to a rectangle of the same area; training does that, tracking never.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Crop:
    """A window of an image (centre cx, cy and side, image px) shown as a patch of size x size px.

    stretch: its width and height are stretch * side and side / stretch.
    """

    cx: float
    cy: float
    side: float
    size: int
    stretch: float = 1.0

    @property
    def extent(self):
        """(2,) width and height of the window, image px."""
        return np.array([self.side * self.stretch, self.side / self.stretch])

    def to_patch(self, boxes_xywh):
        """Boxes (..., 4) xywh, image px -> the same boxes in patch px."""
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        scale = self.size / self.extent
        corner = (boxes[..., :2] - (self.cx, self.cy)) * scale + self.size / 2
        return np.concatenate([corner, boxes[..., 2:] * scale], axis=-1)

    def to_image(self, boxes_xywh):
        """Boxes (..., 4) xywh, patch px -> the same boxes in image px. The exact inverse of to_patch."""
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        scale = self.extent / self.size
        corner = (boxes[..., :2] - self.size / 2) * scale + (self.cx, self.cy)
        return np.concatenate([corner, boxes[..., 2:] * scale], axis=-1)

    def extract(self, image):
        """Resample the window from an image (H, W, 3) uint8 -> patch (size, size, 3) uint8, black beyond the image.

        Bilinear at exact sub-pixel positions. Where a patch pixel covers two or more image pixels, whole blocks of
        those are averaged first, so that a shrunken patch does not alias; the geometry stays exact.
        """
        width, height = self.extent.tolist()
        left, top = self.cx - width / 2, self.cy - height / 2
        block = int(min(width, height) / self.size)
        if block >= 2:
            part, x0, y0 = _under_window(image, left, top, width, height, block)
            image = cv2.resize(part, None, fx=1 / block, fy=1 / block, interpolation=cv2.INTER_AREA)
            left, top, width, height = (left - x0) / block, (top - y0) / block, width / block, height / block
        # A patch pixel's centre lies at +1/2; OpenCV counts positions from the centre of pixel 0.
        part, x0, y0 = _under_window(image, left, top, width, height)
        across, down = width / self.size, height / self.size
        matrix = np.array([[across, 0, left - x0 + across / 2 - 0.5], [0, down, top - y0 + down / 2 - 0.5]])
        # OpenCV 5 resamples four channels in less than half the time of three.
        part = cv2.cvtColor(part, cv2.COLOR_RGB2RGBA)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return cv2.cvtColor(cv2.warpAffine(part, matrix, (self.size, self.size), flags=flags), cv2.COLOR_RGBA2RGB)


def window_side(width, height, factor, min_side, image_size):
    """Side of the window around a target: factor sqrt(w h), within [min_side, 1.5 max(image sides)], all px.

    The lower limit keeps some reach around a tiny target, which would otherwise be blown up to a blur (spec A.8.2).
    """
    side = factor * math.sqrt(max(width, 0.0) * max(height, 0.0))
    return float(min(max(side, min_side, 1.0), 1.5 * max(image_size)))


def coverage(boxes_xywh: np.ndarray, size: int, grid: int) -> np.ndarray:
    """Share of every cell of a patch that a box covers, exact also for boxes smaller than a cell.

    Args:
        boxes_xywh (..., 4): px of the patch.
        size: side of the patch (px).
        grid: cells a side.

    Returns:
        (..., grid^2) float32 in [0, 1], row by row.
    """
    scaled = np.asarray(boxes_xywh, np.float32) * np.float32(grid / size)
    low, high = scaled[..., :2, None], scaled[..., :2, None] + scaled[..., 2:, None]
    edges = np.arange(grid, dtype=np.float32)
    # A box is a product of two intervals, so its overlap with a cell is the product of theirs.
    overlap = np.maximum(np.minimum(high, edges + 1) - np.maximum(low, edges), 0)
    covered = overlap[..., 1, :, None] * overlap[..., 0, None, :]
    return covered.reshape(*covered.shape[:-2], grid * grid)


def window_on(cx, cy, side, image_size, grid):
    """A square around a centre, cut to the image, never empty: (x0, y0, x1, y1), px, multiples of `grid` or a border.

    A centre off the image is moved to its border first.
    """
    ends = []
    for centre, limit in zip((cx, cy), image_size, strict=True):
        centre = min(max(centre, 0.0), limit)
        low, high = math.floor((centre - side / 2) / grid), math.ceil((centre + side / 2) / grid)
        ends.append((max(low * grid, 0), min(high * grid, limit)))
    (x0, x1), (y0, y1) = ends
    return x0, y0, x1, y1


def _under_window(image, left, top, width, height, block=1):
    """What of an image lies under a window, and a pixel around it, in whole blocks of block x block px.

    Returns it as (rows, columns, 3), black beyond the image's lower and right border, and its corner in the image.
    One black pixel stands for a window off the image.
    """
    rows, columns = image.shape[:2]
    x0, y0 = (max(0, int(np.floor(low)) - 1) for low in (left, top))
    x1 = min(columns, int(np.ceil(left + width)) + 1)
    y1 = min(rows, int(np.ceil(top + height)) + 1)
    if x1 <= x0 or y1 <= y0:
        return np.zeros((block, block, 3), image.dtype), -1_000_000, -1_000_000
    columns, rows = -(-(x1 - x0) // block) * block, -(-(y1 - y0) // block) * block
    part = image[y0 : y0 + rows, x0 : x0 + columns]
    lower, right = rows - part.shape[0], columns - part.shape[1]
    if lower or right:
        part = cv2.copyMakeBorder(part, 0, lower, 0, right, cv2.BORDER_CONSTANT)
    return part, x0, y0
