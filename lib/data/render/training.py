"""`lunar_rendered`: as many rendered clips as wanted, drawn at random, to train from. None is one of `lunar_demo`'s.

`lunar_day`: some more, in daylight; clean images for who has no photographs at hand.
"""

from dataclasses import replace

import numpy as np

from lib.data.render import RenderedClip, Spec

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


def training_clips(clips=CLIPS, seed=1):
    """Random clips: [RenderedClip], every one a function of (seed, its number) alone. Pixels are made when read."""
    return [
        RenderedClip(_spec(np.random.default_rng([seed, number]), f"{number:05d}"), seed) for number in range(clips)
    ]


def day_clips(clips=16, seed=2):
    """Random clips in daylight, of the scenes that show no sky: [RenderedClip], as training_clips."""
    specs = (_spec(np.random.default_rng([seed, number]), f"day_{number:02d}") for number in range(clips))
    scenes = ("park", "road")
    return [
        RenderedClip(replace(spec, scene=scenes[number % 2], lamps=(), flicker=False, day=True), seed)
        for number, spec in enumerate(specs)
    ]


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
