"""A drawn ball that flies over the frames of any video, to train ball finders on real pictures."""

import numpy as np

from .streak import lay, streak

RADIUS = (0.7, 5.0)  # px of the frames
SPEED = (0.3, 25.0)  # px from one frame of the video to the next
SHUTTLE = 0.25  # share of balls that are shuttlecocks: three discs along the path
BOUNCE = 0.15  # share of balls whose path bends at the middle frame
SEEN = 6.0  # grey levels: a ball that changes no pixel by more counts as not seen
_COLOURS = ((240, 240, 232), (235, 205, 60), (200, 225, 60), (240, 150, 40), (190, 80, 40), (90, 60, 50))
_DISCS = ((0.9, 0.45), (0.2, 0.7), (-0.7, 1.0))  # of a shuttlecock: place along its path and radius, in radii


def throw(rng: np.random.Generator, frames: np.ndarray, gap: int = 1, still: float = 1.0) -> np.ndarray:
    """Draw a flying ball, and some that lie still and are not labelled, over a window of frames.

    Args:
        rng: all that is random comes from it.
        frames (N, H, W, 3): uint8 RGB, changed in place.
        gap: frames of the video from one frame of the window to the next.
        still: mean number of balls that lie still.

    Returns:
        (N, 2) the ball's centre at mid-exposure, px; NaN where it is outside or not seen.
    """
    count, height, width = frames.shape[:3]
    radius, speed = (np.exp(rng.uniform(*np.log(bounds))) for bounds in (RADIUS, SPEED))
    heading = rng.uniform(0, 2 * np.pi)
    velocity = speed * np.array([np.cos(heading), np.sin(heading)])
    gravity = np.array([0, np.exp(rng.uniform(*np.log((0.02, 1.0))))])
    after = velocity * rng.choice((-1, 1), 2) * rng.uniform(0.3, 1, 2) if rng.random() < BOUNCE else velocity
    start = rng.uniform(0, (width, height))
    shuttle, blur, exposure = rng.random() < SHUTTLE, rng.uniform(0.4, 0.9), rng.uniform(0.1, 0.95)
    colour, panel = _colour(rng), _colour(rng)
    turn = rng.uniform(0, 0.6)

    def way(time):
        """Centres (K, 2) at times (K,), frames from the middle one on."""
        time = time[:, None]
        return start + np.where(time < 0, velocity, after) * time + gravity * time**2 / 2

    for _ in range(rng.poisson(still)):
        place = rng.uniform(0, (width, height)).reshape(1, 1, 2)
        size = np.full((1, 1), radius * rng.uniform(0.7, 1.3))
        for frame in frames:
            _draw(frame, place, size, colour, colour, 0.0, blur)
    times = (np.arange(count) - count // 2) * float(gap)
    points = way(times)
    for frame, time, point in zip(frames, times, points, strict=True):
        ends = way(time + exposure * np.array([-0.5, 0.5]))
        steps = int(np.clip(np.linalg.norm(ends[1] - ends[0]) / (0.35 * radius), 2, 40)) | 1
        centres = way(time + exposure * np.linspace(-0.5, 0.5, steps))[:, None]
        radii = np.full((steps, 1), radius)
        if shuttle:
            ahead = (ends[1] - ends[0]) / max(np.linalg.norm(ends[1] - ends[0]), 1e-9)
            along, share = np.array(_DISCS).T
            centres, radii = centres + radius * along[:, None] * ahead, radius * np.tile(share, (steps, 1))
        change = _draw(frame, centres, radii, colour, colour if shuttle else panel, turn * time, blur)
        if change < SEEN or not (0 <= point[0] < width and 0 <= point[1] < height):
            point[:] = np.nan
    return points


def _colour(rng):
    """A colour of a ball: mostly that of a known kind."""
    known = np.array(_COLOURS[int(rng.integers(len(_COLOURS)))], float) + rng.uniform(-15, 15, 3)
    return (known if rng.random() < 0.8 else rng.uniform(30, 250, 3)) * rng.uniform(0.6, 1.0)


def _draw(frame, centres, radii, colour, panel, angle, blur):
    """Draw discs as `streak` takes them. Returns the largest change of a pixel's brightness, grey levels."""
    reach = radii.max() + 3 * blur + 1
    low = np.floor(centres.min(axis=(0, 1)) - reach).astype(int).clip(0)
    high = np.ceil(centres.max(axis=(0, 1)) + reach).astype(int).clip(None, frame.shape[1::-1])
    if (high <= low).any():
        return 0.0
    x, y = (np.arange(first, last) + 0.5 for first, last in zip(low, high, strict=True))
    part = frame[low[1] : high[1], low[0] : high[0]]
    before = part.astype(np.float32)
    middle, radius = centres[len(centres) // 2, -1], radii.max()
    across, down = (x - middle[0]) / radius, ((y - middle[1]) / radius)[:, None]
    painted = (np.sin(3 * (across * np.cos(angle) + down * np.sin(angle)) + 2 * angle) > 0.3)[..., None]
    shade = (0.9 - 0.15 * np.clip(down, -1, 1))[..., None]
    lay(part, streak(centres, radii, x, y, blur), shade * np.where(painted, panel, colour))
    return float(np.abs(part - before).mean(axis=2).max())
