"""What a network costs: parameters and multiply-accumulates, counted without computing anything."""

import copy
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode


@dataclass(frozen=True)
class Cost:
    """parameters: number; encode_template, track: multiply-accumulates of one template set and of one frame; head: the
    head's part of `track`. Matrix products, convolutions and both products of attention count; the rest is not counted.
    """

    parameters: int
    encode_template: int
    track: int
    head: int


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
    macs = [counter.get_total_flops() // 2 for counter in (encoding, tracking, head)]
    return Cost(sum(p.numel() for p in model.parameters()), macs[0], macs[1] + macs[2], macs[2])
