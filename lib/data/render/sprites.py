"""What moves: textures of the targets, and drawing them into pixels by exact area coverage."""

from functools import lru_cache

import numpy as np

TEXELS = 96  # per side of a sprite's texture
V, U = (np.mgrid[:TEXELS, :TEXELS] + 0.5) * 2 / TEXELS - 1  # texel centres, box = [-1, 1]^2, V downwards


def extent(kind, phase):
    """Width and height of a sprite's box relative to the object's longer side."""
    if kind == "car":
        c, s = abs(np.cos(phase)), abs(np.sin(phase))
        return c + 0.46 * s, s + 0.46 * c
    if kind == "bird":
        top, bottom = _bird_span(phase)
        return 1.0, (bottom - top) / 2
    if kind == "walker":
        return max(0.26, 0.3 * abs(np.sin(phase)) + 0.09), 1.0
    return {"drone": (1.0, 0.7), "lantern": (0.75, 1.0), "kite": (1.0, 0.8)}.get(kind, (1.0, 1.0))


def _bird_wing(u, phase):
    """Middle line and half thickness of the wings, in half spans, y downwards."""
    return -0.45 * np.sin(phase) * np.abs(u) ** 1.2 + 0.1 * np.abs(u), 0.2 - 0.14 * np.abs(u)


def _bird_span(phase):
    line, half = _bird_wing(np.linspace(0, 1, 101), phase)
    return min((line - half).min(), -0.24), max((line + half).max(), 0.24)


def texture(kind, phase, tint):
    """(T, T, 7) float64: colour times coverage (3), coverage (1), emitted light (3), over the sprite's box."""
    u, v = U, V
    colour = np.ones((TEXELS, TEXELS, 3)) * tint
    glow = np.zeros_like(colour)
    cover = np.ones_like(u, bool)
    if kind == "ball":
        r2 = u * u + v * v
        cover = r2 <= 1
        colour[np.abs(u * np.cos(phase) + v * np.sin(phase)) < 0.35] = 0.9
        colour *= (1 - 0.45 * r2.clip(0, 1))[..., None]
    elif kind == "kite":
        colour[(np.floor(2 * u) + np.floor(2 * v)) % 2 == 0] = (0.9, 0.15, 0.1)
        colour[np.maximum(np.abs(u), np.abs(v)) > 0.85] = 0.9
    elif kind == "drone":
        rotor = (np.abs(u) - 0.66) ** 2 + (np.abs(v) - 0.66) ** 2 <= 0.34**2
        arm = (np.abs(np.abs(u) - np.abs(v)) < 0.14) & (np.abs(u) < 0.7)
        body = (u / 0.36) ** 2 + (v / 0.42) ** 2 <= 1
        cover = rotor | arm | body
        colour[rotor] *= 0.6
        colour[body] = 0.95
        glow[rotor & (u < 0)] = (0.22, 0.02, 0.02)
        glow[rotor & (u > 0)] = (0.02, 0.2, 0.05)
        glow[(np.abs(u) < 0.15) & (np.abs(v) < 0.2)] = 0.25 + 0.2 * np.sin(phase)
    elif kind == "car":
        width, height = extent("car", phase)
        x, y = u * width / 2, v * height / 2
        p, q = x * np.cos(phase) + y * np.sin(phase), np.abs(y * np.cos(phase) - x * np.sin(phase))
        cover = (np.abs(p) <= 0.5) & (q <= 0.23)
        colour[(np.abs(p + 0.02) < 0.28) & (q < 0.19)] = 0.04
        colour[(np.abs(p + 0.04) < 0.14) & (q < 0.17)] = np.array(tint) * 1.2
        colour[(p > 0.3) & (q < 0.05)] = 0.8
        colour[(p < -0.3) & (q < 0.19)] = np.array(tint) * 0.5
        glow[(p > 0.43) & (q > 0.09)] = (0.9, 0.85, 0.65)
        glow[(p < -0.45) & (q > 0.1)] = (0.5, 0.02, 0.02)
    elif kind == "bird":
        top, bottom = _bird_span(phase)
        y = top + (v + 1) / 2 * (bottom - top)
        line, half = _bird_wing(u, phase)
        body = (u / 0.17) ** 2 + (y / 0.24) ** 2 <= 1
        cover = (np.abs(y - line) <= half) | body
        colour[~body & (np.abs(u) > 0.6)] *= 0.4
        colour[body & (y < 0)] = 0.95
    elif kind == "walker":
        half = extent("walker", phase)[0]  # of the width, in half heights
        x, y, swing = u * half, v, 0.3 * np.sin(phase)
        head = (x / 0.15) ** 2 + ((y + 0.83) / 0.17) ** 2 <= 1
        body = (np.abs(x) <= 0.26 - 0.08 * np.abs(y + 0.3)) & (np.abs(y + 0.3) < 0.37)
        step = swing * (y - 0.05) / 0.95
        legs = (y >= 0) & (np.minimum(np.abs(x - step), np.abs(x + step)) <= 0.09)
        cover = head | body | legs
        colour[legs & ~body] = (0.12, 0.14, 0.25)
        colour[head] = (0.8, 0.55, 0.42)
        colour[body & (np.abs(y + 0.3) < 0.06)] = 0.9
    elif kind == "lantern":
        cover = np.abs(u) <= 0.85 - 0.15 * v - 0.3 * (v > 0.8)
        glow[:] = np.array([0.75, 0.3, 0.07]) * (0.55 + 0.4 * v - 0.25 * u * u).clip(0)[..., None]
        colour *= 0.3
    parts = [colour, np.ones((TEXELS, TEXELS, 1)), glow]
    return np.concatenate(parts, axis=2) * cover[..., None]


@lru_cache(maxsize=64)
def halo(kind, heading):
    """Texture of cast light over 4 object sides: a round glow, or the beam of headlights."""
    if kind == "car":
        p, q = U * np.cos(heading) + V * np.sin(heading), V * np.cos(heading) - U * np.sin(heading)
        ahead = np.clip((p - 0.24) / 0.76, 0, 1)
        light = 0.2 * np.exp(-((q / (0.07 + 0.25 * ahead)) ** 2)) * ((p > 0.24) * (1 - ahead) ** 2)
        colour = (1, 0.9, 0.65)
    else:
        light, colour = (1 - np.minimum(U**2 + V**2, 1)) ** 3 * 0.06, (1, 0.42, 0.1)
    texture = np.zeros((TEXELS, TEXELS, 7))
    texture[..., 4:] = light[..., None] * np.array(colour)
    return texture


def coverage(start, length, limit):
    """How much of each pixel each texel covers along one axis: first pixel, (pixels, TEXELS) float64."""
    first, last = max(int(np.floor(start)), 0), min(int(np.ceil(start + length)), limit)
    edges = start + length * np.arange(TEXELS + 1) / TEXELS
    return first, shared(np.arange(first, last)[:, None], edges[:-1], edges[1:])


def shared(pixels, low, high):
    """Length that pixels [p, p + 1) share with intervals [low, high), broadcast."""
    return np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)


def cover(box_xywh, texture, size):
    """A texture drawn into a box by area coverage: ((rows, columns), (h, w, C) float32), None if out of view."""
    x, y, w, h = box_xywh.tolist()
    left, across = coverage(x, w, size[0])
    top, down = coverage(y, h, size[1])
    if not len(across) or not len(down):
        return None
    # float64, so that the order of the sum does not show in the float32 result
    half = (down @ texture.reshape(TEXELS, -1)).reshape(len(down), TEXELS, -1)
    patch = np.float32(across @ half)
    return (slice(top, top + len(down)), slice(left, left + len(across))), patch
