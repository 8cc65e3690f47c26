"""Milliseconds that the query adds to a frame: the same network with it and without, in turns, in one run.

python tests/perf/bench_query.py [FRAMES]
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
from lib.export.profile import count
from lib.models.lunar import decode
from lib.models.lunar.build import build_network
from lib.models.lunar.stages import stages


def frame(network):
    """A frame of a network: the function that computes it, from the search crop to the box."""
    Z, S = network.template_size, network.search_size
    T = network.num_templates
    masks = torch.rand(1, T, network.backbone.template_grid**2)
    template = network.encode_template(torch.rand(1, T, 3, Z, Z), masks)
    search = torch.randint(0, 256, (1, 3, S, S), dtype=torch.uint8)
    if not network.remembers:
        return lambda: decode(network.track(template, search))
    window, place = torch.tensor([[100.0, 80, 64]]), torch.tensor([[101.0, 82, 12]])

    def step(state):
        output, readout = network.readout(template, search, state, window)
        _, _, score = decode(output)
        return network.write(state, readout, place, network.query.judge(readout, score).sigmoid(), window)

    state = network.query.start(1)
    for _ in range(8):
        state = step(state)
    return lambda: step(state)


@torch.inference_mode()
def main(frames=40):
    torch.manual_seed(0)
    print(f"CPU, {torch.get_num_threads()} thread(s), fp32, random weights, medians of {frames} frames")
    for name, size in (("tiny", frames), ("baseline", max(frames // 8, 3))):
        networks, one = {}, ("DATA.TEMPLATE.NUMBER=1",)
        networks["without"] = build_network(config.load("lunar", f"{name}_pairs", one)).eval()
        networks["with"] = build_network(config.load("lunar", name, one)).eval()
        cases = {which: frame(network.to(memory_format=torch.channels_last)) for which, network in networks.items()}
        times = {which: [] for which in cases}
        for _ in range(size):  # in turns, so that other work on the machine hits both alike
            for which, work in cases.items():
                start = perf_counter()
                work()
                times[which].append(1e3 * (perf_counter() - start))
        without, with_ = (median(times[which]) for which in ("without", "with"))
        cost = count(stages(networks["with"]))
        print(
            f"lunar {name:9} {without:7.2f} ms without the query, {with_:7.2f} ms with it: {with_ / without - 1:+.1%} "
            f"of time, {cost.frame['query'] / (cost.per_frame - cost.frame['query']):.1%} of multiply-accumulates"
        )


if __name__ == "__main__":
    from words import words

    main(*map(int, words(__doc__)))
