"""Lamps in the picture at night: what they cast on the scene, their glare in the lens, the lamps themselves."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

CELL = 4  # px: light of lamps is smooth and computed on a grid this coarse
_GLARES = 4  # Gaussians that make the glare of a lamp


@dataclass(frozen=True)
class Lamp:
    """A lamp in the picture, with the light that it casts on the scene and its glare in the lens.

    Lengths are fractions of the image width, the centre x, y fractions of width and height (outside [0, 1] = out of
    sight). Light is linear, 1 is day's white.

    core: radius of the lamp itself, [0.001, 0.02]. power: light of the core, [0.2, 8]; from 1 on it saturates.
    pool: sigma of the light it casts, [0.02, 0.3]. exposure: of the scene at its centre, [0, 1], where 1 is day.
    glare: light scattered beside the core, [0, 0.5]; it falls with the square of the distance. colour: linear RGB.
    """

    x: float
    y: float
    core: float
    power: float
    pool: float
    exposure: float
    glare: float
    colour: tuple[float, float, float] = (1.0, 0.8, 0.5)

    def dimmed(self, share, dx=0.0, dy=0.0):
        """The lamp with this share of its light, moved by (dx, dy) fractions of width and height."""
        light = {name: share * getattr(self, name) for name in ("power", "exposure", "glare")}
        return replace(self, x=self.x + dx, y=self.y + dy, **light)


def draw_lamp(rng):
    """Draw a Lamp from a np.random.Generator, now and then out of sight."""
    x, y, green, blue = rng.uniform((-0.2, -0.2, 0.7, 0.4), (1.2, 1.2, 1, 1)).tolist()
    core, power, pool, exposure, glare = np.exp(
        rng.uniform(np.log([0.002, 0.3, 0.03, 0.05, 0.02]), np.log([0.012, 8, 0.15, 0.6, 0.3]))
    ).tolist()
    return Lamp(x, y, core, power, pool, exposure, glare, (1.0, green, green * blue))


def lamp_light(lamps, height, width):
    """Light of lamps on a grid of cells of 4 x 4 px.

    Args:
        lamps: list of Lamp.
        height, width: of the image, px.

    Returns:
        (cast, glare), each (ceil(height / 4), ceil(width / 4), 3) float32: the factor of the scene, and what is added.
    """
    rows, columns = -(-height // CELL), -(-width // CELL)
    across = (np.arange(columns, dtype=np.float32) + 0.5) * np.float32(CELL / width)
    down = (np.arange(rows, dtype=np.float32) + 0.5) * np.float32(CELL / width)
    x, y, core, pool, cast, glare = np.float32(
        [(each.x, each.y * height / width, each.core, each.pool, each.exposure, each.glare) for each in lamps]
    ).T
    colours = np.float32([each.colour for each in lamps])
    # Glare falls with the square of the distance: a sum of Gaussians, each twice as wide and a quarter as strong.
    sizes = np.concatenate([3 * core * 2**k for k in range(_GLARES)])
    shares = np.concatenate([glare * 4.0**-k for k in range(_GLARES)])
    maps = []
    for sigma, level, times in ((pool, cast, 1), (sizes, shares, _GLARES)):
        falls = [
            np.exp(-0.5 * ((grid - np.tile(centre, times)[:, None]) / sigma[:, None]) ** 2)
            for grid, centre in ((down, y), (across, x))
        ]
        light = (np.tile(colours, (times, 1)) * level[:, None]).T[:, None] * falls[0].T  # (3, rows, lamps)
        maps.append(np.ascontiguousarray(np.float32(light @ falls[1]).transpose(1, 2, 0)))
    return maps


def enlarge(grid, rows, columns):
    """Enlarge a part of a grid of cells to pixels.

    Args:
        grid: (rows, columns, C) float32, one value for CELL x CELL px.
        rows, columns: (first, end) of the part, cells.

    Returns:
        ((end - first) CELL, (end - first) CELL, C) float32.
    """
    (top, bottom), (left, right) = rows, columns
    above, before = min(top, 1), min(left, 1)  # the neighbours decide between cells
    part = grid[top - above : bottom + 1, left - before : right + 1]
    size = part.shape[1] * CELL, part.shape[0] * CELL
    enlarged = cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
    return enlarged[above * CELL : (above + bottom - top) * CELL, before * CELL : (before + right - left) * CELL]


def add_cores(linear, lamps, top, height):
    """Add the lamps themselves to linear light, in place: soft discs.

    Args:
        linear ((n, W, 3) float32): n rows of the image, from row `top` on.
        lamps: list of Lamp.
        top: the image's row that is the first of `linear`.
        height: of the image, px.
    """
    rows, width, _ = linear.shape
    for lamp in lamps:
        radius = max(lamp.core * width, 0.5)
        cx, cy, around = lamp.x * width - 0.5, lamp.y * height - 0.5 - top, 2.5 * radius + 1
        if cy + around < 0 or cy - around > rows:
            continue
        x0, x1 = max(int(cx - around), 0), min(int(cx + around) + 2, width)
        y0, y1 = max(int(cy - around), 0), min(int(cy + around) + 2, rows)
        if x1 > x0 and y1 > y0:
            square = (np.arange(x0, x1) - cx) ** 2 + ((np.arange(y0, y1) - cy) ** 2)[:, None]
            disc = np.exp(-((square / radius**2) ** 1.5)).astype(np.float32)
            linear[y0:y1, x0:x1] += disc[:, :, None] * (np.float32(lamp.power) * np.float32(lamp.colour))
