"""Milliseconds of the enhancer for crops of 128 and 256 px, in 1, 2, 3 steps, beside a frame of `lunar tiny`.

Random weights, gate open. Time that this thread had a core for, so that other work on the machine counts less.

python tests/perf/bench_enhancer_network.py [TIMES]
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path
from statistics import median
from time import thread_time

import torch
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from lib import config
from lib.models.enhancer import build_enhancer
from lib.models.lunar import decode
from lib.models.lunar.build import build_network


def tiny():
    """A frame of `lunar tiny`: the function that computes it."""
    network = build_network(config.load("lunar", "tiny_pairs")).eval().to(memory_format=torch.channels_last)
    Z, S = network.template_size, network.search_size
    state = network.encode_template(torch.rand(1, 1, 3, Z, Z), torch.rand(1, 1, network.backbone.template_grid**2))
    search = torch.randint(0, 256, (1, 3, S, S), dtype=torch.uint8)
    return lambda: decode(network.track(state, search))


@torch.inference_mode()
def main(count=100):
    torch.manual_seed(0)
    cases, notes = {"lunar tiny": tiny()}, {"lunar tiny": ""}
    for side in (128, 256):
        image, gate = 0.3 * torch.rand(1, 3, side, side), torch.ones(1)
        for number in (1, 2, 3):
            enhancer, name = build_enhancer("haze_diffusion", number=number).eval(), f"{number} steps, {side} px"
            cases[name] = lambda enhancer=enhancer, image=image, gate=gate: enhancer(image, gate)
            with FlopCounterMode(display=False) as counter:
                enhancer(image, gate)
            millions = counter.get_total_flops() / 2e6
            notes[name] = f"{millions:5.1f} MMACs  {sum(p.numel() for p in enhancer.parameters())} parameters"
    times = {name: [] for name in cases}
    for _ in range(count):  # in turns, so that other work on the machine hits all alike
        for name, case in cases.items():
            start = thread_time()
            case()
            times[name].append(1e3 * (thread_time() - start))
    frame = median(times["lunar tiny"])
    print(f"CPU, {torch.get_num_threads()} thread(s), fp32; median and least of {count}, share of lunar tiny's median")
    for name, each in times.items():
        share = 100 * median(each) / frame
        print(f"{name:16} {median(each):6.2f} ms {min(each):6.2f} ms {share:4.0f} %  {notes[name]}")


if __name__ == "__main__":
    from words import words

    main(*map(int, words(__doc__)))
