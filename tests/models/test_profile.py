"""Where a frame's time and products go: parts that sum to the whole, for a network and for one that an engine runs."""

import copy
from types import SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lib import config
from lib.models.lunar.build import build_network
from lib.models.lunar.exported import ExportedLunar, _Enhance, _Track
from lib.models.parts.precision import DTYPES
from lib.models.profile import count, matrix_rate, parts, shares

NIGHT = ("MODEL.ENHANCER.ENABLE=true",)


def test_a_part_has_what_no_part_within_it_has():
    now = 0

    def work(seconds):
        nonlocal now
        now += seconds

    def outer():
        work(1)
        one.inner(10)
        work(100)
        return "found"

    one = SimpleNamespace(inner=work, outer=outer)
    before, found = vars(one).copy(), []

    def frame():
        work(1000)
        found.append(one.outer())
        one.inner(10000)

    assert shares(frame, [(one, "outer", "a"), (one, "inner", "b")], lambda: now) == {
        "a": 101,
        "b": 10010,
        "rest": 1000,
    }
    assert found == ["found"] and vars(one) == before


@pytest.mark.parametrize("name", ["tiny", "tiny_pairs"])
def test_products_of_an_enhancer_and_of_a_query_come_on_top(name):
    plain, night = (count(build_network(config.load("lunar", name, changes))) for changes in ((), NIGHT))
    assert plain.enhance == 0 < night.enhance and night.track == plain.track + night.enhance
    assert (night.head, night.query) == (plain.head, plain.query) and (plain.query > 0) == (name == "tiny")
    assert night.encode_template > plain.encode_template


def spent(network, template):
    """{part: operations} of a frame that is computed."""
    search, windows, sure = torch.zeros(1, 3, *[network.search_size] * 2), torch.tensor([[50.0, 50, 64]]), torch.ones(1)
    state = network.query.start(1)

    def frame():
        _, readout = network.readout(template, search, state, windows, sure)
        network.write(state, readout, windows, sure, windows)

    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        return shares(frame, parts(network), counter.get_total_flops)


def test_products_are_those_of_a_frame_that_is_computed(tmp_path):
    network = build_network(config.load("lunar", "tiny", NIGHT)).eval()
    crops, masks = torch.zeros(1, 1, 3, *[network.template_size] * 2), torch.ones(1, 1, 64)
    template = network.encode_template(crops, masks)
    cost, found = count(network), spent(network, template)
    # What the query judges is asked for by the tracker, which is not here.
    judged = sum(layer.weight.numel() for layer in network.query.quality if hasattr(layer, "weight"))
    assert found == {
        "enhance": 2 * cost.enhance,
        "network": 2 * (cost.track - cost.enhance - cost.head - cost.query),
        "head": 2 * cost.head,
        "query": 2 * (cost.query - judged),
        "rest": 0,
    }

    bare = copy.deepcopy(network).without_enhancer()
    exported = ExportedLunar(network, tmp_path, "onnx")
    known = sum(part is not None for part in template)
    exported._graphs["track"] = lambda tensors: _Track(bare, known)(*tensors)
    exported._graphs[f"enhance_{network.search_size}"] = lambda tensors: [_Enhance(network.enhancer)(*tensors)]
    by_engine = spent(exported, template)
    assert by_engine["enhance"] == found["enhance"] and by_engine["query"] == by_engine["rest"] == 0
    assert by_engine["network"] == found["network"] + found["head"] + found["query"]


@pytest.mark.parametrize("precision", DTYPES)
def test_rate_of_a_precision(precision, monkeypatch):
    seen = set()
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: seen.add(options["dtype"]) or torch.ones(8, 8))
    assert matrix_rate(torch.device("cpu"), precision) > 0
    assert seen == {DTYPES[precision] or torch.float32}
