"""From heat maps to a trajectory: averaging of windows, choice among blobs, filling of gaps.

Averaging and choosing use only earlier frames and run online. Filling gaps needs later frames and runs offline.
"""

from typing import NamedTuple

import numpy as np

GATE = 300.0  # px of the original image, WASB


def window_weights(length: int, triangular: bool = True) -> np.ndarray:
    """Weights of the positions of a window. Maps in the middle of a window are the most accurate.

    Args:
        length: length of the window, frames.
        triangular: weights proportional to 1, 2, ... 2, 1; if false, equal weights.

    Returns:
        (length,) float32 with sum 1.
    """
    positions = np.arange(length)
    weights = np.minimum(positions, positions[::-1]) + 1.0 if triangular else np.ones(length)
    return (weights / weights.sum()).astype(np.float32)


def average_windows(maps: np.ndarray, triangular: bool = True) -> np.ndarray:
    """Average the maps of each frame over the overlapping windows, as TrackNetV3 does.

    Args:
        maps (M, L, H, W): maps of windows that start at frame 0, 1, ... M - 1.
        triangular: see `window_weights`. The first and the last L - 1 frames have fewer than L maps and always get
            their plain mean.

    Returns:
        (M + L - 1, H, W) float32, one map per frame.
    """
    count, length = maps.shape[:2]
    weights = window_weights(length, triangular)
    averaged = np.zeros((count + length - 1, *maps.shape[2:]), np.float32)
    for frame in range(len(averaged)):
        positions = [p for p in range(length) if 0 <= frame - p < count]
        full = len(positions) == length
        for position in positions:
            share = weights[position] if full else np.float32(1 / len(positions))
            averaged[frame] += share * maps[frame - position, position]
    return averaged


class Point(NamedTuple):
    """A ball in a frame. If it is not visible, all three values are minus infinity.

    Attributes:
        x, y: px.
        score: score of the blob.
    """

    x: float = -np.inf
    y: float = -np.inf
    score: float = -np.inf

    @property
    def visible(self) -> bool:
        return self.score > -np.inf


class Linker:
    """Chooses one blob per frame, online, by WASB's rule.

    If the last frame had a ball, blobs at the gate's distance from it or farther are rejected. Of the others the one
    with the highest score wins. With `motion`, and after three consecutive frames with a ball, the score is reduced by
    the distance from a constant-acceleration prediction. WASB's paper describes this, but its release omits it.

    Args:
        gate: px; infinity for no gate.
        motion: weight of that distance, score per px; 0 for WASB as released.
    """

    def __init__(self, gate: float = GATE, motion: float = 0.0) -> None:
        self.gate, self.motion = gate, motion
        self._last: list[Point] = []

    def step(self, blobs: list[tuple]) -> Point:
        """Choose the ball of the next frame.

        Args:
            blobs: [(x, y, score)] of the frame, px.

        Returns:
            The chosen blob, or an invisible Point.
        """
        before = self._last[-1] if self._last else Point()
        points = [Point(*blob) for blob in blobs]
        if before.visible:
            points = [point for point in points if np.hypot(point.x - before.x, point.y - before.y) < self.gate]
        chosen = max(points, key=self._adjusted_score, default=Point())
        self._last = [*self._last[-2:], chosen]
        return chosen

    def _adjusted_score(self, point):
        if not self.motion or len(self._last) < 3 or not all(last.visible for last in self._last):
            return point.score
        x, y = extrapolate(np.array([last[:2] for last in self._last]))
        return point.score - self.motion * np.hypot(point.x - x, point.y - y)


def extrapolate(points: np.ndarray) -> np.ndarray:
    """Predict the point after three points, with the velocity and acceleration of WASB's paper.

    Args:
        points (3, 2): oldest first, px.

    Returns:
        (2,) px: x1 + v + a / 2 with a = (x1 - x2) - (x2 - x3) and v = (x1 - x2) + a, x1 the newest.
    """
    third, second, first = np.asarray(points, np.float64)
    acceleration = (first - second) - (second - third)
    return first + (first - second) + 1.5 * acceleration


def gaps(visible: np.ndarray, y: np.ndarray, top: float) -> np.ndarray:
    """Mark the frames without a visible ball between two with one, except where the ball was above the image.

    Args:
        visible (N,): bool.
        y (N,): px, used where the ball is visible.
        top: px. If the ball is at or above this line before or after a gap, it has left the image.

    Returns:
        (N,) bool, true in gaps that must be filled. Frames before the first and after the last visible ball are never
        marked.
    """
    visible = np.asarray(visible, bool)
    marked = np.zeros(len(visible), bool)
    seen = np.flatnonzero(visible)
    for before, after in zip(seen[:-1], seen[1:], strict=True):
        marked[before + 1 : after] = y[before] > top and y[after] > top
    return marked


def fill_gaps(points: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """Fill gaps by linear interpolation.

    Args:
        points (N, 2): px.
        marked (N,): bool, see `gaps`.

    Returns:
        (N, 2) float64 px. Points outside gaps are unchanged.
    """
    filled = np.array(points, np.float64)
    frames, known = np.arange(len(filled)), ~np.asarray(marked, bool)
    for axis in range(2):
        filled[~known, axis] = np.interp(frames[~known], frames[known], filled[known, axis])
    return filled


def released_gaps(visible: list, y: list, top: float = 30.0) -> np.ndarray:
    """Mark gaps as TrackNetV3 does. It fills a gap at the start, and none after a single visible frame at the start.

    Args:
        visible (N,): 0 or 1.
        y (N,): cells or px, as `top`.
        top: a gap is filled if the ball is below this line on both sides of it.

    Returns:
        (N,) int64 of 0 and 1.
    """
    visible = np.asarray(visible, bool)
    marked = np.zeros(len(visible), np.int64)
    edges = np.flatnonzero(np.diff(np.concatenate([[True], visible, [True]]).astype(int)))
    for start, end in edges.reshape(-1, 2):
        if end == len(visible) or y[end] <= top:
            continue
        marked[start:end] = start == 0 or (start > 1 and y[start - 1] > top)
    return marked


def released_fill(values: list, marked: list) -> np.ndarray:
    """Fill gaps of one coordinate as TrackNetV3 does: the first and last frame of a gap repeat their neighbours.

    Args:
        values (N,): coordinates. If they are integers, filled values are truncated to integers.
        marked (N,): 1 in gaps. The ball is visible after each gap.

    Returns:
        (N,) of the type of `values`.
    """
    filled = np.array(values)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(marked), [0]])))
    for start, end in edges.reshape(-1, 2):
        before = filled[start - 1] if start else filled[end]
        filled[start:end] = np.linspace(before, filled[end], end - start).astype(filled.dtype)
    return filled


def released_drop_corner(points: np.ndarray) -> np.ndarray:
    """Set points in the image's top left corner to (0, 0), "no ball", as TrackNetV3 does after InpaintNet.

    Args:
        points (..., 2): x and y, divided by the image's width and height.

    Returns:
        (..., 2) the points, with (0, 0) where both values are below 50 / sqrt(288^2 + 512^2).
    """
    limit = 50 / np.hypot(288, 512)
    corner = (np.asarray(points) < limit).all(axis=-1, keepdims=True)
    return np.where(corner, 0, points)
