"""The trackers of STARK and STTrack: batches equal singles, parts of frames are enough, templates are updated."""

import numpy as np
import pytest
import torch

from lib import config, registry
from lib.contracts import LockstepTracker
from lib.export.compare import compare
from lib.export.engines import open_stages
from lib.export.graphs import export
from lib.models.enhancer import build_enhancer
from lib.models.stark import Stark
from lib.models.sttrack import STTrack
from lib.test.tracker.enhanced import FrameEnhancer, enhanced
from tests.models.test_stark import SMALL, Trunk, with_recipe

SIZES = ("DATA.SEARCH.SIZE=64", "DATA.TEMPLATE.SIZE=32", "DATA.SEARCH.MIN_SIDE=1", "DATA.TEMPLATE.MIN_SIDE=1")
RNG = np.random.default_rng(0)
FRAMES = [RNG.integers(0, 255, (60, 80, 3), np.uint8) for _ in range(6)]
BOXES = [np.array([30.3, 20.7, 9.5, 7.25]), np.array([66.0, 50.0, 12.0, 8.0])]  # the second one at the border


def build(script, *overrides, weights=None):
    settings = config.load(script, "baseline", [*SIZES, *overrides])
    if script == "stark":
        network = Stark(Trunk(), **SMALL, half_cell=not settings.MODEL.FAITHFUL, classify=settings.MODEL.CLASSIFY)
    else:
        network = STTrack(Trunk(), **SMALL, history=2, faithful=settings.MODEL.FAITHFUL)
    return registry.tracker(script)(settings, weights, network=with_recipe(network))


class Part:
    """A frame of which only parts with integer bounds can be read."""

    def __init__(self, frame):
        self.frame, self.shape, self.dtype = frame, frame.shape, frame.dtype

    def __getitem__(self, part):
        rows, columns = part
        assert all(type(bound) is int and bound >= 0 for each in part for bound in (each.start, each.stop))
        return self.frame[rows, columns]


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("script", ["stark", "sttrack"])
def test_a_batch_is_its_targets(script, faithful):
    tracker = build(script, f"MODEL.FAITHFUL={faithful}")
    assert isinstance(tracker, LockstepTracker) and tracker.partial
    states = [tracker.start(FRAMES[0], box) for box in BOXES]
    for frame in FRAMES[1:]:
        alone = [tracker.track_frames([state], [frame])[1][0] for state in states]
        states, results = tracker.track_frames(states, [frame, Part(frame)])
        for together, single in zip(results, alone, strict=True):
            assert together.box == pytest.approx(single.box, abs=1e-3) and together.present
            x, y, w, h = together.box
            assert min(w, h) >= (10 if faithful else 1) - 1e-9
            assert min(x, y) >= 0 and x + w <= 80 + 1e-6 and y + h <= 60 + 1e-6


@pytest.mark.parametrize("script", ["stark", "sttrack"])
def test_targets_of_different_age_and_a_new_start(script):
    tracker = build(script)
    first = tracker.initialize(FRAMES[0], BOXES[0])
    assert first.box == pytest.approx(BOXES[0]) and first["target_bbox"] == list(first.box)
    boxes = [tracker.track(frame).box for frame in FRAMES[1:4]]
    tracker.initialize(FRAMES[0], BOXES[0])
    assert [tracker.track(frame).box for frame in FRAMES[1:4]] == boxes, "nothing is left of what came before"
    old, young = tracker._state, tracker.start(FRAMES[0], BOXES[1])
    _, results = tracker.track_frames([old, young], [FRAMES[4], FRAMES[1]])
    for state, frame, result in ((old, FRAMES[4], results[0]), (young, FRAMES[1], results[1])):
        (_,), (single,) = tracker.track_frames([state], [frame])
        assert result.box == pytest.approx(single.box, abs=1e-3)


@pytest.mark.parametrize(("bias", "updates"), [(50.0, [2, 4]), (-50.0, [])])
def test_the_later_template_is_replaced_where_the_score_says_so(bias, updates):
    tracker = build("stark", "MODEL.CLASSIFY=true", "DATA.TEMPLATE.NUMBER=2", "TEST.UPDATE_INTERVAL=2")
    torch.nn.init.constant_(tracker.network.cls_head.layers[-1].bias, bias)
    state = tracker.start(FRAMES[0], BOXES[0])
    assert torch.equal(state.templates[0].features, state.templates[1].features)
    replaced = []
    for number, frame in enumerate(FRAMES[1:], 1):
        before = state
        (state,), (result,) = tracker.track_frames([state], [frame])
        assert result.score == pytest.approx(float(bias > 0))
        assert state.templates[0] is before.templates[0], "the first one stays"
        if state.templates[1] is not before.templates[1]:
            replaced.append(number)
            expected = tracker.encode_template(frame, np.array(result.box))
            assert torch.equal(state.templates[1].features, expected.features)
    assert replaced == updates


def test_weights_are_loaded_from_a_checkpoint(tmp_path):
    source = build("sttrack")
    torch.nn.init.constant_(source.network.window_penalty, 0.7)
    torch.save({"epoch": 3, "net": source.network.state_dict()}, tmp_path / "STTRACK_ep0003.pth.tar")
    tracker = build("sttrack", weights=tmp_path / "STTRACK_ep0003.pth.tar")
    assert tracker.network.window_penalty.item() == pytest.approx(0.7)
    assert not any(parameter.requires_grad for parameter in tracker.network.parameters())


def test_without_its_query_every_frame_begins_alike():
    tracker = build("sttrack", "TEST.QUERY=false")
    tracker.initialize(FRAMES[0], BOXES[0])
    tracker.track(FRAMES[1])
    query, first = tracker._state.query, tracker.network.start(1)
    assert all(one.equal(other) for one, other in zip(query.tensors(), first.tensors(), strict=True))


def test_an_enhancer_goes_before_it():
    """By day it sees the frames themselves; by night others, and it still runs in a batch."""
    tracker, day = build("sttrack"), [frame // 2 + 120 for frame in FRAMES]
    both = enhanced(tracker, FrameEnhancer(build_enhancer("curve")))
    for frames, same in ((day, True), ([frame // 8 for frame in FRAMES], False)):
        tracker.initialize(frames[0], BOXES[0])
        plain = [tracker.track(frame).box for frame in frames[1:4]]
        both.initialize(frames[0], BOXES[0])
        assert ([both.track(frame).box for frame in frames[1:4]] == plain) == same
    states = [both.start(FRAMES[0], box) for box in BOXES]
    assert len(both.track_frames(states, FRAMES[1:3])[1]) == 2


@pytest.mark.soak  # the export alone takes half a minute
def test_an_engine_tracks_as_torch_does(tmp_path):
    pytest.importorskip("onnxscript")
    tracker = build("sttrack")
    export(tracker.stages(), tmp_path)
    runs = open_stages(tracker.stages(), tmp_path, "onnx")
    assert compare(tracker, runs, FRAMES, BOXES[0], len(FRAMES)) < 1e-4
    found = []
    for run in ({}, runs):
        tracker.use(run)
        # One frame: random weights on noise magnify rounding from frame to frame.
        states = [tracker.start(FRAMES[0], box) for box in BOXES]
        found.append([result.box for result in tracker.track_frames(states, FRAMES[1:3])[1]])
    assert np.allclose(*found, rtol=0, atol=1e-3)
