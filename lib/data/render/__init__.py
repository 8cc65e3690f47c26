"""Rendered night sequences with exact ground truth: the embedded benchmark `lunar_demo`, also for tests and training.

Frame i of a clip is a pure function of (seed, clip, i): nothing is on disk, any frame can be asked for in any order.
A clip is a world larger than the view (reflectance, lights, occluders; built once, in linear light), a camera that
shakes and pans over it, and sprites drawn into it by exact area coverage at sub-pixel positions, so a box is the true
continuous extent of its target. Light, noise and encoding are those of `lib.data.night`.
"""

import zlib
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np

from ...errors import UserError
from ..night import Lamp, NightParams, expose, illumination, sample_night
from . import scenes, sprites

VISIBLE = 0.1  # a target is present while more than this share of its box is in view and not behind an occluder
_LIGHT_STEP = 4  # px: the light map is kept at a quarter of the resolution
_MOON = (0.8, 0.9, 1.0)  # white balance of moonlight


@dataclass(frozen=True)
class Spec:
    """What happens in a clip. Lengths in px, positions as fractions of the view, times as frame numbers.

    kind: of the target; side: its longer side at the start; grow: size at the end relative to the start. points: the
    target's way, passed at equal times. distractors: number of objects of the target's kind, each crossing its way.
    poles: (frame, width) of occluders standing where the target is at that time. lamps: frames at which the target
    passes a lamp; flicker: those lamps flicker. shake: amplitude of the camera's shake; pan: (x, y) its drift over
    the clip. day: full light and no noise; a sky then stays black. twin: the way of one more object that looks like the
    target in every frame; as many points as the target's, and then both ways pass their points exactly.
    """

    name: str
    scene: str
    ev: float
    kind: str
    side: float
    points: tuple
    tint: tuple = (0.8, 0.7, 0.6)
    grow: float = 1.0
    distractors: int = 0
    poles: tuple = ()
    lamps: tuple = ()
    flicker: bool = False
    shake: float = 0.0
    pan: tuple = (0, 0)
    frames: int = 64
    size: tuple = (640, 360)
    day: bool = False
    twin: tuple = ()


_BALL, _WHITE = (0.95, 0.35, 0.1), (0.95, 0.95, 0.9)
DEMO = (
    Spec("ball_park", "park", 2.0, "ball", 32, ((0.3, 0.4), (0.37, 0.5), (0.47, 0.45)), _BALL),
    Spec("drone_city", "city", 3.0, "drone", 38, ((0.3, 0.3), (0.4, 0.2), (0.5, 0.3), (0.6, 0.25)), lamps=(50,)),
    Spec("car_road", "road", 3.0, "car", 40, ((0.3, 0.55), (0.45, 0.57)), (0.8, 0.1, 0.08)),
    Spec("walker_street", "city", 3.0, "walker", 40, ((0.3, 0.85), (0.45, 0.86)), _WHITE, poles=((18, 8), (48, 6))),
    Spec("lantern_lake", "lake", 4.5, "lantern", 24, ((0.3, 0.75), (0.35, 0.5), (0.45, 0.3)), distractors=5),
    Spec("tiny_drone_city", "city", 3.5, "drone", 9, ((0.2, 0.2), (0.3, 0.3), (0.45, 0.15)), lamps=(40,)),
    Spec("tiny_ball_park", "park", 3.0, "ball", 4, ((0.25, 0.7), (0.4, 0.5), (0.55, 0.55)), _WHITE),
    Spec(
        "bird_fast_lake", "lake", 2.0, "bird", 22, ((0.1, 0.3), (0.9, 0.5), (0.2, 0.7), (0.3, 0.2), (0.8, 0.3)), _WHITE
    ),
    Spec("car_traffic", "road", 4.0, "car", 34, ((0.15, 0.46), (0.8, 0.46)), (0.6, 0.6, 0.62), distractors=6),
    Spec("drone_behind_tower", "city", 3.5, "drone", 30, ((0.15, 0.3), (0.5, 0.35), (0.85, 0.25)), poles=((34, 80),)),
    Spec("walker_crowd", "city", 3.0, "walker", 34, ((0.75, 0.86), (0.2, 0.86)), (0.8, 0.3, 0.3), distractors=6),
    Spec("ball_out_and_back", "park", 3.0, "ball", 24, ((0.75, 0.4), (0.9, 0.35), (1.08, 0.4), (0.75, 0.5)), _BALL),
    Spec(
        "kite_shaky",
        "city",
        3.5,
        "kite",
        34,
        ((0.35, 0.4), (0.5, 0.35)),
        _WHITE,
        shake=5.0,
        lamps=(20, 50),
        flicker=True,
    ),
    Spec("kite_scale", "lake", 2.5, "kite", 17, ((0.3, 0.3), (0.45, 0.5), (0.55, 0.4), (0.5, 0.55)), _WHITE, grow=2.3),
    Spec("ball_dark_pan", "park", 5.0, "ball", 24, ((0.4, 0.5), (0.5, 0.6)), _WHITE, pan=(90, 30), size=(480, 360)),
    Spec(
        "swarm", "city", 4.0, "drone", 10, ((0.2, 0.3), (0.6, 0.15), (0.4, 0.4), (0.8, 0.2)), distractors=7, shake=4.0
    ),
)


def demo_clips(seed=0):
    """The clips of `lunar_demo`, in a fixed order: [RenderedClip]. Cheap: pixels are made when frames are read."""
    return [RenderedClip(spec, seed) for spec in DEMO]


class RenderedClip:
    """One rendered sequence, a frame source: `len(clip)`, `clip[i]` -> (H, W, 3) uint8 RGB.

    name; seed; fps; size (width, height) px; boxes_xywh (N, 4) float64 px, the target's whole extent also where it is
    partly hidden or leaves the view, NaN where `visible` (N,) is False, which is where at most `VISIBLE` of the box can
    be seen (a twin counts as hiding nothing); twin_xywh (N, 4) px, the twin's whole extent, or None; attributes, of:
    TO tiny object (median side under 8 px), FM fast motion (moves farther than its side between frames), OCC occluded,
    OV out of view, SO similar objects, LS passes light sources, CM camera motion, SV scale changes by 2 or more.
    """

    fps = 30.0

    def __init__(self, spec, seed=0):
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise UserError(f"the seed of a rendered clip must be a whole number of 0 or more, not {seed!r}")
        self.spec, self.seed, self.name, self.size = spec, int(seed), spec.name, spec.size
        rng = self._rng(0)
        n = spec.frames
        time = np.arange(n)
        shake = spec.shake * sum(
            a * np.sin(f * time[:, None] + rng.uniform(0, 6.28, 2)) for a, f in ((0.5, 0.23), (0.3, 0.71), (0.2, 1.9))
        )
        pan = np.abs(spec.pan) * (0.5 + np.sign(spec.pan) * (time[:, None] / (n - 1) - 0.5))
        self._camera = pan + shake + spec.shake  # view's corner in the world, never negative
        self._world_size = np.ceil(np.abs(spec.pan) + 2 * spec.shake + spec.size).astype(int) + 1
        jitter = rng.uniform(-6, 6, (len(spec.points), 2)) * (not spec.twin)  # or they would not meet where they should
        points = np.array(spec.points) * spec.size + jitter
        scale = spec.grow ** (time / (n - 1))
        target = _Track(spec.kind, spec.tint, spec.side * scale, _smooth_path(points, n), rng.uniform(0, 6.28))
        on_pan = target.centres + pan + spec.shake  # where it is in the world, were it not for the shake
        self.poles = []  # (x, y, width, bottom) px in the world; towers end at the street, posts at the view's edge
        for k, w in spec.poles:
            x, y = on_pan[k] - (w / 2, 0.35 * spec.size[1])
            bottom = self._world_size[1] * (0.8 if w >= scenes.TOWER else 1)
            self.poles.append((int(x), max(int(y), 0), w, int(bottom)))
        self.lamps = [(on_pan[k] + (0, -10)) / self._world_size for k in spec.lamps]
        self._tracks = [self._distractor(rng, target, k) for k in range(spec.distractors)] + [target]
        self._target = target
        if spec.twin:  # over the target or under it, the whole clip long
            path = _smooth_path(np.array(spec.twin) * spec.size, n)
            twin = _Track(spec.kind, spec.tint, target.sides, path, target.phases[0])
            self._tracks.insert(len(self._tracks) - int(rng.integers(2)), twin)
        for track in self._tracks:
            track.centres = track.centres + pan + spec.shake - self._camera
        self.visible, self.boxes_xywh, self.attributes = self._truth(target)
        self.twin_xywh = twin.boxes_xywh() if spec.twin else None

    def _truth(self, target):
        boxes = target.boxes_xywh()
        inside = _overlap(boxes, np.array([0, 0, *self.size]))
        area = boxes[:, 2] * boxes[:, 3]
        hidden = np.zeros(len(boxes))
        for x, y, w, bottom in self.poles:
            rect = np.array([x, y, x + w, bottom]) - np.tile(self._camera, 2)
            hidden += _overlap(boxes, np.clip(rect, 0, self.size * 2))
        visible = inside - hidden > VISIBLE * area
        boxes[~visible] = np.nan
        side, spec = np.sqrt(area), self.spec
        step = np.linalg.norm(np.diff(target.centres, axis=0), axis=1)
        holds = {
            "TO": np.median(side) < 8,
            "FM": (step > side[1:]).any(),
            "OCC": (hidden > 0.1 * area).any(),
            "OV": (inside <= VISIBLE * area).any(),
            "SO": spec.distractors > 0 or bool(spec.twin),
            "LS": bool(spec.lamps),
            "CM": spec.shake > 0 or any(spec.pan),
            "SV": side.max() >= 2 * side.min(),
        }
        return visible, boxes, tuple(name for name, held in holds.items() if held)

    def _distractor(self, rng, target, k):
        """Object k like the target, whose way crosses the target's, close by, at some time of the clip."""
        spec, n = self.spec, self.spec.frames
        when = (0.15 + 0.7 * (k + rng.uniform(0.2, 0.8)) / spec.distractors) * n
        meet = target.centres[int(when)]
        if spec.kind == "car":  # in its lane, the far ones oncoming
            lane = (1, -1, 2, 3)[k % 4]
            meet = meet + (0, lane * 0.054 * spec.size[1])
            velocity = np.array([(1.3, 0.75, -1.0, -1.2)[k % 4] * 0.7, 0])
        elif spec.kind == "walker":
            meet = meet + (0, rng.uniform(-14, 14))
            velocity = np.array([rng.choice([-0.5, 0.3, 0.6]), 0])
        else:
            meet = meet + spec.side * rng.uniform(0.8, 1.6) * np.array([0, rng.choice([-1, 1])])
            velocity = rng.uniform(-0.8, 0.8, 2)
        time = np.arange(n)[:, None]
        path = meet + (time - when) / n * velocity * spec.size
        if spec.kind not in ("car", "walker"):
            path += (30, 12) * np.sin(time * 0.15 + rng.uniform(0, 6.28, 2))
        tint = tuple(np.clip(np.array(spec.tint) * rng.uniform(0.8, 1.2, 3), 0, 1))
        return _Track(spec.kind, tint, target.sides * rng.uniform(0.9, 1.1), path, rng.uniform(0, 6.28))

    def __len__(self):
        return self.spec.frames

    def __getitem__(self, i):
        i = range(len(self))[i]
        return expose(self.linear(i), self._world()["params"], self._rng(1, i))

    def linear(self, i, target=True):
        """Frame i before the sensor: (H, W, 3) float32 linear light, no noise; `target=False` leaves the target out."""
        world, corner = self._world(), self._camera[i]
        view, light = _window(world["lit"], corner, self.size), world["light"]
        if self.spec.flicker:
            flicker = np.float32(0.55 + 0.45 * np.sin(2.1 * i) * np.sin(0.37 * i))
            view += flicker * _window(world["flicker_lit"], corner, self.size)
            light = light + flicker * world["flicker_light"]
        for track in self._tracks:
            if target or track is not self._target:
                self._draw(view, track, i, light)
        return view

    def alpha(self, i):
        """Share of each pixel that the target covers in frame i, occluders not regarded: (H, W) float32 in [0, 1]."""
        mask = np.zeros((self.size[1], self.size[0], 1), np.float32)
        track = self._target
        placed = sprites.cover(track.boxes_xywh(i), track.texture(i)[..., 3:4], self.size)
        if placed is not None:
            mask[placed[0]] = placed[1]
        return mask[..., 0]

    def _draw(self, view, track, i, light):
        box = track.boxes_xywh(i)
        for place, texture in ((box, track.texture(i)), *track.halo(i)):
            placed = sprites.cover(place, texture, self.size)
            if placed is None:
                continue
            (rows, cols), patch = placed
            open_ = self._open(rows, cols, self._camera[i])
            centre = (box[:2] + box[2:] / 2 + self._camera[i]) / _LIGHT_STEP - 0.5
            here = cv2.getRectSubPix(light, (1, 1), tuple(centre.tolist()))[0, 0]
            view[rows, cols] *= 1 - open_ * patch[..., 3:4]
            view[rows, cols] += open_ * (patch[..., :3] * here + patch[..., 4:])

    def _open(self, rows, cols, camera):
        """Share of each pixel of a part of the view that no occluder covers: (h, w, 1) float32."""
        free = np.ones((rows.stop - rows.start, cols.stop - cols.start), np.float32)
        for x, y, w, bottom in self.poles:
            across = sprites.shared(np.arange(cols.start, cols.stop), x - camera[0], x + w - camera[0])
            down = sprites.shared(np.arange(rows.start, rows.stop), y - camera[1], bottom - camera[1])
            free -= np.float32(down[:, None] * across)
        return free[..., None]

    def _rng(self, *purpose):
        return np.random.default_rng([self.seed, zlib.crc32(self.name.encode()), *purpose])

    def _world(self):
        return _build_world(self.spec, self.seed)


class _Track:
    """A moving sprite: kind, tint, longer sides (N,) px, centres (N, 2) px in the view."""

    def __init__(self, kind, tint, sides, centres, phase):
        self.kind, self.tint, self.sides, self.centres = kind, tint, sides, centres
        speed = {"bird": 0.9, "walker": 0.45, "drone": 0.5, "ball": 0.06}.get(kind, 0)
        self.phases = phase * (speed > 0) + speed * np.arange(len(centres))
        if kind == "car":
            ahead = np.gradient(centres, axis=0)
            self.phases = np.unwrap(np.arctan2(ahead[:, 1], ahead[:, 0]))

    def boxes_xywh(self, i=slice(None)):
        """(N, 4) or (4,) float64 px: the continuous extent of the sprite's texture."""
        phases = self.phases[i]
        extent = np.array([sprites.extent(self.kind, p) for p in np.atleast_1d(phases)]).reshape(*np.shape(phases), 2)
        size = extent * np.asarray(self.sides[i])[..., None]
        return np.concatenate([self.centres[i] - size / 2, size], axis=-1)

    def texture(self, i):
        return sprites.texture(self.kind, float(self.phases[i]), self.tint)

    def halo(self, i):
        """Light that the object casts on its surroundings, not part of its box: [(box, texture)] or []."""
        if self.kind not in ("car", "lantern"):
            return []
        size, heading = 4.0 * self.sides[i], float(self.phases[i])
        return [(np.array([*(self.centres[i] - size / 2), size, size]), sprites.halo(self.kind, round(heading, 2)))]


def _window(image, corner, size):
    """The part of an image at a sub-pixel corner, bilinear: (H, W, C) float32, a copy."""
    ix, iy = corner.astype(int)
    fx, fy = np.float32(corner - (ix, iy))
    part = image[iy : iy + size[1] + 1, ix : ix + size[0] + 1]
    if fy:
        part = part[:-1] + fy * (part[1:] - part[:-1])
    if fx:
        part = part[:, :-1] + fx * (part[:, 1:] - part[:, :-1])
    return part[: size[1], : size[0]].copy()


def _overlap(boxes_xywh, rect_xyxy):
    """Area (N,) px^2 that boxes share with a rectangle, or each with its own."""
    low = np.maximum(boxes_xywh[:, :2], rect_xyxy[..., :2])
    high = np.minimum(boxes_xywh[:, :2] + boxes_xywh[:, 2:], rect_xyxy[..., 2:])
    return np.prod((high - low).clip(0), axis=1)


def _smooth_path(points, n):
    """(n, 2) positions on a Catmull-Rom curve through points (K, 2), reached at equal times."""
    p = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    t = np.linspace(0, len(points) - 1, n)
    k = np.minimum(t.astype(int), len(points) - 2)
    t = (t - k)[:, None]
    a, b, c, d = p[k], p[k + 1], p[k + 2], p[k + 3]
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))


@lru_cache(maxsize=16)
def _build_world(spec, seed):
    """What of a clip does not move, in linear light: {params, lit, light, flicker_lit, flicker_light}."""
    clip = RenderedClip(spec, seed)
    rng = clip._rng(2)
    width, height = (int(s) for s in clip._world_size)
    surface, glow, lamps = scenes.SCENES[spec.scene](rng, height, width)
    passed = [Lamp(float(x), float(y), 0.07, (1.0, 0.72, 0.4)) for x, y in clip.lamps]
    for lamp in passed:
        x, y = int(lamp.x * width), int(lamp.y * height) - 26
        post = slice(y, int(height * 0.8)) if spec.scene == "city" else slice(int(height * 0.36), y)
        surface[post, x - 1 : x + 1], glow[post, x - 1 : x + 1] = 0.15, 0
        scenes.disc(glow, x, y, 3, (1.0, 0.85, 0.55))
    for pole in clip.poles:
        scenes.pole(rng, surface, glow, *pole)
    params = sample_night(rng, (spec.ev, spec.ev), jpeg_probability=0)
    steady = lamps if spec.flicker else (*lamps, *passed)
    params = replace(params, white_balance=_MOON, veil=0.2 * params.veil, lamps=steady)
    if spec.day:
        params, glow = NightParams(ev=0.0), np.zeros_like(glow)
    # Stray light in the lens: a bright lamp has a wide faint halo.
    small = cv2.resize(glow, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    for sigma, share in ((2, 0.8), (9, 0.7)):
        glow = glow + share * cv2.resize(cv2.GaussianBlur(small, (0, 0), sigma), (width, height))
    light = illumination(params, height, width)
    world = {"params": params, "lit": surface * light + glow, "light": _shrink(light)}
    if spec.flicker:
        more = illumination(replace(params, lamps=(*lamps, *passed)), height, width) - light
        world |= {"flicker_lit": surface * more, "flicker_light": _shrink(more)}
    return world


def _shrink(light):
    height, width = light.shape[:2]
    return cv2.resize(light, (width // _LIGHT_STEP, height // _LIGHT_STEP), interpolation=cv2.INTER_AREA)
