"""From heat maps to points: at sub-pixel precision, and as published code does it.

Coordinates of `find_balls` are continuous cells, in which cell i spans [i, i + 1). Times the ratio of the image's and
the map's size they are image px. The functions called `released_*` follow published code and count whole cells.
"""

from typing import NamedTuple

import cv2
import numpy as np

THRESHOLD = 0.5
RADIUS = 2.5  # cells, of the disc that TrackNetV3's and WASB's labels are
_REACH = 3  # cells from the peak that the fit looks at
_FLOOR = 0.02  # smaller values are noise: their logarithm says nothing
_FLAT = 0.98  # share of the peak from which a cell belongs to its plateau


class Ball(NamedTuple):
    """A blob of a heat map.

    x, y: its centre, cells, with fraction. peak: its largest value. mass: the sum of its values above the threshold.
    """

    x: float
    y: float
    peak: float
    mass: float


def find_balls(heat: np.ndarray, threshold: float = THRESHOLD) -> list[Ball]:
    """Find the blobs of a heat map and their centres between cells.

    A blob with a rounded top has its centre at the maximum of a Gaussian of free width, fitted to the logarithms about
    its peak and weighted with the squared values (Guo, 2011): exact for a Gaussian, and cut by no threshold. A blob
    with a flat top, as networks that learn discs draw it, has it at the centre of mass of its cells and their
    neighbours: exact for a disc.

    Args:
        heat (H, W): probabilities in [0, 1], float.
        threshold: a blob is what exceeds it, joined over sides and corners of cells.

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
    """Maximum of log p = a + bx + cy - d(x^2 + y^2) about a cell, or None where that has none nearby."""
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
    """What TrackNetV3 reads from a map. rectangle: x, y, w, h. cell: x, y. All whole cells, zeros for no blob."""

    rectangle: tuple
    cell: tuple
    confidence: float


def released_locate(heat: np.ndarray, threshold: float = THRESHOLD) -> Located:
    """Locate a ball as TrackNetV3 does: the truncated middle of the blob with the largest bounding rectangle.

    A line of 38 cells so beats a disc of 21. Of rectangles of one size the first in OpenCV's order is taken, the lower
    one. The cell (0, 0) means "no ball", also where a blob lies on it.

    Args:
        heat (H, W): probabilities in [0, 1].
        threshold: what exceeds it counts.

    Returns:
        Rectangle, cell and the largest probability in the rectangle.
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
        threshold: what exceeds it counts.
        rule: "weighted" (WASB): centre of mass and sum of the values of a connected part; "count": the plain middle
            and number of its cells; "peaks": again and again the largest value with the disc about it.

    Returns:
        [(x, y, score)], cells counted from the middle of the first.
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
    """The similarity from image px to cells with which WASB crops or pads: factor width / max(w, h), about the middles.

    Args:
        image_size (width, height): px.
        map_size (width, height): cells.

    Returns:
        (2, 3) float64. Points count from the middle of the first px and cell, without a correction of half a px.
    """
    (image_width, image_height), (width, height) = image_size, map_size
    scale = width / max(image_width, image_height)
    return np.array(
        [[scale, 0, (width - scale * image_width) / 2], [0, scale, (height - scale * image_height) / 2]], np.float64
    )


def released_grey_circle(levels: np.ndarray) -> tuple | None:
    """Locate a ball as the public port of TrackNet V1 does: the first Hough circle of a map of grey levels.

    The port multiplies the level by 255 in 8 bits, so that the levels 1 to 128 count and a bright core does not.

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
