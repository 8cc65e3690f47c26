"""Milliseconds a frame: the ViT with the template computed anew and with it remembered, and `lunar tiny`, in one run.

python tests/perf/bench_network.py [FRAMES]
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from statistics import median
from time import perf_counter

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.build import build_network
from lib.models.lunar import Lunar, decode
from lib.models.profile import count


@torch.inference_mode()
def main(frames=40):
    torch.manual_seed(0)
    fp32, bf16 = None, torch.bfloat16
    tiny = build_network(config.load("lunar", "tiny_pairs")).eval().to(memory_format=torch.channels_last)
    joint, one_way = (Lunar(backbone="vit_tiny", attention=attention).eval() for attention in ("joint", "one_way"))
    cases = {
        "vit_tiny, joint, fp32": (joint, fp32),
        "vit_tiny, one_way, fp32": (one_way, fp32),
        "lunar tiny, fp32": (tiny, fp32),
        "lunar tiny, bf16": (tiny, bf16),
    }
    inputs, times = {}, {name: [] for name in cases}
    for name, (network, dtype) in cases.items():
        Z, S = network.template_size, network.search_size
        masks = torch.rand(1, 1, network.backbone.template_grid**2)
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            state = network.encode_template(torch.rand(1, 1, 3, Z, Z), masks)
        inputs[name] = state, torch.randint(0, 256, (1, 3, S, S), dtype=torch.uint8)
    for _ in range(frames):  # in turns, so that other work on the machine hits all alike
        for name, (network, dtype) in cases.items():
            start = perf_counter()
            with torch.autocast("cpu", dtype, enabled=dtype is not None):
                output = network.track(*inputs[name])
            decode(output)
            times[name].append(1e3 * (perf_counter() - start))
    print(f"CPU, {torch.get_num_threads()} thread(s), {frames} frames; template and search 128/256 px, tiny 64/128 px")
    for name, (network, _) in cases.items():
        cost = count(network)
        millions = f"{cost.parameters / 1e6:.2f} M parameters"
        print(f"{name:24} {median(times[name]):6.1f} ms a frame  {cost.track / 1e9:.2f} GMACs  {millions}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
