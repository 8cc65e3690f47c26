"""Heat maps that say where a ball is: labels for training, and those of published code, truncation and all.

Coordinates are continuous cells: cell i spans [i, i + 1), so its middle is i + 0.5. A point in image px becomes a point
in cells by the ratio of the sizes alone. Nothing is rounded, so the label of a ball keeps its sub-pixel position.
The functions called `released_*` follow published code: there a point is first truncated to a whole cell.
"""

import numpy as np

RADIUS = 2.5  # cells of a map of 512x288, the label of TrackNetV2, TrackNetV3 and WASB
_ROWS = 16  # lines a cell in the integral of a disc


def to_cells(points: np.ndarray, image_size: tuple, map_size: tuple) -> np.ndarray:
    """Change points from image px to cells of a map that shows the whole image.

    Args:
        points (..., 2): x and y, px.
        image_size (width, height): of the image, px.
        map_size (width, height): of the map, cells.

    Returns:
        (..., 2) float64 x and y in cells, not rounded.
    """
    return np.asarray(points, np.float64) * np.divide(map_size, image_size)


def gaussian(centre: tuple | None, map_size: tuple, sigma: float = RADIUS) -> np.ndarray:
    """Draw exp(-d^2 / (2 sigma^2)) of each cell's distance d from a point.

    Args:
        centre (x, y): cells, with fraction; it may lie outside the map. None where no ball is seen.
        map_size (width, height): cells.
        sigma: cells.

    Returns:
        (height, width) float32 in [0, 1], zeros where no ball is seen.
    """
    width, height = map_size
    if centre is None:
        return np.zeros((height, width), np.float32)
    x = np.exp(-((np.arange(width) + 0.5 - centre[0]) ** 2) / (2 * sigma**2))
    y = np.exp(-((np.arange(height) + 0.5 - centre[1]) ** 2) / (2 * sigma**2))
    return np.outer(y, x).astype(np.float32)


def disc(centre: tuple | None, map_size: tuple, radius: float = RADIUS) -> np.ndarray:
    """Draw the share of each cell that a disc covers, so that the map's centre of mass is the disc's centre.

    Args:
        centre (x, y): cells, with fraction; it may lie outside the map. None where no ball is seen.
        map_size (width, height): cells.
        radius: cells.

    Returns:
        (height, width) float32 in [0, 1], zeros where no ball is seen.
    """
    width, height = map_size
    if centre is None:
        return np.zeros((height, width), np.float32)
    lines = (np.arange(height * _ROWS) + 0.5) / _ROWS - centre[1]
    half = np.sqrt(np.maximum(radius**2 - lines**2, 0))[:, None]
    left = np.arange(width)
    across = np.minimum(left + 1, centre[0] + half) - np.maximum(left, centre[0] - half)
    return np.maximum(across, 0).reshape(height, _ROWS, width).mean(axis=1).astype(np.float32)


def released_cell(point: tuple, image_size: tuple, map_size: tuple = (512, 288)) -> tuple:
    """Truncate a point to the cell that TrackNetV3 labels.

    Args:
        point (x, y): px of the image.
        image_size (width, height): px.
        map_size (width, height): cells.

    Returns:
        (x, y) whole cells.
    """
    return tuple(int(value / (image / cells)) for value, image, cells in zip(point, image_size, map_size, strict=True))


def released_disc(cell: tuple, map_size: tuple, radius: float = RADIUS, origin_is_empty: bool = True) -> np.ndarray:
    """Draw the binary disc about a whole cell that TrackNetV2, TrackNetV3 and WASB learn.

    Args:
        cell (x, y): whole cells, truncated before.
        map_size (width, height): cells.
        radius: cells; a cell belongs to the disc up to and with this distance.
        origin_is_empty: TrackNetV3 takes the cell (0, 0) for "no ball"; WASB draws it and takes a negative coordinate
            for "no ball".

    Returns:
        (height, width) float32 of 0 and 1.
    """
    width, height = map_size
    empty = tuple(cell) == (0, 0) if origin_is_empty else min(cell) < 0
    if empty:
        return np.zeros((height, width), np.float32)
    y, x = np.ogrid[:height, :width]
    return ((x - cell[0]) ** 2 + (y - cell[1]) ** 2 <= radius**2).astype(np.float32)


def released_soft(centre: tuple, map_size: tuple, radius: float = RADIUS) -> np.ndarray:
    """Draw the soft label that WASB gives to the frames that it calls hard examples.

    Args:
        centre (x, y): cells, counted from the middle of the first cell.
        map_size (width, height): cells.
        radius: cells.

    Returns:
        (height, width) float32 in {0} and [0.5, 1].
    """
    width, height = map_size
    if min(centre) < 0:
        return np.zeros((height, width), np.float32)
    y, x = np.ogrid[:height, :width]
    soft = 0.6 * np.exp(1 - ((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / radius**2)
    return np.where(soft < 0.5, 0, np.minimum(soft, 1)).astype(np.float32)


def released_grey_blob(side: int = 20, variance: float = 10.0) -> np.ndarray:
    """The blob of grey levels that TrackNet V1 pastes at a ball's truncated position in 1280x720.

    Args:
        side: px from the blob's middle to its border.
        variance: px^2.

    Returns:
        (2 side + 1, 2 side + 1) int64 in [0, 255].
    """
    y, x = np.mgrid[-side : side + 1, -side : side + 1]
    return (255 * np.exp(-(x**2 + y**2) / (2 * variance))).astype(np.int64)
