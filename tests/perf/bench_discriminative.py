"""CPU time of the trackers that learn online, with random weights, and what their original's rounding costs.

python tests/perf/bench_discriminative.py [SCRIPT/CONFIG[@ENGINE] ...]
    The first frame, other frames, and a scheduled training of the filter, in ms of CPU time of one thread.
python tests/perf/bench_discriminative.py rounding
    IoU of a network that is always right, through the rules of DiMP (288 px, factor 5), ToMP, and STARK (320 px).
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch

from lib import config, registry
from lib.models.tomp import clip_box
from lib.test.tracker import discriminative as rules
from lib.test.tracker import stark_rules

DEFAULT = ("dimp/lite", "dimp/lite@onnx", "dimp/dimp18", "dimp/super_dimp", "atom/default", "tomp/tomp50")
FRAMES = 16
KINDS = ("exact", "integer", "half_pixel")


def milliseconds(call):
    began = time.process_time()
    call()
    return 1000 * (time.process_time() - began)


def main(names):
    torch.set_num_threads(1)
    frames = [np.random.default_rng(number).integers(0, 255, (480, 640, 3), np.uint8) for number in range(FRAMES)]
    print("| tracker | first frame, ms | other frames, median ms | scheduled training, ms |\n| --- | --- | --- | --- |")
    for name in names:
        script, _, experiment = name.partition("/")
        experiment, _, engine = experiment.partition("@")
        torch.manual_seed(0)
        # Noise has no target: nothing counts as lost, and no frame trains by itself.
        never = ["TEST.NOT_FOUND=0", "TEST.DISTRACTOR=1", "TEST.HARD_NEGATIVE=1"]
        settings = config.load(script, experiment, [*never, f"TEST.BACKEND={engine or 'torch'}"])
        tracker = registry.tracker(script)(settings)
        first = milliseconds(lambda tracker=tracker: tracker.initialize(frames[0], (300.0, 200.0, 20.0, 16.0)))
        others = [milliseconds(lambda tracker=tracker, frame=frame: tracker.track(frame)) for frame in frames[1:]]
        row = f"`{script} {experiment}` {engine}", f"{first:.0f}", f"{np.median(others):.0f}", training(tracker)
        print(f"| {' | '.join(row)} |", flush=True)


def rounding():
    rng, image = np.random.default_rng(0), np.zeros((240, 320, 3), np.uint8)
    names = "here", "DiMP until 2022", "DiMP now", "ToMP", "DiMP until 2022, as written", "STARK", "STARK without floor"
    print(f"| side, px | {' | '.join(names)} |\n|" + (1 + len(names)) * " --- |")
    for side in (4, 6, 8, 12, 16, 22):
        rows = []
        for centre in rng.uniform((60, 80), (180, 240), (200, 2)):
            truth = (*centre[::-1] - side / 2, side, side)
            exact, before, now = (found_box(image, tuple(centre), side, kind) for kind in KINDS)
            x, y, w, h = clip_box(list(before[1]), image.shape[:2], 10.0)
            written = [int(value) for value in before[0]]
            boxes = exact[0], before[0], now[0], (x + 0.5, y + 0.5, w, h), written, *starks_boxes(truth, (320, 240))
            rows.append([overlap(box, truth) for box in boxes])
        print(f"| {side} | " + " | ".join(f"{value:.3f}" for value in np.mean(rows, axis=0)) + " |")


def found_box(image, centre, side, kind):
    """Boxes xywh, px, that rules make of the right box in a crop: DiMP's, and without its half px of the crop."""
    extent, faithful = (float(side), float(side)), kind != "exact"
    _, window = rules.crop(image, centre, rules.search_scale(extent, 5, 288), 288, "replicate", None, kind)
    # What the crop shows: the reference's coordinates can differ from its picture.
    shown = window
    if faithful:
        edges = -int(-window.top), -int(-window.left), int(window.bottom), int(window.right)
        shown = rules.Window(*map(float, edges), 288)
    answer = shown.box_to_crop(centre, extent)
    boxes = []
    for half in (faithful, False):
        (y, x), (h, w) = window.box_to_image(answer, half)
        boxes.append((x - w / 2, y - h / 2, w, h))
    return boxes


def starks_boxes(truth, image_size):
    """Boxes xywh, px, that the released rules of STARK make of the right box, with the floor of 10 px and without."""
    crop = stark_rules.window(truth, 5.0, 320, 0.0, image_size, faithful=True)
    corner = [round(centre - crop.side / 2) for centre in (crop.cx, crop.cy)]  # of what the crop shows
    low = [(truth[axis] - corner[axis]) / crop.side for axis in (0, 1)]
    answer = [*low, *(low[axis] + truth[2 + axis] / crop.side for axis in (0, 1))]
    released = stark_rules.next_box(crop, answer, image_size, 1.0, faithful=True)
    return tuple(released), tuple(stark_rules.next_box(crop, answer, image_size, 1.0))


def overlap(box, truth):
    shared = 1.0
    for axis in (0, 1):
        low, high = max(box[axis], truth[axis]), min(box[axis] + box[axis + 2], truth[axis] + truth[axis + 2])
        shared *= max(high - low, 0.0)
    return shared / (box[2] * box[3] + truth[2] * truth[3] - shared)


def training(tracker):
    """CPU time of a scheduled training of DiMP's filter, its memory full."""
    settings, state = tracker.settings, tracker._state.target
    if not hasattr(settings, "hard_iterations"):
        return ""
    sample = tuple(part[0] for part in state.memory.samples)
    while state.memory.count < settings.memory_size:
        state.memory.store(sample)
    from lib.test.tracker.dimp_steps import learned_filter

    with torch.no_grad():
        call = lambda: learned_filter(  # noqa: E731
            tracker.network, state.filters, state.memory, settings.iterations, state.memory.weights
        )
        call()
        return f"{np.median([milliseconds(call) for _ in range(3)]):.0f}"


if __name__ == "__main__":
    from words import words

    given = words(__doc__)
    rounding() if given == ["rounding"] else main(given or DEFAULT)
