"""Conversion of heat maps to points: with sub-pixel precision, and by the rules of published code.

`find_balls` returns continuous coordinates, in which cell i spans [i, i + 1). Multiplied by image size / map size they
are image px. The functions named `released_*` follow published code and return cell indices.
"""

from typing import NamedTuple

import cv2
import numpy as np

THRESHOLD = 0.5
RADIUS = 2.5  # radius of the discs that TrackNetV3 and WASB use as labels, cells
_REACH = 3  # largest distance from the peak of cells that the fit uses, cells
_FLOOR = 0.02  # the fit ignores smaller values: they are noise
_FLAT = 0.98  # a cell belongs to the plateau of a peak if its value is at least this share of the peak


class Ball(NamedTuple):
    """A blob of a heat map.

    Attributes:
        x, y: centre, continuous cells.
        peak: largest value.
        mass: sum of the values above the threshold.
    """

    x: float
    y: float
    peak: float
    mass: float


def find_balls(heat: np.ndarray, threshold: float = THRESHOLD) -> list[Ball]:
    """Find the blobs of a heat map and their centres with sub-cell precision.

    - Blob with a rounded top: the centre is the maximum of a Gaussian, fitted to the logarithms around the peak with
      the squared values as weights (Guo, 2011). This is exact for a Gaussian, whatever the threshold.
    - Blob with a flat top, as networks trained on discs predict: the centre is the centre of mass of its cells and
      their neighbours. This is exact for a disc.

    Args:
        heat (H, W): probabilities in [0, 1], float.
        threshold: a blob is an 8-connected region of cells above this.

    Returns:
        The blobs, largest mass first.
    """
    heat = np.ascontiguousarray(heat, np.float32)
    above = (heat > threshold).view(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above, connectivity=8)
    balls = []
    for label in range(1, count):
        left, top, width, height = stats[label, :4]
        top, left = max(top - 1, 0), max(left - 1, 0)
        part = np.s_[top : top + height + 2, left : left + width + 2]
        mine = labels[part] == label
        values = heat[part].astype(np.float64)
        inside = np.where(mine, values, 0)
        y, x = np.unravel_index(inside.argmax(), inside.shape)
        peak = inside[y, x]
        plateau = np.count_nonzero(inside >= _FLAT * peak)
        flat = plateau > max(np.count_nonzero(mine) / 3, 4)  # the four cells about a Gaussian's centre are equal too
        centre = None if flat else _gaussian_centre(heat, x + left, y + top)
        if centre is None:
            near = cv2.dilate(mine.view(np.uint8), np.ones((3, 3), np.uint8)) > 0
            centre = _mass_centre(np.where(near, values, 0)) + (left, top)
        balls.append(Ball(float(centre[0]), float(centre[1]), float(peak), float(inside.sum())))
    return sorted(balls, key=lambda ball: -ball.mass)


def _gaussian_centre(heat, x, y):
    """Maximum of log p = a + bx + cy - d(x^2 + y^2), fitted around a cell; None if it has no maximum nearby."""
    height, width = heat.shape
    rows = np.arange(max(y - _REACH, 0), min(y + _REACH + 1, height))
    columns = np.arange(max(x - _REACH, 0), min(x + _REACH + 1, width))
    values = heat[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float64).ravel()
    dx, dy = (axis.ravel().astype(np.float64) for axis in np.meshgrid(columns - x, rows - y))
    known = values > _FLOOR
    if np.count_nonzero(known) < 6:
        return None
    dx, dy, values = dx[known], dy[known], values[known]
    terms = np.stack([np.ones_like(dx), dx, dy, -(dx**2 + dy**2)], axis=1)
    (_, slope_x, slope_y, curve), _, rank, _ = np.linalg.lstsq(
        terms * values[:, None], values * np.log(values), rcond=None
    )
    if rank < 4 or curve <= 0:
        return None
    step = np.array([slope_x, slope_y]) / (2 * curve)
    return None if np.abs(step).max() > _REACH else step + (x + 0.5, y + 0.5)


def _mass_centre(values):
    rows, columns = np.indices(values.shape)
    return np.array([((columns + 0.5) * values).sum(), ((rows + 0.5) * values).sum()]) / values.sum()


class Located(NamedTuple):
    """Result of TrackNetV3's localisation, in whole cells. All values are zero if there is no blob.

    Attributes:
        rectangle: x, y, w, h.
        cell: x, y.
        confidence: largest probability in the rectangle.
    """

    rectangle: tuple
    cell: tuple
    confidence: float


def released_locate(heat: np.ndarray, threshold: float = THRESHOLD) -> Located:
    """Locate a ball as TrackNetV3 does: the truncated middle of the blob with the largest bounding rectangle.

    A line of 38 cells therefore wins against a disc of 21 cells. Of rectangles of equal size the first in OpenCV's
    order is taken, which is the lower one. The cell (0, 0) means "no ball", even if a blob lies there.

    Args:
        heat (H, W): probabilities in [0, 1].
        threshold: a blob is a region of cells above this.

    Returns:
        Rectangle, cell and confidence.
    """
    heat = np.asarray(heat)
    contours, _ = cv2.findContours((heat > threshold).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return Located((0, 0, 0, 0), (0, 0), 0.0)
    x, y, w, h = max(map(cv2.boundingRect, contours), key=lambda rectangle: rectangle[2] * rectangle[3])
    return Located((x, y, w, h), (x + w // 2, y + h // 2), float(heat[y : y + h, x : x + w].max()))


def released_blobs(heat: np.ndarray, threshold: float = THRESHOLD, rule: str = "weighted") -> list[tuple]:
    """Find blobs as WASB does, in raster order of their first cell.

    Args:
        heat (H, W): probabilities in [0, 1].
        threshold: a blob is a region of cells above this.
        rule: "weighted" (WASB): centre of mass and sum of the values of a connected region. "count": mean position and
            number of its cells. "peaks": repeatedly the largest remaining value with the disc around it.

    Returns:
        [(x, y, score)], in cell indices: the centre of the first cell is 0.
    """
    heat = np.asarray(heat, np.float64)
    if rule == "peaks":
        return _peaks(heat, threshold)
    count, labels = cv2.connectedComponents((heat > threshold).astype(np.uint8), connectivity=8)
    found = []
    for label in range(1, count):
        y, x = np.nonzero(labels == label)
        weights = heat[y, x] if rule == "weighted" else np.ones(len(x))
        total = weights.sum()
        found.append((float((x * weights).sum() / total), float((y * weights).sum() / total), float(total)))
    return found


def _peaks(heat, threshold):
    left, found = heat.copy(), []
    rows, columns = np.indices(heat.shape)
    while left.max() > threshold:
        y, x = np.unravel_index(left.argmax(), left.shape)
        near = (columns - x) ** 2 + (rows - y) ** 2 <= RADIUS**2
        weights = heat[near]
        total = weights.sum()
        found.append(
            (float((columns[near] * weights).sum() / total), float((rows[near] * weights).sum() / total), float(total))
        )
        left[near] = 0
    return found


def released_similarity(image_size: tuple, map_size: tuple = (512, 288)) -> np.ndarray:
    """WASB's similarity transform from image px to cells: scale width / max(w, h) about the centres.

    Args:
        image_size (width, height): px.
        map_size (width, height): cells.

    Returns:
        (2, 3) float64, for pixel and cell indices, without a correction of half a px.
    """
    (image_width, image_height), (width, height) = image_size, map_size
    scale = width / max(image_width, image_height)
    return np.array(
        [[scale, 0, (width - scale * image_width) / 2], [0, scale, (height - scale * image_height) / 2]], np.float64
    )


def released_grey_circle(levels: np.ndarray) -> tuple | None:
    """Locate a ball as the public port of TrackNet V1 does: by the first Hough circle of a map of grey levels.

    The port multiplies the levels by 255 in 8 bits, so only the levels 1 to 128 count and a bright core does not.

    Args:
        levels (360, 640): grey level 0..255 of each pixel, the argmax of the network's scores.

    Returns:
        (x, y) px of 1280x720, or None.
    """
    wrapped = (np.asarray(levels, np.int64) * 255 % 256).astype(np.uint8)
    _, binary = cv2.threshold(wrapped, 127, 255, cv2.THRESH_BINARY)
    circles = cv2.HoughCircles(
        binary, cv2.HOUGH_GRADIENT, dp=1, minDist=1, param1=50, param2=2, minRadius=2, maxRadius=7
    )
    if circles is None:
        return None
    x, y = circles.reshape(-1, circles.shape[-1])[0, :2]
    return float(2 * x), float(2 * y)
