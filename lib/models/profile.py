"""What a network costs: parameters and multiply-accumulates, counted without computing anything."""

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """parameters: number; encode_template, track: multiply-accumulates of one template set and of one frame; head: the
    head's part of `track`; query: what a query adds to a frame. Matrix products, convolutions and both products of
    attention count; the rest is not counted.
    """

    parameters: int
    encode_template: int
    track: int
    head: int
    query: int


def use_query(query, state, features, windows):
    """All that a query does in a frame, the network aside: the next QueryState."""
    expectation = query.expectation(state, windows)
    query.hint(expectation)
    look = query.read(state, expectation, features, windows)
    query.modulate(features, look)
    confidence = query.judge(look, torch.full_like(windows[:, 0], 0.9)).sigmoid()
    return query.write(state, look, windows, confidence, windows)


def count(model):
    """Cost of a Lunar network for one sample. Runs on the meta device, so it takes no time and no memory."""
    shapes = copy.deepcopy(model).to("meta").eval()
    T, Z, S = model.num_templates, model.template_size, model.search_size
    templates = torch.empty(1, T, 3, Z, Z, device="meta")
    masks = torch.empty(1, T, model.backbone.template_grid**2, device="meta")
    search = torch.empty(1, 3, S, S, device="meta")
    with torch.no_grad():
        with FlopCounterMode(display=False) as encoding:
            state = shapes.encode_template(templates, masks)
        with FlopCounterMode(display=False) as tracking:
            features = shapes.backbone(state, search)
        with FlopCounterMode(display=False) as head:
            shapes.box_head(features, search)
        with FlopCounterMode(display=False) as query:
            if model.remembers:
                use_query(shapes.query, shapes.query.start(1, "meta"), features, torch.empty(1, 3, device="meta"))
    encode, track, head, query = (counter.get_total_flops() // 2 for counter in (encoding, tracking, head, query))
    return Cost(sum(p.numel() for p in model.parameters()), encode, track + head + query, head, query)
