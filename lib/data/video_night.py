"""Videos by night as a camera records them (`camera_night.py`), for evaluation: `@video_moderate`, `@video_heavy`.

A video is simulated in blocks of one group of pictures. A block begins WARM_UP frames early, so that the camera's
temporal filter has its past, and depends on nothing before that. So frame i is the same forwards, backwards and alone.
"""

import zlib
from dataclasses import dataclass

import cv2
import numpy as np

from ..errors import UserError
from . import night
from .camera_night import (
    CameraNight,
    TemporalFilter,
    add_noise,
    decode,
    denoise,
    encode,
    even,
    filtered_noise,
    sense,
)
from .codec import compress
from .lamps import Lamp, draw_lamp
from .night import NightParams

BLOCK = 24  # frames, from one intra frame to the next
WARM_UP = 4  # frames simulated before a block; the filter starts with noise as it leaves it, so few are enough
_THUMBNAIL = 160  # px, width at which the motion of the scene is measured
_STILL = 0.1  # px of a thumbnail: less is no motion


@dataclass(frozen=True)
class VideoNight:
    """A night of videos: one camera, and how many lamps and cars are drawn for a video.

    camera: CameraNight; its own lamps are not used. lamps: smallest and largest number of street lamps, [0, 20].
    lamp_light: factor of their light, [0, 2]. cars: share of videos through which a pair of head-lights drives, [0, 1].
    """

    camera: CameraNight
    lamps: tuple[int, int] = (2, 8)
    lamp_light: float = 1.0
    cars: float = 0.5


def _night(stops, **camera):
    # One fixed field, twice as uneven as that of night.STRENGTHS: by night single lamps light the scene.
    field = tuple(2 * each for each in night.STRENGTHS["heavy"].field)
    shot, read = camera.pop("shot"), camera.pop("read")
    light = NightParams(stops, field, (), (1.0, 0.93, 0.85), shot=shot, read=read, veil=0.01)
    return CameraNight(light, **camera)


# Their mean V on real day video is that of @moderate and @heavy. docs/results/nights.md compares them with real nights.
STRENGTHS = {
    "video_moderate": VideoNight(
        _night(4.7, shot=3e-3, read=6e-6, temporal=0.35, denoise=1.6, rate=27), lamp_light=1.3
    ),
    "video_heavy": VideoNight(_night(7.2, shot=8e-3, read=1.6e-5, temporal=0.3, denoise=1.6, rate=30)),
}
NIGHTS = (*night.STRENGTHS, *STRENGTHS)


def night_frames(frames, strength, name):
    """A frame source as one of the NIGHTS shows it.

    Args:
        frames: the source by day.
        strength: one of NIGHTS.
        name: of the sequence; with the frame's number it seeds all random numbers.

    Raises:
        UserError: another strength.
    """
    if strength not in NIGHTS:
        raise UserError(f"unknown night strength {strength!r}: expected one of {', '.join(NIGHTS)}")
    kind = VideoNightFrames if strength in STRENGTHS else night.NightFrames
    return kind(frames, strength, name)


class VideoNightFrames:
    """A frame source as a VideoNight shows it; one block is kept, so forwards and backwards cost the same."""

    def __init__(self, frames, strength, name):
        self.frames, self.params = frames, STRENGTHS[strength]
        self.fps = frames.fps
        self._seed = zlib.crc32(name.encode())
        self._lamps, self._car = scenery(self.params, np.random.default_rng([self._seed, 1, 0]))
        self._block, self._shown, self._size = None, [], None
        self._day = {}  # frames by day at both ends of the block, which its neighbours need as well

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        index = range(len(self))[index]
        block = index // BLOCK
        if block != self._block:
            self._shown = self._simulate(block)
            self._block = block
        return decode(self._shown[index - block * BLOCK], *self._size)

    def _simulate(self, block):
        first, end = block * BLOCK, min((block + 1) * BLOCK, len(self))
        numbers = range(max(first - WARM_UP, 0), end)
        backwards = self._block is not None and block == self._block - 1
        day, kept = {}, self._day
        self._day = {}
        for number in reversed(numbers) if backwards else numbers:
            day[number] = kept.pop(number) if number in kept else self.frames[number]
        self._size = day[first].shape[:2]
        self._day = {number: day[number] for number in numbers if number < first or number >= end - WARM_UP}
        camera = self.params.camera
        paths = self._paths(day, numbers, first)
        temporal, shown = TemporalFilter(camera), []
        for number in numbers:
            planes = sense(even(day.pop(number)), camera, self._lit(number, first, paths))
            share = filtered_noise(camera.temporal) if number == numbers[0] else 1.0
            add_noise(planes, camera, np.random.default_rng([self._seed, 0, number]), share)
            planes = temporal(planes)
            if number >= first:
                shown.append(encode(denoise(planes, camera), camera))
        return compress(shown, camera.codec, camera.rate) if camera.codec else shown

    def _paths(self, day, numbers, first):
        """{frame: (2,) how far the scene has moved since the frame before the block}, shares of width and height."""
        if not self._lamps:
            return dict.fromkeys(numbers, np.zeros(2))
        small = [_thumbnail(day[number]) for number in numbers]
        steps = [np.zeros(2), *(_shift(*pair) for pair in zip(small[:-1], small[1:], strict=True))]
        moved = np.cumsum(steps, axis=0)
        moved -= moved[max(first - 1 - numbers[0], 0)]
        return dict(zip(numbers, moved, strict=True))

    def _lit(self, number, first, paths):
        """The lamps of a frame.

        At the border of two blocks every lamp has its own place in the frame. From there it moves with the scene and
        fades, while its copy of the next border appears. Where nothing moves the two are one.
        """
        here, last = paths[number], paths[max(paths)]
        fade = min(max(number - first + 1, 0) / BLOCK, 1)
        weight = np.cos(np.pi / 2 * fade) ** 2
        lamps = []
        if not np.any(last):
            weight = 1.0
        for share, (dx, dy) in ((weight, here), (1 - weight, here - last)):
            if share > 0.01:
                lamps += [lamp.dimmed(share, dx, dy) for lamp in self._lamps]
        lamps = [lamp for lamp in lamps if -0.3 < lamp.x < 1.3 and -0.3 < lamp.y < 1.3]
        return lamps + (self._car.lamps(number) if self._car else [])


@dataclass(frozen=True)
class Car:
    """A pair of head-lights that drives across the picture again and again.

    lamp: one of the two. gap: between them, fraction of the width. start, end: (x, y) where it appears and vanishes.
    period, seen: frames from one appearance to the next, and that it takes. phase: of its first appearance, frames.
    """

    lamp: Lamp
    gap: float
    start: tuple[float, float]
    end: tuple[float, float]
    period: int
    seen: int
    phase: int

    def lamps(self, number):
        """Its lamps in a frame: two, or none."""
        time = ((number + self.phase) % self.period) / self.seen
        if time >= 1:
            return []
        x, y = np.array(self.start) + time * (np.array(self.end) - np.array(self.start))
        return [self.lamp.dimmed(1, x + side * self.gap / 2, y) for side in (-1, 1)]


def scenery(params, rng):
    """Draw the street lamps, a tuple of Lamp, and the Car or None of a video."""
    count = int(rng.integers(params.lamps[0], params.lamps[1] + 1))
    lamps = tuple(draw_lamp(rng).dimmed(params.lamp_light) for _ in range(count))
    if rng.random() >= params.cars:
        return lamps, None
    core, top, bottom, fast = rng.uniform((0.002, 0.3, 0.3, 2), (0.006, 0.9, 0.9, 6)).tolist()
    beam = Lamp(0.0, 0.0, core, 6.0, 8 * core, 0.3, 0.2, (1.0, 0.97, 0.9)).dimmed(params.lamp_light)
    ends = [(-0.1, top), (1.1, bottom)]
    if rng.random() < 0.5:
        ends.reverse()
    seen = int(30 * fast)
    period = seen + int(rng.integers(30, 240))
    return lamps, Car(beam, 6 * core, *ends, period, seen, int(rng.integers(0, period)))


def _thumbnail(image):
    height, width = image.shape[:2]
    size = min(_THUMBNAIL, width), max(round(min(_THUMBNAIL, width) * height / width), 1)
    return np.float32(cv2.cvtColor(cv2.resize(image, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY))


def _shift(before, after):
    """(2,) motion of the whole scene, shares of width and height; zero where none is found or it does not move."""
    height, width = before.shape
    window = _window(height, width)
    if window is None:
        return np.zeros(2)
    (dx, dy), response = cv2.phaseCorrelate(before, after, window)
    if response < 0.1 or max(abs(dx), abs(dy)) < _STILL:
        return np.zeros(2)
    return np.array([dx / width, dy / height])


def _window(height, width):
    return cv2.createHanningWindow((width, height), cv2.CV_32F) if min(height, width) > 1 else None
