"""Where a frame's time and products go: parts that sum to the whole, for a network and for one that an engine runs."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lib import config
from lib.export.profile import Spans, count, matrix_rate, spent
from lib.models.lunar.build import build_network
from lib.models.lunar.stages import stages
from lib.models.parts.precision import DTYPES
from lib.test.tracker.lunar import LunarTracker

NIGHT = ("MODEL.ENHANCER.ENABLE=true",)


def test_a_part_has_what_no_part_within_it_has():
    now = 0

    def work(seconds):
        nonlocal now
        now += seconds

    layer = torch.nn.Identity()
    layer.register_forward_pre_hook(lambda *_: work(7))
    with Spans(lambda: now, {"second": "b"}) as spans:
        spans.watch([layer], "c")
        work(1000)
        with spans("a"):
            work(1)
            with spans("second"):
                work(10)
                layer(0)
            work(100)
        with spans("second"):
            work(10000)
    assert spans.spent == {"a": 101, "b": 10017, "c": 0, "rest": 1000}
    layer(0)
    assert spans.spent["c"] == 0, "watched no longer"


@pytest.mark.parametrize("name", ["tiny", "tiny_pairs"])
def test_products_of_an_enhancer_and_of_a_query_come_on_top(name):
    plain, night = (count(stages(build_network(config.load("lunar", name, changes)))) for changes in ((), NIGHT))
    assert "enhance" not in plain.frame and night.per_frame == plain.per_frame + night.frame["enhance"]
    assert all(night.frame[part] == plain.frame[part] for part in plain.frame)
    assert ("query" in plain.frame) == (name == "tiny")
    assert night.per_start > plain.per_start


def by_part(tracker, state, image):
    """{part: products} of a frame that is computed."""
    with FlopCounterMode(display=False) as counter:
        return spent(tracker, lambda: tracker.track_frames([state], [image]), lambda: counter.get_total_flops() // 2)


def test_products_are_those_of_a_frame_that_is_computed():
    cfg = config.load("lunar", "tiny", NIGHT)
    tracker = LunarTracker(cfg, network=build_network(cfg))
    image = torch.randint(0, 40, (120, 160, 3), dtype=torch.uint8).numpy()
    state = tracker.start(image, [60, 50, 12, 9])
    cost, found = count(tracker.stages()), by_part(tracker, state, image)
    assert +found == cost.frame and cost.frame.keys() == {"enhance", "network", "head", "query"}

    own = {stage.name: stage.module for stage in tracker.stages() if "onnx" in stage.engines}
    tracker.use({name: lambda tensors, module=module: module(*tensors) for name, module in own.items()})
    by_engine = by_part(tracker, state, image)
    assert by_engine["enhance"] == found["enhance"]
    assert sum(by_engine.values()) == sum(found.values()), "an engine's stages are counted as wholes"


@pytest.mark.parametrize("precision", DTYPES)
def test_rate_of_a_precision(precision, monkeypatch):
    seen = set()
    monkeypatch.setattr(torch, "rand", lambda *shape, **options: seen.add(options["dtype"]) or torch.ones(8, 8))
    assert matrix_rate(torch.device("cpu"), precision) > 0
    assert seen == {DTYPES[precision] or torch.float32}
