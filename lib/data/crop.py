"""THE crop: a square window of an image, resampled to a patch, with an exact inverse for boxes.

Used by the sampler and by every tracker, so that training and tracking see the same geometry. A window's centre and
side are real numbers of image pixels; nothing is rounded. With window centre q, side c and patch side S (px):

    x_image = q + (x_patch - S/2) c/S          (spec tracker.md A.8.1)
"""

from dataclasses import dataclass

import cv2
import numpy as np


@dataclass(frozen=True)
class Crop:
    """A window of an image (centre cx, cy and side, image px) shown as a patch of size x size px."""

    cx: float
    cy: float
    side: float
    size: int

    def to_patch(self, boxes_xywh):
        """Boxes (..., 4) xywh, image px -> the same boxes in patch px."""
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        scale = self.size / self.side
        corner = (boxes[..., :2] - (self.cx, self.cy)) * scale + self.size / 2
        return np.concatenate([corner, boxes[..., 2:] * scale], axis=-1)

    def to_image(self, boxes_xywh):
        """Boxes (..., 4) xywh, patch px -> the same boxes in image px. The exact inverse of to_patch."""
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        scale = self.side / self.size
        corner = (boxes[..., :2] - self.size / 2) * scale + (self.cx, self.cy)
        return np.concatenate([corner, boxes[..., 2:] * scale], axis=-1)

    def extract(self, image):
        """Resample the window from an image (H, W, 3) uint8 -> patch (size, size, 3) uint8, black beyond the image.

        Bilinear at exact sub-pixel positions. Where a patch pixel covers two or more image pixels, whole blocks of
        those are averaged first, so that a shrunken patch does not alias; the geometry stays exact.
        """
        scale = self.side / self.size
        left, top = self.cx - self.side / 2, self.cy - self.side / 2
        block = int(scale)
        if block >= 2:
            image, left, top = _shrink(image, left, top, self.side, block)
            scale /= block
        # A patch pixel's centre lies at +1/2; OpenCV counts positions from the centre of pixel 0.
        matrix = np.array([[scale, 0, left + scale / 2 - 0.5], [0, scale, top + scale / 2 - 0.5]])
        return cv2.warpAffine(image, matrix, (self.size, self.size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)


def window_side(width, height, factor, min_side, image_size):
    """Side of the window around a target: factor sqrt(w h), within [min_side, 1.5 max(image sides)], all px.

    The lower limit keeps some reach around a tiny target, which would otherwise be blown up to a blur (spec A.8.2).
    """
    side = factor * np.sqrt(max(width, 0.0) * max(height, 0.0))
    return float(np.clip(side, max(min_side, 1.0), 1.5 * max(image_size)))


def _shrink(image, left, top, side, block):
    """The part of the image under the window, averaged over block x block px; and the window's corner in it."""
    height, width = image.shape[:2]
    x0, y0 = max(0, int(left)), max(0, int(top))
    x1, y1 = min(width, int(np.ceil(left + side))), min(height, int(np.ceil(top + side)))
    if x1 <= x0 or y1 <= y0:  # the window lies off the image: one black pixel stands for it
        return np.zeros((1, 1, 3), image.dtype), 1e6, 1e6
    part = image[y0:y1, x0:x1]
    columns, rows = -(-(x1 - x0) // block), -(-(y1 - y0) // block)
    missing = (rows * block - (y1 - y0), columns * block - (x1 - x0))
    if any(missing):  # whole blocks only: the image's own pixels where it goes on, black beyond its border
        part = image[y0 : y0 + rows * block, x0 : x0 + columns * block]
        bottom, right = rows * block - part.shape[0], columns * block - part.shape[1]
        part = cv2.copyMakeBorder(part, 0, bottom, 0, right, cv2.BORDER_CONSTANT)
    shrunk = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
    return shrunk, (left - x0) / block, (top - y0) / block
