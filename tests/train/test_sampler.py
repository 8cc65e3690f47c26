"""Which frames are drawn: in order, within the gap, visible, and the same again for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import config
from lib.data.sequence import Sequence
from lib.errors import FrameError, UserError
from lib.train.data.lunar import LunarSamples
from lib.train.data.sampler import draw_frames, usable
from tests.train.fragile import Frames

SIZES = ["DATA.SEARCH.SIZE=64", "DATA.TEMPLATE.SIZE=32"]


def sequence(name="a", length=10, visible=None, dataset="made", fail=()):
    """Grey noise, the target a 12 px square at (40, 30)."""

    rng = np.random.default_rng(len(name))
    frames = Frames(rng.integers(0, 255, (length, 90, 120, 3), np.uint8), fail)
    boxes = np.tile([40.0, 30.0, 12.0, 12.0], (length, 1))
    return Sequence(name, dataset, boxes, lambda: frames, visible)


def samples(datasets, *overrides, **options):
    return LunarSamples(
        datasets, config.load("lunar", "baseline_pairs", [*SIZES, *overrides]), **{"seed": 0, "ratios": [], **options}
    )


@settings(max_examples=500, deadline=None)
@given(
    st.lists(st.booleans(), min_size=1, max_size=40),
    st.integers(1, 4),
    st.integers(1, 8),
    st.integers(1, 30),
    st.integers(0, 2**32),
)
def test_frames_are_in_order_visible_and_near(visible, templates, searches, gap, seed):
    visible = np.array(visible)
    if not usable(visible, gap):
        return
    before, after = draw_frames(np.random.default_rng(seed), visible, templates, searches, gap)
    assert (len(before), len(after)) == (templates, searches)
    assert visible[before].all() and visible[after[0]] and max(after) < len(visible)
    assert before == sorted(before) and after == sorted(after)
    if len(visible) > 1:
        assert before[-1] < after[0] and after[0] - before[0] <= gap
        steps = np.diff(after)  # one stride; where the sequence is too short the last frame is repeated
        assert (
            (steps == steps[0]).all()
            if (steps > 0).all() and searches > 1
            else after[-1] == len(visible) - 1 or (searches == 1)
        )


def test_clips_are_consecutive_and_mostly_visible():
    visible = np.random.default_rng(0).random(300) < 0.7
    strides = []
    for seed in range(300):
        _, ids = draw_frames(np.random.default_rng(seed), visible, 2, 4, 50)
        strides.append(ids[1] - ids[0])
        assert (np.diff(ids) == strides[-1]).all() and strides[-1] > 0 and visible[ids].mean() >= 0.5
    assert 0.4 < np.mean(np.array(strides) == 1) < 0.6 and max(strides) > 5


def test_absent_frames_are_taken_where_there_are_some():
    visible = np.ones(50, bool)
    visible[20:30] = False
    for seed in range(50):
        before, (frame,) = draw_frames(np.random.default_rng(seed), visible, 1, 1, 5, absent=True)
        assert not visible[frame] and visible[before].all() and frame - before[0] <= 5


def test_sequences_without_a_pair_are_left_out():
    lonely = sequence("lonely", visible=np.arange(10) == 3)
    apart = sequence("apart", visible=np.isin(np.arange(10), [0, 9]))
    good, still = sequence("good"), sequence("still", length=1)
    made = samples({"made": [lonely, apart, good, still]}, "DATA.MAX_SAMPLE_INTERVAL=5")
    assert made.names == ["made/good", "made/still"]
    with pytest.raises(UserError, match="no sequence has two frames"):
        samples({"made": [lonely]})
    assert usable(apart.visible, 9)


def test_datasets_are_drawn_by_ratio_and_sequences_alike():
    datasets = {"one": [sequence("a", dataset="one")], "two": [sequence(n, dataset="two") for n in "bc"]}
    made = samples(datasets, ratios=[3, 1])
    names = [made.names[int(made[0, index]["name"])] for index in range(400)]
    assert abs(names.count("one/a") / 400 - 0.75) < 0.07
    assert abs(names.count("two/b") - names.count("two/c")) < 40
    with pytest.raises(UserError, match="1 ratios for 2 datasets"):
        samples(datasets, ratios=[1])


@pytest.mark.parametrize("extra", [[], ["DATA.SEARCH.NUMBER=3", "DATA.TEMPLATE.NUMBER=2"]])
def test_a_sample_depends_on_seed_epoch_and_index_alone(extra):
    """T10."""
    data = {"made": [sequence(name) for name in ("a", "bb", "ccc")]}
    extra = [*extra, "DATA.AUGMENT.DISTRACTORS=0.5", "DATA.ABSENT=0.3"]
    first, second = samples(data, *extra), samples(data, *extra)
    keys = [(epoch, index) for epoch in range(2) for index in range(10)]
    forward, backward = [first[key] for key in keys], [second[key] for key in reversed(keys)][::-1]
    for one, two in zip(forward, backward, strict=True):
        assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)
    pixels = {bytes(one["search_images"].numpy()) for one in forward}
    assert len(pixels) == len(keys)
    assert not samples(data, *extra, seed=1)[0, 0]["search_images"].equal(forward[0]["search_images"])
    fixed = samples(data, *extra, training=False)
    assert fixed[0, 3]["search_images"].equal(fixed[7, 3]["search_images"])


def test_a_bad_frame_is_another_draw_and_ten_are_an_error():
    data = {"made": [sequence("bad", fail=range(10)), sequence("good")]}
    made = samples(data)
    replaced = [int(made[0, index]["replaced"]) for index in range(40)]
    assert 0 < np.mean(np.array(replaced) > 0) < 0.9
    assert all(made.names[int(made[0, index]["name"])] == "made/good" for index in range(40))
    with pytest.raises(FrameError, match="10 draws failed, the last one: frame .*broken"):
        samples({"made": data["made"][:1]})[0, 0]


def test_few_sources_are_open_at_once():
    made = samples({"made": [sequence(str(number), length=2) for number in range(60)]})
    for index in range(150):
        made[0, index]
    assert len(made._open) == 32
