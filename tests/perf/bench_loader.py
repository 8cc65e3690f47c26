"""Samples per second and core from 1080p JPEG pairs: the usual recipe, cropping first, and decoding only the region.

    python tests/perf/bench_loader.py [--pairs N]

The usual recipe is that of OSTrack's sampler and STARK's processing, written anew in plain Python: decode both frames,
flip and gray the whole of them and a mask beside each, then crop with padding, resize, jitter, normalise. Ours makes
the same changes to the uint8 crops and leaves normalisation to the network. Prints medians; asserts nothing.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch

from lib.data.crop import Crop, window_side
from lib.data.frames import open_frames, partial_frame

cv2.setNumThreads(0)
torch.set_num_threads(1)
FRAMES, WIDTH, HEIGHT = 24, 1920, 1080
CROPS = ((2.0, 32.0, 128), (4.0, 64.0, 256))  # factor, smallest side, size: template and search
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
ROUNDS = 5


def write_frames(folder, dark, random):
    """Frames with structure at every scale and sensor noise. Returns their mean size, KiB."""
    folder.mkdir()
    for number in range(FRAMES):
        image = np.zeros((HEIGHT, WIDTH, 3), np.float32)
        for scale in (4, 16, 64, 256):
            coarse = random.normal(0, 12 * scale**0.25, (HEIGHT // scale + 2, WIDTH // scale + 2, 3)).astype(np.float32)
            image += cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
        image = image * (0.25 if dark else 1) + (30 if dark else 110)
        image += random.normal(0, 2.0 if dark else 3.5, image.shape[:2])[..., None]
        pixels = np.clip(image, 0, 255).astype(np.uint8)
        (folder / f"{number:04d}.jpg").write_bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 88])[1])
    return sum(path.stat().st_size for path in folder.iterdir()) / FRAMES / 1024


def draw_pair(random):
    """Two (frame number, box xywh) and what happens to the sample: flip, gray, brightness."""
    side = np.exp(random.uniform(np.log(10), np.log(80)))
    boxes = [[random.uniform(0, WIDTH - side), random.uniform(0, HEIGHT - side), side, side] for _ in CROPS]
    numbers = random.integers(0, FRAMES, 2)
    return (
        list(zip(map(int, numbers), boxes, strict=True)),
        random.random() < 0.5,
        random.random() < 0.05,
        random.uniform(0.8, 1.2),
    )


def usual(frames, pair):
    shots, flip, gray, brightness = pair
    images = [frames[number] for number, _ in shots]
    masks = [np.zeros(image.shape[:2]) for image in images]
    boxes = [list(box) for _, box in shots]
    if gray:
        images = [np.stack([cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)] * 3, axis=2) for image in images]
    if flip:
        images = [np.fliplr(image).copy() for image in images]
        masks = [np.fliplr(mask).copy() for mask in masks]
        boxes = [[WIDTH - x - w, y, w, h] for x, y, w, h in boxes]
    tensors = []
    for image, mask, (x, y, w, h), (factor, _, size) in zip(images, masks, boxes, CROPS, strict=True):
        side = int(np.ceil(np.sqrt(w * h) * factor))
        x1, y1 = round(x + w / 2 - side / 2), round(y + h / 2 - side / 2)
        left, top = max(0, -x1), max(0, -y1)
        right, bottom = max(x1 + side - WIDTH + 1, 0), max(y1 + side - HEIGHT + 1, 0)
        inside = slice(y1 + top, y1 + side - bottom), slice(x1 + left, x1 + side - right)
        padded = cv2.copyMakeBorder(image[inside], top, bottom, left, right, cv2.BORDER_CONSTANT)
        outside = cv2.copyMakeBorder(mask[inside], top, bottom, left, right, cv2.BORDER_CONSTANT, value=1)
        patch = cv2.resize(padded, (size, size))
        cv2.resize(outside, (size, size)).astype(bool)
        tensor = torch.from_numpy(np.clip(patch.astype(np.float32) * brightness, 0, 255)).permute(2, 0, 1) / 255
        tensors.append((tensor - MEAN) / STD)
    return tensors


def crop_first(frames, pair, open_frame):
    shots, flip, gray, brightness = pair
    table = np.clip(np.arange(256) * brightness, 0, 255).astype(np.uint8)
    tensors = []
    for (number, (x, y, w, h)), (factor, least, size) in zip(shots, CROPS, strict=True):
        side = window_side(w, h, factor, least, (WIDTH, HEIGHT))
        patch = Crop(x + w / 2, y + h / 2, side, size).extract(open_frame(frames, number))
        if gray:
            patch = cv2.cvtColor(cv2.cvtColor(patch, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        patch = cv2.LUT(cv2.flip(patch, 1) if flip else patch, table)
        tensors.append(torch.from_numpy(patch).permute(2, 0, 1))
    return tensors


WAYS = {
    "usual recipe": usual,
    "crop first, whole frames decoded": lambda frames, pair: crop_first(frames, pair, lambda all, number: all[number]),
    "crop first, regions decoded": lambda frames, pair: crop_first(frames, pair, partial_frame),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--pairs", type=int, default=30)
    count = arguments.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("day", "dark"):
            size = write_frames(Path(folder) / kind, kind == "dark", np.random.default_rng(0))
            frames = open_frames(Path(folder) / kind)
            random = np.random.default_rng(1)
            pairs = [draw_pair(random) for _ in range(count)]
            seconds = {name: [] for name in WAYS}
            for _ in range(ROUNDS):  # in turn, so that other work on the machine falls on all alike
                for name, way in WAYS.items():
                    began = time.process_time()
                    for pair in pairs:
                        way(frames, pair)
                    seconds[name].append((time.process_time() - began) / count)
            base = statistics.median(seconds["usual recipe"])
            print(
                f"{kind} frames, {size:.0f} KiB each, {count} pairs, median of {ROUNDS} rounds, CPU time of one thread"
            )
            for name, values in seconds.items():
                cost = statistics.median(values)
                print(f"  {name:34s} {cost * 1e3:6.1f} ms  {1 / cost:6.1f} samples/s  x {base / cost:.1f}")


if __name__ == "__main__":
    main()
