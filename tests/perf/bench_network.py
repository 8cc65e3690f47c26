"""Milliseconds a frame of the tiny network, with the template computed anew and with it remembered, in one run.

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

from lib.models.lunar import Lunar, decode
from lib.models.profile import count


@torch.inference_mode()
def main(frames=40):
    torch.manual_seed(0)
    networks = {attention: Lunar(backbone="vit_tiny", attention=attention).eval() for attention in ("joint", "one_way")}
    templates, masks = torch.rand(1, 1, 3, 128, 128), torch.rand(1, 1, 64)
    states = {attention: network.encode_template(templates, masks) for attention, network in networks.items()}
    search = torch.randint(0, 256, (1, 3, 256, 256), dtype=torch.uint8)
    times = {attention: [] for attention in networks}
    for _ in range(frames):  # in turns, so that other work on the machine hits both alike
        for attention, network in networks.items():
            start = perf_counter()
            output = network.track(states[attention], search)
            decode(output)
            times[attention].append(1e3 * (perf_counter() - start))
    print(f"vit_tiny, template 128, search 256, fp32, CPU, {torch.get_num_threads()} thread(s), {frames} frames")
    for attention, network in networks.items():
        print(f"{attention:8} {median(times[attention]):6.1f} ms a frame  {count(network).track / 1e9:.2f} GMACs")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
