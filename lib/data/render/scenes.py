"""What stands still: skies, skylines, roads, parks and lakes in daylight reflectance, and the lights in them.

Each scene is a function (rng, height, width) -> surface (H, W, 3) reflectance, glow (H, W, 3) emitted linear light,
lamps (tuple of night.Lamp).
"""

from functools import lru_cache

import cv2
import numpy as np

from ..night import Lamp
from .sprites import TEXELS, U, V, cover

TOWER = 24  # px: an occluder at least as wide is a building, else a post


def pole(rng, surface, glow, x, y, w, bottom):
    """An occluder: a post, or a tower with windows."""
    rect = np.s_[y:bottom, max(x, 0) : x + w]
    glow[rect] = 0
    if w >= TOWER:
        surface[rect] = 0.1
        _windows(rng, glow, x, y, w, bottom - y)
    else:
        surface[rect] = 0.3 * (1 - 0.7 * np.abs(np.linspace(-0.8, 1, surface[rect].shape[1])))[:, None]


def _clouds(rng, height, width, cell, strength, octaves=4, stretch=1):
    """Multi-octave noise around 1, (height, width, 1) float32. cell: coarsest grain, px; stretch: width / height."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        step = max(cell / 2**octave, 1.0)
        grid = rng.standard_normal((int(height / step) + 2, int(width / step / stretch) + 2), dtype=np.float32)
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC) * 0.6**octave
    return np.maximum(1 + strength * total, 0.15)[..., None]


def disc(image, x, y, radius, colour):
    """An anti-aliased disc, added."""
    placed = cover(np.array([x - radius, y - radius, 2 * radius, 2 * radius]), _dot(), image.shape[1::-1])
    if placed is not None:
        image[placed[0]] += placed[1] * np.float32(colour)


@lru_cache(maxsize=1)
def _dot():
    return (U**2 + V**2 <= 1).astype(float)[..., None]


def _windows(rng, glow, x, y, w, h, lit=0.3):
    """Lit windows of a building."""
    for wy in range(y + 5, y + h - 8, 9):
        for wx in range(max(x, 0) + 3, x + w - 5, 8):
            if rng.random() < lit:
                warm = rng.choice([0.35, 0.6, 1.1])
                glow[wy : wy + 5, wx : wx + 4] = rng.uniform(0.01, 0.12) * np.array([1, 0.8, warm])


def _sky(rng, glow, horizon):
    """A dim sky with clouds, haze towards the horizon, and stars."""
    height = np.linspace(0, 1, horizon)[:, None, None] ** 2
    width = glow.shape[1]
    glow[:horizon] = (np.array([0.003, 0.004, 0.009]) + height * np.array([0.02, 0.014, 0.012])) * _clouds(
        rng, horizon, width, 90, 0.35, stretch=3
    )
    stars = rng.integers(0, (int(horizon * 0.7), width), (70, 2))
    glow[stars[:, 0], stars[:, 1]] += rng.uniform(0.01, 0.12, (70, 1)) ** 1.5


def _skyline(rng, surface, glow, base, tall):
    """Two rows of buildings standing at row `base`, the nearer darker and taller."""
    height, width = surface.shape[:2]
    for shade, size, lit in ((0.16, 0.6, 0.12), (0.09, 1.0, 0.3)):
        x = -20
        while x < width:
            w = int(rng.uniform(35, 85))
            h = int(tall * size * rng.uniform(0.45, 1))
            part = np.s_[base - h : base, max(x, 0) : x + w]
            surface[part] = shade * rng.uniform(0.7, 1.3) * rng.uniform(0.85, 1.15, 3)
            glow[part] = 0
            _windows(rng, glow, x, base - h, w, h, lit)
            x += w + int(rng.uniform(-4, 14))


def _city(rng, height, width):
    surface, glow = np.zeros((2, height, width, 3), np.float32)
    base = int(height * 0.76)
    _sky(rng, glow, base)
    _skyline(rng, surface, glow, base, height * 0.5)
    surface[base:] = (0.2, 0.19, 0.18) * _clouds(rng, height - base, width, 16, 0.12, stretch=2)
    surface[base + 8 : base + 11] *= 1.8
    surface[base:, ::46] *= 0.7
    lamps = []
    for x in np.arange(60, width, 150) + rng.uniform(-15, 15):
        surface[base - 46 : base + 10, int(x) : int(x) + 3] = 0.12
        disc(glow, x + 1.5, base - 48, 3.5, (1.0, 0.75, 0.4))
        lamps.append(Lamp(float(x / width), (base + 8) / height, 0.06, (0.8, 0.55, 0.27)))
    return surface, glow, tuple(lamps)


def _road(rng, height, width):
    surface, glow = np.zeros((2, height, width, 3), np.float32)
    surface[:] = (0.09, 0.14, 0.05) * _clouds(rng, height, width, 24, 0.35)
    y0, y1, mid = int(height * 0.38), int(height * 0.64), int(height * 0.51)
    for x in range(-10, width, 110):  # roofs along the road
        for y in (int(rng.uniform(-10, 20)), int(y1 + 45 + rng.uniform(0, 20))):
            w, h = int(rng.uniform(60, 95)), int(rng.uniform(50, 75))
            part = surface[max(y, 0) : y + h, max(x, 0) : x + w]
            part[:] = rng.uniform(0.15, 0.4) * np.array([1, 0.75, 0.65]) * _clouds(rng, *part.shape[:2], 6, 0.1)
            part[: h // 2] *= 0.7
    surface[y0 - 12 : y1 + 12] = 0.28 * _clouds(rng, y1 - y0 + 24, width, 10, 0.06)
    surface[y0:y1] = 0.13 * _clouds(rng, y1 - y0, width, 40, 0.12, stretch=4)
    for y in (y0 + 3, y1 - 5):
        surface[y : y + 2] = 0.55
    for x in range(0, width, 40):
        surface[mid : mid + 3, x : x + 20] = 0.6
    lamps = []
    for k, x in enumerate(np.arange(50, width, 130) + rng.uniform(-20, 20)):
        y = y0 - 6 if k % 2 else y1 + 6
        disc(glow, x, y, 2.5, (1.0, 0.7, 0.35))
        lamps.append(Lamp(float(x / width), y / height, 0.06, (0.6, 0.42, 0.22)))
    return surface, glow, tuple(lamps)


def _park(rng, height, width):
    surface, glow = np.zeros((2, height, width, 3), np.float32)
    surface[:] = (0.1, 0.15, 0.05) * _clouds(rng, height, width, 60, 0.2) * _clouds(rng, height, width, 4, 0.25, 2)
    bend = height * 0.55 + 0.15 * height * np.sin(np.arange(width) / width * 4 + rng.uniform(0, 6))
    path = np.abs(np.arange(height)[:, None] - bend[None]) < 24
    surface[path] = ((0.34, 0.29, 0.22) * _clouds(rng, height, width, 8, 0.12))[path]
    for x, y, r in rng.uniform((0, 0, 14), (width, height, 30), (26, 3)):  # trees from above
        if abs(y - bend[int(x)]) > 24 + r:
            angle = np.arctan2(V, U)
            edge = 0.82 + 0.1 * np.cos(5 * angle + x) + 0.08 * np.cos(11 * angle + y)
            crown = np.hypot(U, V) < edge
            shade = (1 - 0.5 * (U + V)) * _clouds(rng, TEXELS, TEXELS, 30, 0.3)[..., 0]
            texture = np.stack([crown * shade, crown], axis=2)
            place, patch = cover(np.array([x - r, y - r, 2 * r, 2 * r]), texture, (width, height))
            surface[place] *= 1 - patch[..., 1:]
            surface[place] += patch[..., :1] * np.float32([0.05, 0.09, 0.03])
    lamps = []
    for x in np.arange(40, width, 170) + rng.uniform(-20, 20):
        y = float(np.interp(x, np.arange(width), bend)) - 30
        disc(glow, x, y, 2.5, (1.0, 0.8, 0.5))
        lamps.append(Lamp(float(x / width), y / height, 0.055, (0.5, 0.4, 0.25)))
    return surface, glow, tuple(lamps)


def _lake(rng, height, width):
    surface, glow = np.zeros((2, height, width, 3), np.float32)
    shore = int(height * 0.45)
    _sky(rng, glow, shore)
    _skyline(rng, surface, glow, shore, height * 0.22)
    waves = _clouds(rng, height - shore, width, 10, 0.35, octaves=3, stretch=6)
    # the far side mirrored, drawn out downwards and broken by the waves
    mirror = cv2.resize(glow[shore - int(height * 0.22) : shore][::-1], (width, height - shore))
    mirror = cv2.GaussianBlur(mirror, (0, 0), sigmaX=1.5, sigmaY=9)
    glow[shore:] = 0.6 * mirror * waves**3 + 0.002 * np.float32([0.5, 0.8, 1.2])
    surface[shore:] = (0.05, 0.08, 0.1) * waves
    surface[shore - 2 : shore + 2] = 0.2
    return surface, glow, ()


SCENES = {"city": _city, "road": _road, "park": _park, "lake": _lake}
