"""Time per frame of rendering and of darkening, beside a plain night model written pixel formula by pixel formula.

Run: python tests/perf/bench_render.py
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.data.night import darken, illumination, night_strength, sample_night
from lib.data.render import demo_clips


def plain(image, params, rng):
    """The same night by numpy powers and fresh noise."""
    linear = (image / 255.0) ** 2.2 * illumination.__wrapped__(params, *image.shape[:2])
    noisy = linear + rng.normal(size=image.shape) * np.sqrt(params.shot * linear + params.read)
    encoded = params.veil + (1 - params.veil) * np.clip(noisy, 0, 1) ** (1 / params.gamma)
    return np.round(255 * encoded).astype(np.uint8)


def milliseconds(function, *arguments, repeats=20):
    """Median time of a call, ms."""
    function(*arguments)
    times = []
    for _ in range(repeats):
        start = perf_counter()
        function(*arguments)
        times.append(perf_counter() - start)
    return 1000 * float(np.median(times))


def darken_anew(image, rng):
    """A night of its own for the image, as in training."""
    return darken(image, sample_night(rng, jpeg_probability=0), rng)


def main():
    cv2.setNumThreads(0)
    rng = np.random.default_rng(0)
    night = night_strength("moderate")
    print("darken           same night   new night    plain   plain / same night   (ms a frame)")
    for width, height in ((256, 256), (640, 480), (1920, 1080)):
        image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        same = milliseconds(darken, image, night, rng)
        new = milliseconds(darken_anew, image, rng)
        slow = milliseconds(plain, image, night, rng, repeats=5)
        print(f"  {width:4d} x {height:<4d}    {same:8.2f}    {new:8.2f} {slow:8.2f}   {slow / same:10.1f}")

    print("\nrender                first frame (builds the world)   others   (ms)")
    total = frames = 0
    for clip in demo_clips():
        start = perf_counter()
        clip[0]
        first = perf_counter() - start
        for i in range(1, len(clip)):
            clip[i]
        whole = perf_counter() - start
        print(f"  {clip.name:20s} {1000 * first:20.1f} {1000 * (whole - first) / (len(clip) - 1):22.2f}")
        total += whole
        frames += len(clip)
    print(f"  {frames} frames in {total:.1f} s, {1000 * total / frames:.2f} ms a frame")


if __name__ == "__main__":
    from words import words

    words(__doc__)
    main()
