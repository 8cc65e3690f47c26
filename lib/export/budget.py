"""The whole budget of a frame, from JPEG file to box: measured part by part, and printed."""

import os
import time
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from ..data.frames import ImageFrames, PartialFrame, partial_frame
from ..data.image import encode_jpeg
from ..data.storage import Folder
from ..files import atomic_path
from .profile import count, device_module, matrix_rate, spent

PARTS = ("decode", "crop", "enhance", "network", "head", "query", "box", "rest")
DEAREST, TRACED = 15, 5  # operations that a trace lists (--trace of profile_model.py), frames that they are the mean of


def one_frame(folder: Path, size: tuple[int, int]) -> ImageFrames:
    """A source of one dark frame of (width, height) px with some structure and grain."""
    cv2.setNumThreads(int(os.environ["OMP_NUM_THREADS"]))
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 60, (size[1] // 8 + 1, size[0] // 8 + 1, 3), np.uint8)
    grain = rng.integers(0, 6, (size[1], size[0], 3), np.uint8)
    (folder / "1.jpg").write_bytes(encode_jpeg(cv2.resize(coarse, size) + grain))
    return ImageFrames(Folder(folder), ["1.jpg"])


def show(tracker: Any, settings: Any, frames: ImageFrames, options: Any) -> None:
    """Print parameters, and what each part of a frame takes.

    Args:
        tracker: a LockstepTracker that is Staged, with random weights.
        settings: its configuration.
        frames: of `one_frame`.
        options: flags script, config, size (width, height) and target (side) in px, warmup and loops (frames), trace.
    """
    device, precision = tracker.device, settings.TEST.PRECISION
    name = f"{device}, {torch.get_num_threads()} threads"
    if device.type == "cuda":
        torch.cuda.set_device(device)
        name = torch.cuda.get_device_name(device)
    print(
        f"{options.script} {options.config} with random weights on {name}, {precision}, {settings.TEST.BACKEND}",
        end=" ",
    )
    print(f"(torch {torch.__version__})")

    (width, height), side = options.size, options.target
    box = np.array([(width - side) / 2, (height - side) / 2, side, side])
    state = tracker.start(frames[0], box)
    first = frames[0]

    def clock():
        device_module(device).synchronize()
        return time.perf_counter()

    def frame():
        """Decode and track one frame; returns the seconds of decoding while the tracker cuts its crop."""
        with tracker.span("decode"):
            image = partial_frame(frames, 0, checked=True) if tracker.partial else frames[0]
        tracker.track_frames([state], [image])
        return image.seconds if isinstance(image, PartialFrame) else 0.0

    def whole():
        began = clock()
        frame()
        return clock() - began

    def by_part():
        decoding = []
        found = spent(tracker, lambda: decoding.append(frame()), clock)
        return {**found, "crop": found["crop"] - decoding[0], "decode": found["decode"] + decoding[0]}

    for _ in range(options.warmup):
        frame()
    # In turns, so that other work on the machine hits all alike.
    turns = [
        (whole(), by_part(), spent(tracker, lambda: tracker.start(first, box), clock)["template"])
        for _ in range(options.loops)
    ]
    wholes, parts, templates = zip(*turns, strict=True)
    rate, cost = matrix_rate(device, precision), count(tracker.stages())
    macs = dict(cost.frame)
    if tracker.runs:  # an engine does these with the network
        macs = {"network": cost.per_frame - macs.get("enhance", 0), "enhance": macs.get("enhance", 0)}
    rows = {part: (median(each[part] for each in parts), macs.get(part)) for part in PARTS if part in parts[0]}
    took = median(wholes)
    rows |= {"whole frame": (took, cost.per_frame), "template, once": (median(templates), cost.per_start)}

    print(
        f"{cost.parameters / 1e6:.2f} M parameters; JPEG of {len(frames.read(0)) / 1024:.0f} KiB, {width} x {height} px"
    )
    print(f"matrix products of torch: {rate / 1e9:.1f} GMACs/s")
    print(f"{'':16}       ms  of a frame     GMACs  of that rate")
    for part, (seconds, products) in rows.items():
        work = f"{products / 1e9:10.3f} {products / seconds / rate:13.0%}" if products else ""
        print(f"{part:16}{1e3 * seconds:9.2f} {seconds / took:11.0%}{work}")
    print(f"frames per second {1 / took:.1f}, without decoding {1 / (took - rows['decode'][0]):.1f}")
    if options.trace:
        _trace(lambda: spent(tracker, frame, clock), device, Path(options.trace))


def _trace(work, device, path):
    """List the dearest operations of a frame, and write the trace of it."""
    on_gpu = device.type == "cuda"
    with profile(activities=[ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]) as profiler:
        for _ in range(TRACED):
            work()

    def own(event):
        return event.self_device_time_total if on_gpu else event.self_cpu_time_total

    found = sorted(profiler.key_averages(), key=own, reverse=True)
    total = sum(map(own, found))
    print(f"\n{'dearest operations':32} calls       ms  of all")
    for event in found[:DEAREST]:
        print(
            f"{event.key[:32]:32}{event.count / TRACED:6.0f}{own(event) / TRACED / 1e3:9.3f}{own(event) / total:8.0%}"
        )
    with atomic_path(path) as temporary:
        profiler.export_chrome_trace(str(temporary))
