"""What a training sample costs, stage by stage, against the usual recipe: flip and colour whole frames, then crop.

    python tests/perf/bench_samples.py [--samples N]

The usual recipe is that of STARK's and OSTrack's processing, written anew in plain Python: joint grey and flip of the
whole frames and of a mask for each, then crop with padding, resize, brightness, tensor, normalisation. It draws the
same frames and has neither tiny nor night augmentation. Prints means in CPU ms of one thread; asserts nothing.
"""

import argparse
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch

from lib import config
from lib.data import image as images
from lib.data.crop import Crop
from lib.data.frames import ImageFrames, PartialFrame
from lib.data.sequence import Sequence
from lib.train.data import views
from lib.train.data.lunar import LunarSamples

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
OFF = [f"DATA.AUGMENT.{name}=0" for name in ("FLIP", "GRAY", "BRIGHTNESS", "STRETCH", "BLUR", "JPEG", "TINY", "NIGHT")]


class Memory(dict):
    """A storage of files in memory, as fast as an LMDB in the page cache."""

    read = dict.__getitem__

    def place(self, name):
        return name


def sequences(width, height, target, jpeg, count=6, frames=8):
    """Textured frames, in memory, as JPEG bytes or as arrays."""
    made = []
    for number in range(count):
        rng = np.random.default_rng(number)
        scene = cv2.resize(rng.integers(0, 256, (height // 16, width // 16, 3), np.uint8), (width, height))
        pictures = [np.roll(scene, (step, 2 * step), (0, 1)) for step in range(frames)]
        source = pictures
        if jpeg:
            files = Memory((f"{step}.jpg", images.encode_jpeg(each)) for step, each in enumerate(pictures))
            source = ImageFrames(files, files)
        centre = rng.uniform(0.4, 0.6, (frames, 2)) * (width, height)
        boxes = np.concatenate([centre - target / 2, np.full((frames, 2), float(target))], axis=1)
        made.append(Sequence(str(number), "bench", boxes, lambda source=source: source))
    return made


def usual(samples, rng):
    """One pair by the usual recipe."""
    sequence = samples.sequences[int(rng.integers(len(samples.sequences)))]
    ids, frames, data = sorted(rng.integers(0, len(sequence), 2)), sequence.frames(), samples.data
    pictures = [frames[frame] for frame in ids]
    masks = [np.zeros(picture.shape[:2]) for picture in pictures]
    boxes = [sequence.boxes_xywh[frame].copy() for frame in ids]
    if rng.random() < 0.05:
        pictures = [np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)] * 3, axis=2) for picture in pictures]
    if rng.random() < 0.5:
        pictures = [np.fliplr(picture).copy() for picture in pictures]
        masks = [np.fliplr(mask).copy() for mask in masks]
    for picture, mask, box, part in zip(pictures, masks, boxes, (data.TEMPLATE, data.SEARCH), strict=True):
        side = int(np.ceil(np.sqrt(box[2] * box[3]) * part.FACTOR))
        left, top = (box[:2] + box[2:] / 2 - side / 2).round().astype(int)
        padded = cv2.copyMakeBorder(picture, side, side, side, side, cv2.BORDER_CONSTANT)
        cut = padded[top + side : top + 2 * side, left + side : left + 2 * side]
        shown = np.pad(mask, side)[top + side : top + 2 * side, left + side : left + 2 * side]
        cut, _ = cv2.resize(cut, (part.SIZE, part.SIZE)), cv2.resize(shown, (part.SIZE, part.SIZE))
        bright = np.clip(cut.astype(np.float32) / 255 * rng.uniform(0.8, 1.2), 0, 1)
        torch.from_numpy(np.ascontiguousarray(((bright - MEAN) / STD).transpose(2, 0, 1)))


def timed(owner, name, spent):
    """Add up the time spent in a function; undo with the function returned."""
    original = getattr(owner, name)

    def run(*arguments, **options):
        began = time.process_time()
        try:
            return original(*arguments, **options)
        finally:
            spent[name] += time.process_time() - began

    setattr(owner, name, run)
    return lambda: setattr(owner, name, original)


def measure(samples, count):
    """(ms per sample, {stage: ms})."""
    for index in range(20):
        samples[1, index]
    began = time.process_time()
    for index in range(count):
        samples[0, index]
    total = (time.process_time() - began) / count * 1e3
    spent = defaultdict(float)
    places = [
        (samples, "_frame"),
        (PartialFrame, "__getitem__"),
        (views, "draw_appearance"),
        (Crop, "extract"),
        (views, "apply_appearance"),
    ]
    undo = [timed(*place, spent) for place in places]
    for index in range(count):
        samples[0, index]
    for each in undo:
        each()
    return total, {name: seconds / count * 1e3 for name, seconds in spent.items()}


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--samples", type=int, default=400)
    count = parser.parse_args(argv).samples
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    small = ["DATA.SEARCH.SIZE=128", "DATA.TEMPLATE.SIZE=64"]
    everything = ["DATA.AUGMENT.DISTRACTORS=0.25", "DATA.ABSENT=0.1"]
    cases = (
        ("S 128, Z 64, 320 x 320 JPEG, target 40 px", sequences(320, 320, 40, jpeg=True), small),
        ("S 256, Z 128, 720p arrays, target 60 px", sequences(1280, 720, 60, jpeg=False), []),
        ("S 256, Z 128, 1080p JPEG, target 60 px", sequences(1920, 1080, 60, jpeg=True, count=2), []),
    )
    for title, data, sizes in cases:
        print(title)
        rng = np.random.default_rng(0)
        plain = LunarSamples({"bench": data}, config.load("lunar", "baseline_pairs", sizes), seed=0, ratios=[])
        loops = max(count // 4, 10)
        began = time.process_time()
        for _ in range(loops):
            usual(plain, rng)
        base = (time.process_time() - began) / loops * 1e3
        print(f"  usual recipe          {base:7.2f} ms")
        for name, settings in (
            ("crops only", OFF),
            ("all but night", [*everything, "DATA.AUGMENT.NIGHT=0"]),
            ("everything", everything),
            ("everything, always night", [*everything, "DATA.AUGMENT.NIGHT=1"]),
        ):
            samples = LunarSamples(
                {"bench": data}, config.load("lunar", "baseline_pairs", [*sizes, *settings]), seed=0, ratios=[]
            )
            total, stages = measure(samples, count)
            parts = "  ".join(f"{stage.strip('_')} {ms:.2f}" for stage, ms in stages.items())
            print(f"  {name:24s}{total:5.2f} ms  {base / total:4.1f}x  ({parts})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
