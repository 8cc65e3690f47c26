"""Milliseconds from JPEG file to box: `lunar tiny` beside OpenCV's trackers, on the same frames, in one run.

python tests/perf/bench_peers.py [FRAMES] [NANOTRACK]     NANOTRACK: a folder with its two ONNX files, as `opencv nano`

CSRT and KCF are there where OpenCV is opencv-contrib-python. They get whole frames from cv2.imread; `lunar tiny` what
it gets in evaluation, only the part that it looks at where it has no enhancer. Frames are drawn here: a disc that moves
over a still scene, 24 px wide and, for the peers' time grows with it, 100 px; by night they are darkened. Processor
time of one thread, medians of trackers that take turns. The last column is how many boxes hold the disc's centre.
"""

import functools
import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config, registry
from lib.config.paths import paths
from lib.data.frames import ImageFrames, partial_frame
from lib.data.image import encode_jpeg
from lib.data.storage import Folder
from lib.test.tracker.weights import find_weights

QUALITY, NIGHT = 85, 0.25  # of the JPEGs; factor of the grey levels by night


def main(frames=20, nanotrack=None):
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LUNAR_SAVE"] = folder  # where networks are exported to
        for size in ((640, 480), (1920, 1080)):
            for target in (24, 100):
                compare(Path(folder), size, target, frames, nanotrack)


def compare(folder, size, target, count, nanotrack):
    """Print a line for each tracker."""
    boxes = [np.array([0.3 * size[0] + 3 * i, 0.6 * size[1] - i, target, target]) for i in range(count)]
    scene, names = texture(size), [f"{number}.jpg" for number in range(count)]
    for light, place in ((1.0, folder / "day"), (NIGHT, folder / "night")):
        place.mkdir(exist_ok=True)
        for name, box in zip(names, boxes, strict=True):
            (place / name).write_bytes(encode_jpeg((light * with_disc(scene, box)).astype(np.uint8), QUALITY))
    kilobytes = [(folder / light / names[0]).stat().st_size / 1024 for light in ("day", "night")]
    print(
        f"{size[0]} x {size[1]} px, {kilobytes[0]:.0f} KiB, by night {kilobytes[1]:.0f} KiB; target {target} px; "
        f"one thread, medians of {count - 1} frames"
    )
    runs = dict(ours(folder, names)) | dict(peers(folder / "day", names, nanotrack))
    times, held = {name: [] for name in runs}, dict.fromkeys(runs, 0)
    for index, box in enumerate(boxes):
        for name, step in runs.items():
            began = process_time()
            x, y, w, h = step(index, box)
            times[name].append(1e3 * (process_time() - began))
            cx, cy = box[:2] + target / 2
            held[name] += x < cx < x + w and y < cy < y + h
    csrt = median(times["csrt"][1:]) if "csrt" in times else None
    for name, taken in times.items():
        took = median(taken[1:])
        beside = f"{took / csrt:6.2f} of CSRT's" if csrt else ""
        print(f"  {name:36}{took:8.2f} ms {beside}  {held[name]:3d} of {count} held", flush=True)


def ours(folder, names):
    """(name, step) of `lunar tiny`; step takes a frame's number and the first frame's box."""
    enhanced = ("MODEL.ENHANCER.ENABLE=true", "MODEL.ENHANCER.WEIGHTS=enhancer.safetensors")
    cases = {"lunar tiny": ("day", ()), "lunar tiny, enhancer, night": ("night", enhanced)}
    for name, (light, changes) in cases.items():
        frames = ImageFrames(Folder(folder / light), names)
        for engine in ("torch", *(["onnx"] if find_spec("onnxruntime") else [])):
            tracker = built("lunar", "tiny", (*changes, f"TEST.BACKEND={engine}"))

            def step(index, box, tracker=tracker, frames=frames):
                image = partial_frame(frames, index, checked=True) if tracker.partial else frames[index]
                found = tracker.track(image) if index else tracker.initialize(image, box)
                return found["target_bbox"]

            yield f"{name}, {engine}", step


def peers(folder, names, nanotrack):
    """(name, step) of OpenCV's trackers, without what our interface would add."""
    there = [name for name in ("csrt", "kcf", "mil") if hasattr(cv2, f"Tracker{name.upper()}_create")]
    for name in (*there, *(["nano"] if nanotrack else [])):
        tracker = built("opencv", name, (), nanotrack if name == "nano" else None)._create()

        def step(index, box, tracker=tracker):
            image = cv2.imread(str(folder / names[index]))
            if index:
                return tracker.update(image)[1]
            tracker.init(image, [round(value) for value in box])
            return box

        yield name, step


@functools.cache
def built(script, name, changes, checkpoint=None):
    settings = config.load(script, name, list(changes))
    weights = find_weights(script, name, settings, paths(), checkpoint)
    return registry.tracker(script)(settings, weights, "cpu")


def texture(size):
    """(H, W, 3) float32, grey levels: structure at every scale, as fine as in a photograph."""
    rng, image = np.random.default_rng(0), np.full((size[1], size[0], 3), 110, np.float32)
    for scale, contrast in ((1, 2), (4, 6), (16, 18), (64, 24), (256, 30)):
        coarse = rng.normal(0, contrast, (size[1] // scale + 2, size[0] // scale + 2, 3)).astype(np.float32)
        image += cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 230)


def with_disc(scene, box):
    """The scene with a bright disc and a dark spot in it, in the box (4,) xywh px."""
    frame, (cx, cy), radius = scene.copy(), box[:2] + box[2:] / 2, box[2] / 2
    for centre, part, colour in (((cx, cy), 1.0, (250, 220, 120)), ((cx + radius / 4, cy), 0.4, (60, 20, 90))):
        place = tuple(round(16 * value) for value in centre)
        cv2.circle(frame, place, round(16 * part * radius), colour, -1, cv2.LINE_AA, shift=4)
    return frame


if __name__ == "__main__":
    from words import words

    given = words(__doc__)
    numbers = [int(word) for word in given if word.isdecimal()]
    main(*numbers or [20], *(word for word in given if not word.isdecimal()))
