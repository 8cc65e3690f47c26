"""Milliseconds a frame of a ViT with its templates computed anew and with their keys and values remembered.

python tests/perf/bench_network.py [BACKBONE ...] [FRAMES]     vit_tiny vit_base, 12 frames; minutes, and 2 GB of disk

Joint attention, as OSTrack has it, takes the templates through every block in every frame; one-way attention has their
keys and values from the first one. The same shapes (template 128 px, search 256 px), random weights, by every engine
that is installed. Processor time of one thread, medians of networks that take turns, so that other work on the machine
hits both alike.
"""

import os
import sys
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")

from importlib.util import find_spec
from pathlib import Path
from statistics import median
from time import process_time

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib.export.engines import ENGINES, NEEDED, open_stages
from lib.export.graphs import export
from lib.export.profile import count
from lib.models.lunar.stages import StagedLunar, stages
from tests.networks import make_lunar

WAYS = ("joint", "one_way")


@torch.inference_mode()
def main(*words):
    backbones = [word for word in words if not word.isdecimal()] or ["vit_tiny", "vit_base"]
    frames = int(next(filter(str.isdecimal, words), 12))
    engines = ["torch", *(engine for engine in ENGINES if find_spec(NEEDED[engine]))]
    print(f"CPU, {torch.get_num_threads()} thread(s), fp32, medians of {frames} frames, ms")
    for backbone in backbones:
        for templates in (1, 2, 4):
            compare(backbone, templates, engines, frames)


def compare(backbone, templates, engines, frames):
    """Print a line for each engine."""
    networks = {
        way: make_lunar(kind=backbone, attention=way, num_templates=templates, token_types=False).eval() for way in WAYS
    }
    crops = torch.randint(0, 256, (1, templates, 3, 128, 128), dtype=torch.uint8)
    search = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    known = {way: network.encode_template(crops) for way, network in networks.items()}
    runs = {("torch", way): network for way, network in networks.items()}
    with tempfile.TemporaryDirectory() as folder:
        for way, network in networks.items():
            if engines[1:]:
                with torch.inference_mode(False):
                    export(stages(network), Path(folder))
            runs |= {
                (engine, way): StagedLunar(network, open_stages(stages(network), folder, engine))
                for engine in engines[1:]
            }
    times = {run: [] for run in runs}
    for _ in range(frames + 1):
        for (engine, way), network in runs.items():
            began = process_time()
            network.track(known[way], search)
            times[engine, way].append(1e3 * (process_time() - began))
    macs = {way: count(stages(network)).per_frame / 1e9 for way, network in networks.items()}
    for engine in engines:
        joint, one_way = (median(times[engine, way][1:]) for way in WAYS)
        print(
            f"{backbone:10}{templates} template(s), {engine:9}{joint:8.1f} joint {one_way:8.1f} one_way: "
            f"{joint / one_way:5.2f} times as fast (multiply-accumulates {macs['joint'] / macs['one_way']:.2f})",
            flush=True,
        )


if __name__ == "__main__":
    from words import words

    main(*words(__doc__))
