"""The online tracker with a query, with look-alikes followed, and with its search for a lost target."""

import dataclasses
import gc

import numpy as np
import pytest
import torch

from lib import config
from lib.data import boxes
from lib.models.lunar import TrackerOutput
from lib.test.tracker import lunar
from tests.networks import make_lunar

RNG = np.random.default_rng(0)
FRAMES = [RNG.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(18)]
BOX = np.array([60.3, 50.7, 9.5, 7.25])
SIZES = ["DATA.SEARCH.SIZE=64", "DATA.TEMPLATE.SIZE=32", "MODEL.HEAD.STRIDE=8"]


def build(*overrides, remembers=True, **query):
    """A LunarTracker with a small random network, and in it a query that is heard."""
    cfg = config.load("lunar", "vit_tiny", [*SIZES, *overrides])
    return lunar.LunarTracker(cfg, network=small_network(cfg, remembers, **query))


def small_network(cfg, remembers=True, **query):
    """A small random Lunar, always the same, with a query that is heard or with none."""
    torch.manual_seed(0)
    options = {
        "dim": 16,
        "heads": 2,
        "slots": 3,
        "trajectory": 3,
        "write": 0.1,
        "hold": 0.05,
        "reset": 2,
        "inject": True,
    }
    network = make_lunar(
        embed_dim=32,
        depth=2,
        num_heads=2,
        head_channels=16,
        template_size=32,
        search_size=64,
        head_stride=8,
        attention=cfg.MODEL.BACKBONE.ATTENTION,
        query=options | query if remembers else None,
    )
    if remembers:
        for part in (network.query.scale, network.query.shift, *network.query.quality[-1].parameters()):
            torch.nn.init.normal_(part, std=0.5)
    return network


def maps(scores, size=0.1):
    """A TrackerOutput of 8 x 8 cells with given scores {(column, row): value}, centred offsets and one size."""
    score = torch.full((1, 1, 8, 8), 0.001)
    for (column, row), value in scores.items():
        score[0, 0, row, column] = value
    return TrackerOutput(score, torch.full((1, 2, 8, 8), size), torch.full((1, 2, 8, 8), 0.5))


def equal(first, second):
    return all(torch.equal(a, b) for a, b in zip(vars(first).values(), vars(second).values(), strict=True))


def test_without_a_query_there_is_none():
    tracker = build(remembers=False)
    state = tracker.start(FRAMES[0], BOX)
    (after,), _ = tracker.track_frames([state], [FRAMES[1]])
    assert state.query is None and after.query is None and not tracker.network.remembers


def test_the_first_frame_is_remembered():
    tracker = build()
    query = tracker.start(FRAMES[0], BOX).query
    place = [*boxes.xywh_to_cxcywh(BOX)[:2], np.sqrt(BOX[2] * BOX[3])]
    assert query.time.tolist() == [1] and query.lost.tolist() == [0]
    assert query.marks[0, 0].tolist() == pytest.approx([*place, 0, 1])
    assert query.trajectory[0, -1].tolist() == pytest.approx([*place, 1])
    assert query.memory[0, 0].any() and query.prior.any() and not query.marks[0, 1:].any()


def test_a_b_a():
    """Q7: what is remembered of one video does not reach the next, nor does a step change the state it is given."""
    tracker = build()

    def run(images, box):
        tracker.initialize(images[0], box.tolist())
        results = [tracker.track(image) for image in images[1:]]
        return [(each["target_bbox"], each["score"]) for each in results], tracker._state.query

    first, query = run(FRAMES[:8], BOX)
    _, other = run(FRAMES[8:], BOX + 5)
    again, last = run(FRAMES[:8], BOX)
    assert again == first and equal(last, query) and not equal(other, query)
    state = tracker.start(FRAMES[0], BOX)
    kept = state.query.each(torch.clone)
    (after,), _ = tracker.track_frames([state], [FRAMES[1]])
    assert equal(state.query, kept) and not equal(after.query, kept)
    tracker.initialize(FRAMES[0], BOX.tolist())
    assert equal(tracker._state.query, kept), "a new start, also in the middle of a video, forgets all"


@pytest.mark.parametrize("options", [["MODEL.BACKBONE.ATTENTION=joint"], ["MODEL.QUERY.INJECT=token"]])
def test_three_videos_together_are_each_alone(options):
    tracker = build(*options)
    states = [tracker.start(FRAMES[6 * n], BOX + [9 * n, 5 * n, 2 * n, n]) for n in range(3)]
    memories = set()
    for frame in range(1, 6):
        images = [FRAMES[6 * n + frame] for n in range(3)]
        after, found = tracker.track_frames(states, images)
        for n, image in enumerate(images):
            # From the same state: a box that differs by a millionth may turn a pixel of the next crop by a level.
            (alone,), (result,) = tracker.track_frames([states[n]], [image])
            assert np.allclose(result["target_bbox"], found[n]["target_bbox"], atol=1e-3)
            assert result["score"] == pytest.approx(found[n]["score"], abs=1e-5)
            for ours, theirs in zip(vars(alone.query).values(), vars(after[n].query).values(), strict=True):
                assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-4)
            memories.add((alone.query.marks[0, :, 4] > 0).sum().item())
        states = after
    assert len(memories) > 1, "some frames were remembered"


def test_confidence_is_the_querys():
    """The score's peak says where, the query how sure."""
    tracker = build("TEST.CONFIDENCE=0")
    with torch.no_grad():
        tracker.network.query.quality[-1].weight.zero_()
        tracker.network.query.quality[-1].bias.fill_(1.0)
    tracker.network.locate = lambda features, seen: maps({(2, 5): 0.5})
    state = tracker.start(FRAMES[0], BOX)
    (state,), (result,) = tracker.track_frames([state], [FRAMES[1]])
    assert result["score"] == pytest.approx(1 / (1 + np.exp(-1)), abs=1e-6)
    assert state.query.trajectory[0, -1, 3].item() == pytest.approx(result["score"], abs=1e-6)
    x, y, w, h = result["target_bbox"]
    assert state.query.trajectory[0, -1, :3].tolist() == pytest.approx([x + w / 2, y + h / 2, np.sqrt(w * h)], rel=1e-5)


def test_features_may_stay_as_they_are():
    """TEST.MODULATE off: the maps of a network whose scale and shift are nothing."""
    still = build()
    torch.nn.init.zeros_(still.network.query.scale)
    torch.nn.init.zeros_(still.network.query.shift)
    seen = {}
    for name, tracker in (("on", build()), ("off", build("TEST.MODULATE=false")), ("still", still)):
        seen[name] = views = []
        tracker.watcher = lambda patches, crops, output, readout, views=views: views.append((output, readout))
        tracker.initialize(FRAMES[0], BOX.tolist())
        for image in FRAMES[1:6]:
            tracker.track(image)
    for (on, gain), (off, none), (wanted, _) in zip(*seen.values(), strict=True):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(off, wanted, strict=True))
        assert none.gain is None and gain.gain is not None and not torch.equal(on.score_map, off.score_map)


def test_the_peak_is_drawn_to_where_the_query_expects_it():
    """TEST.WINDOW expected: of two peaks alike that by the target's last place, be the other a little higher."""
    off = {}
    for window, far in (("none", (1, 2)), ("expected", (1, 2)), ("expected", (7, 6))):
        query = ["MODEL.QUERY.ENABLE=true", "DATA.SEARCH.NUMBER=2"]
        tracker = build(*query, f"TEST.WINDOW={window}", "TEST.WINDOW_INFLUENCE=0.15", "TEST.MOTION=none")
        tracker.network.locate = lambda features, seen, far=far: maps({far: 0.6, (4, 4): 0.59})
        state = tracker.start(FRAMES[0], BOX)
        _, (result,) = tracker.track_frames([state], [FRAMES[1]])
        x, y, w, h = result["target_bbox"]
        off[window, far] = np.hypot(x + w / 2 - BOX[0] - BOX[2] / 2, y + h / 2 - BOX[1] - BOX[3] / 2)
    assert off["none", (1, 2)] > 15 and max(off["expected", (1, 2)], off["expected", (7, 6)]) < 8


def test_a_long_video_in_constant_memory():
    """Q8. The backbone is left out: it is the query's state that might grow, or what is kept beside it."""
    tracker = build("TEST.WINDOW=none", dim=4, heads=1)
    features, answer = torch.rand(1, 32, 4, 4), maps({(4, 4): 0.9})
    tracker.network.features = lambda *_: (features, None)
    tracker.network.locate = lambda *_: answer
    state = tracker.start(FRAMES[0], BOX)
    state = dataclasses.replace(state, query=dataclasses.replace(state.query, time=state.query.time + 10_000))
    sizes, objects = set(), []
    for frame in range(300):
        (state,), _ = tracker.track_frames([state], [FRAMES[frame % len(FRAMES)]])
        if frame in (99, 199, 299):
            gc.collect()
            objects.append(len(gc.get_objects()))
            sizes.add(sum(part.untyped_storage().nbytes() for part in vars(state.query).values()))
    assert len(sizes) == 1 and max(objects) - objects[0] < 50
    assert state.query.time.item() == 10_301 and (state.query.marks[0, 1:, 3] > 10_000).all()
    assert state.query.marks[0, 0, 3] == 0, "the first frame stays"
