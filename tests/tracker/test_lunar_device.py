"""The online tracker's traffic with the device that its network is on, and its frame compiled."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lib import config
from lib.errors import MachineError, UserError
from lib.export.compiled import compile_stages
from lib.test.tracker import lunar
from tests.tracker.test_lunar_query import BOX, SIZES, small_network

RNG = np.random.default_rng(0)
FRAMES = [RNG.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(4)]
EXPECTED = ["MODEL.QUERY.ENABLE=true", "DATA.SEARCH.NUMBER=2", "TEST.WINDOW=expected"]
JOINT = ["TEST.WINDOW=mult", "MODEL.BACKBONE.ATTENTION=joint"]
CASES = [(EXPECTED, True), (["TEST.WINDOW=blend"], False), (JOINT, False)]  # settings, with a query


def build(settings, remembers, device="cpu"):
    """A LunarTracker with a small network, with a query or not; compiled where the settings say so."""
    cfg = config.load("lunar", "vit_tiny", [*SIZES, *settings])
    tracker = lunar.LunarTracker(cfg, device=device, network=small_network(cfg, remembers))
    if cfg.TEST.COMPILE:
        tracker.use(compile_stages(tracker.stages(), tracker.device))
    return tracker


class Crossings(TorchDispatchMode):
    """Counts what takes tensors from the CPU to another device, on purpose or by the way."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        found = function(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, found)) if isinstance(each, torch.Tensor) and each.ndim]
        self.count += len({each.device for each in tensors}) > 1
        return found


@pytest.mark.parametrize(("settings", "query", "uploads"), [(*CASES[0], 3), (*CASES[1], 2)])
def test_a_frame_asks_the_device_once(settings, query, uploads):
    """The device "meta" computes nothing: whoever asks it for a number fails, as whoever mixes it with the CPU.

    To it go crop and window; then, once its answer is there, what was decided, or before it the Hann window.
    """
    tracker, asked = build(settings, query, "meta"), []
    find = {stage.name: stage.module for stage in tracker.stages()}["find"]
    tracker.autocast = nullcontext

    def answered(inputs):
        asked.extend(find(*inputs))
        return [torch.tensor([[0.5, 0.4, 0.1, 0.1, 0.9], [0.3, 0.6, 0.2, 0.1, 0.2]])]

    tracker.use({"find": answered})
    states = [tracker.start(FRAMES[0], BOX), tracker.start(FRAMES[1], BOX + 3)]
    for image in FRAMES[1:]:
        with Crossings() as crossings:
            states, results = tracker.track_frames(states, [image, image])
        assert crossings.count == uploads
    assert [one["score"] for one in results] == pytest.approx([0.9, 0.2])
    assert len(asked) == 3 and asked[0].shape == (2, 5) and asked[0].device.type == "meta"


def steps(tracker):
    """What a tracker makes of a frame of one video, then of three, two and one together."""
    starts = [tracker.start(FRAMES[n], BOX + 4 * n) for n in range(3)]
    found = []
    for count in (1, 3, 2, 1):
        states, results = tracker.track_frames(starts[:count], FRAMES[1 : 1 + count])
        found += [[*each["target_bbox"], each["score"]] for each in results]
        queries = [vars(state.query).values() for state in states if state.query is not None]
        found += [torch.cat([part.flatten().double() for part in parts]).tolist() for parts in queries]
        starts = [*states, *starts[count:]]
    return found


def close(first, second):
    return all(np.allclose(*pair, rtol=1e-4, atol=1e-4) for pair in zip(first, second, strict=True))


@pytest.mark.parametrize(("settings", "query"), [CASES[0], CASES[2]])
def test_nothing_breaks_the_graph(monkeypatch, settings, query):
    """Traced whole and run as it was traced, for one video and for several; `fullgraph` refuses anything else."""
    calls, real = [], torch.compile
    monkeypatch.setattr(torch, "compile", lambda function, mode, **how: real(function, backend=backend, **how))
    torch._dynamo.reset()

    def backend(graph, inputs):
        calls.append(graph)
        return graph

    assert close(steps(build([*settings, "TEST.COMPILE=true"], query)), steps(build(settings, query)))
    parts = 3 if query else 2  # track, find, write; or track and find
    assert len(calls) == 2 * parts, "once for one video, once for any other number"


@pytest.mark.soak  # compiles for a minute
def test_compiled_is_as_eager():
    torch._dynamo.reset()
    tracker = build([*EXPECTED, "TEST.COMPILE=true"], True)
    eager = build(EXPECTED, True)
    states = [tracker.start(FRAMES[0], BOX)], [eager.start(FRAMES[0], BOX)]
    for image in FRAMES[1:3]:
        (one, (found,)), (two, (wanted,)) = (
            tracker.track_frames(states[0], [image]),
            eager.track_frames(states[1], [image]),
        )
        assert close([found["target_bbox"], [found["score"]]], [wanted["target_bbox"], [wanted["score"]]])
        assert close(*([part.flatten() for part in vars(state[0].query).values()] for state in (one, two)))
        states = two, two


def test_without_a_compiler_it_is_said_in_a_line(monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "/no/compiler"))
    tracker = build(["TEST.COMPILE=true"], False)
    state = tracker.start(FRAMES[0], BOX)
    with pytest.raises(MachineError, match="TEST.COMPILE: .*compiler") as caught:
        tracker.track_frames([state], [FRAMES[1]])
    assert "\n" not in str(caught.value)


def test_another_engine_is_not_compiled():
    with pytest.raises(UserError, match="TEST.COMPILE"):
        config.load("lunar", "tiny", ["TEST.COMPILE=true", "TEST.BACKEND=onnx"])
