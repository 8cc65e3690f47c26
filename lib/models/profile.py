"""What a network costs: parameters and multiply-accumulates, counted without computing; and where time goes."""

import contextlib
import copy
import time
from collections import Counter
from dataclasses import dataclass
from unittest import mock

import torch
from torch.utils.flop_counter import FlopCounterMode

from .parts.precision import DTYPES

NETWORK = {"track": "network", "readout": "network", "features": "network", "locate": "head", "enhance": "enhance"}
QUERY = ("expectation", "hint", "read", "modulate", "judge", "write")  # what TemporalQuery does in a frame


@dataclass(frozen=True)
class Cost:
    """parameters: number; encode_template, track: multiply-accumulates of one template set and of one frame, by night
    where there is an enhancer; enhance, head, query: parts of `track`. Matrix products, convolutions and both products
    of attention count; the rest is not counted.
    """

    parameters: int
    encode_template: int
    track: int
    enhance: int
    head: int
    query: int


def parts(network):
    """The parts of a frame, as the places of `shares`: enhance, network, head, query.

    network: a Lunar; or an ExportedLunar or CompiledLunar, of which all that runs as one is the part "network".
    """
    inner = getattr(network, "network", network)
    functions = {(network, name): part for name, part in NETWORK.items() if hasattr(type(network), name)}
    functions |= {(network, "_seen"): "enhance"} if hasattr(network, "_seen") else {(inner, "enhance"): "enhance"}
    if network.remembers and hasattr(network, "_write"):  # what is compiled must not change
        functions[network, "_write"] = "query"
    elif network.remembers:
        functions |= {(network.query, name): "query" for name in QUERY}
    return [(*place, part) for place, part in functions.items() if part != "enhance" or network.enhances]


def shares(work, places, clock):
    """What each part of `work()` adds to `clock()`, a number that only grows: {part: share}, all else being "rest".

    places: [(object, name of a function of it, part)], watched during the work, and shown to torch's profiler by the
    name of the part. A function that is called within another belongs to its own part alone.
    """
    spent, current = Counter(), "rest"

    def enter(part):
        nonlocal current, since
        now = clock()
        spent[current] += now - since
        left, current, since = current, part, now
        return left

    def watched(function, part):
        def run(*arguments, **options):
            outer = enter(part)
            with torch.profiler.record_function(part):
                result = function(*arguments, **options)
            enter(outer)
            return result

        return run

    with contextlib.ExitStack() as watching:
        for owner, name, part in places:
            watching.enter_context(mock.patch.object(owner, name, watched(getattr(owner, name), part)))
        since = clock()
        work()
        enter("rest")
    return spent


@torch.inference_mode(False)  # as in training, where an enhancer does not look first whether its gate is closed
def count(model):
    """Cost of a Lunar network for one sample. Runs on the meta device, so it takes no time and no memory."""
    shapes = copy.deepcopy(model).to("meta").eval()
    T, Z, S = model.num_templates, model.template_size, model.search_size
    templates = torch.empty(1, T, 3, Z, Z, device="meta")
    masks = torch.empty(1, T, model.backbone.template_grid**2, device="meta")
    search, windows = torch.empty(1, 3, S, S, device="meta"), torch.empty(1, 3, device="meta")
    with FlopCounterMode(display=False) as encoding:
        template = shapes.encode_template(templates, masks)

    def frame():
        if not model.remembers:
            return shapes.track(template, search)

        state = shapes.query.start(1, "meta")
        _, readout = shapes.readout(template, search, state, windows)
        confidence = shapes.query.judge(readout, windows[:, 0])
        return shapes.write(state, readout, windows, confidence, windows)

    with FlopCounterMode(display=False) as counter:
        spent = shares(frame, parts(shapes), counter.get_total_flops)
    of_parts = (spent[part] // 2 for part in ("enhance", "head", "query"))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Cost(parameters, encoding.get_total_flops() // 2, sum(spent.values()) // 2, *of_parts)


@torch.inference_mode()
def matrix_rate(device, precision="fp32"):
    """Multiply-accumulates a second that torch reaches on square matrices, the most of several sizes and tries.

    device: torch.device. precision: of lib.models.parts.precision.DTYPES; any other by the rate of fp32.
    """
    sides, synchronise = (2048, 4096, 8192), getattr(torch, device.type).synchronize
    if device.type == "cpu":
        sides = (512, 1024, 2048)
    rates = []
    for side in sides:
        square = torch.rand(side, side, device=device, dtype=DTYPES.get(precision) or torch.float32)
        for _ in range(5):
            synchronise()
            began = time.perf_counter()
            square @ square
            synchronise()
            rates.append(side**3 / (time.perf_counter() - began))
    return max(rates)
