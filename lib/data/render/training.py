"""`lunar_rendered`: as many rendered clips as wanted, drawn at random, to train from. None is one of `lunar_demo`'s.

`lunar_day`: some more, in daylight; clean images for who has no photographs at hand. `lunar_night`: fresh ones to test
on. `lunar_crossing`: two balls that look the same and cross each other's way: only their motion tells which is which.
"""

from dataclasses import replace
from itertools import count, islice

import numpy as np

from . import RenderedClip, Spec

CLIPS = 400
SIZES = ((640, 360), (480, 360), (512, 288))
# Where each kind is seen, and the range of the height at which it goes, as a share of the view's.
PLACES = {
    "ball": (("park", "city", "road"), (0.1, 0.9)),
    "drone": (("city", "lake", "park"), (0.08, 0.6)),
    "bird": (("lake", "park", "city"), (0.1, 0.8)),
    "kite": (("city", "lake"), (0.1, 0.7)),
    "lantern": (("lake", "city"), (0.15, 0.8)),
    "car": (("road",), (0.42, 0.6)),
    "walker": (("city",), (0.78, 0.9)),
}
SIDES = (4.0, 64.0)  # px
MAX_STEP = 0.02  # of the view's width from frame to frame, about; hard motion is twice that
EV = (0.0, 5.5)
APART = 1.2  # sides between the centres of two balls that cross: before, after and between their meetings


def training_clips(clips=CLIPS, seed=1):
    """Random clips: [RenderedClip], every one a function of (seed, its number) alone. Pixels are made when read."""
    return [_random(number, seed) for number in range(clips)]


def night_clips(clips=200, seed=3):
    """Random clips to test on: [RenderedClip], the first ones of training_clips that show their target at the start."""
    return list(islice((clip for clip in (_random(number, seed) for number in count()) if clip.visible[0]), clips))


def day_clips(clips=16, seed=2):
    """Random clips in daylight, of the scenes that show no sky: [RenderedClip], as training_clips."""
    specs = (_spec(np.random.default_rng([seed, number]), f"day_{number:02d}") for number in range(clips))
    scenes = ("park", "road")
    return [
        RenderedClip(replace(spec, scene=scenes[number % 2], lamps=(), flicker=False, day=True), seed)
        for number, spec in enumerate(specs)
    ]


def crossing_clips(clips=200, seed=4):
    """Random clips of a ball and its twin that meet once or twice: [RenderedClip], as training_clips."""
    return [
        RenderedClip(_crossing(np.random.default_rng([seed, number]), f"crossing_{number:03d}"), seed)
        for number in range(clips)
    ]


def _random(number, seed):
    return RenderedClip(_spec(np.random.default_rng([seed, number]), f"{number:05d}"), seed)


def _crossing(rng, name):
    side, size = float(rng.uniform(10, 20)), (320, 240)
    target, twin = (tuple(map(tuple, (way / size).tolist())) for way in _crossing_ways(rng, side, size))
    scene, tint = str(rng.choice(PLACES["ball"][0])), tuple(rng.uniform(0.4, 1, 3).tolist())
    return Spec(name, scene, float(rng.uniform(0, 2)), "ball", side, target, tint, size=size, twin=twin)


def _crossing_ways(rng, side, size, frames=64):
    """Points of two smooth ways whose centres coincide once or twice: (10, 2) px each, equal times apart.

    The middle between the two goes in a wide bend at constant speed; they go off it to opposite sides, straight on or
    in a sine, so at a meeting both hold their velocity, are about equally fast and equally far from where they met.
    """
    time, twice = np.linspace(0, frames - 1, 10), rng.random() < 0.9
    while True:
        first = rng.uniform(13, 25)
        gap = rng.uniform(22, 54 - first)
        speed, across = rng.uniform(0.7, 1.8), rng.uniform(0.8, 2)  # px a frame
        off, furthest = across * (time - first), np.inf
        if twice:
            furthest = across * gap / np.pi
            off = furthest * np.sin(np.pi * (time - first) / gap)
        more = twice and (first > gap or first + 2 * gap < frames)  # a third meeting
        near = 2 * min(furthest, abs(off[0]), abs(off[-1])) < APART * side
        if more or near or np.hypot(speed, across) > 2.2:
            continue
        start, bend = rng.uniform(0, 2 * np.pi), rng.uniform(-0.6, 0.6)
        heading = start + bend * (time / time[-1] - 0.5)
        middle = speed * time[1] * np.cumsum([np.cos(heading), np.sin(heading)], axis=1).T
        aside = rng.choice([-1, 1]) * np.array([-np.sin(start), np.cos(start)])
        ways = np.array([middle + off[:, None] * aside, middle - off[:, None] * aside])
        low, high = side - ways.min((0, 1)), np.subtract(size, side) - ways.max((0, 1))
        if (low < high).all():
            return ways + rng.uniform(low, high)


def _spec(rng, name):
    kind = str(rng.choice(list(PLACES)))
    scenes, (top, bottom) = PLACES[kind]
    ground = kind in ("car", "walker")
    side = float(np.exp(rng.uniform(*np.log(SIDES))))
    frames, count = 64, 2 if ground else int(rng.integers(2, 6))
    reach = MAX_STEP * frames / (count - 1) * rng.uniform(0.1, 2 if rng.random() < 0.2 else 1)
    points = [rng.uniform((0.15, top), (0.85, bottom))]
    for _ in range(count - 1):
        step = rng.uniform(-reach, reach, 2) * (1, 0.05 if ground else 1)
        points.append(np.clip(points[-1] + step, (0.02, top), (0.98, bottom)))
    halfway = int(rng.integers(10, frames - 10))
    return Spec(
        name,
        str(rng.choice(scenes)),
        float(rng.uniform(*EV)),
        kind,
        side,
        tuple(map(tuple, np.array(points).tolist())),
        tuple(rng.uniform(0.05, 1, 3).tolist()),
        grow=float(np.exp(rng.uniform(-0.7, 0.7))),
        distractors=int(rng.integers(1, 7)) if rng.random() < 0.6 else 0,
        poles=((halfway, int(rng.uniform(3, 60))),) if rng.random() < 0.3 else (),
        lamps=(halfway,) if rng.random() < 0.3 else (),
        flicker=bool(rng.random() < 0.2),
        shake=float(rng.uniform(0, 6)) if rng.random() < 0.4 else 0.0,
        pan=tuple(rng.uniform(-90, 90, 2).tolist()) if rng.random() < 0.4 else (0, 0),
        frames=frames,
        size=SIZES[int(rng.integers(len(SIZES)))],
    )
