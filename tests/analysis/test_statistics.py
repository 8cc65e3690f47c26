"""Intervals and tests over sequences: how often they are right on simulated scores, and what they say of too few."""

import numpy as np
import pytest

from lib.test.analysis.statistics import compare, interval, mean_and_error


def test_the_mean_of_a_normal_sample():
    """Where the textbook has the answer: mean +- t s / sqrt(n), 2.131 for 16 and 95 %."""
    values = np.random.default_rng(0).normal(0.6, 0.1, 16)
    low, high = interval(values)
    half = 2.131 * values.std(ddof=1) / 4
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.12 * half)
    narrow = interval(values, level=0.5)
    assert low < narrow[0] < values.mean() < narrow[1] < high


@pytest.mark.parametrize("sequences", [8, 40])
def test_intervals_hold_the_mean_as_often_as_they_say(sequences):
    """400 samples of skewed scores; four standard errors of 95 % are 4.4 points."""
    samples = np.random.default_rng(sequences).beta(4, 2.5, (sequences, 400))
    low, high = interval(samples, draws=2000)
    held = ((low <= 4 / 6.5) & (high >= 4 / 6.5)).mean()
    assert held == pytest.approx(0.95, abs=0.044)


def test_scores_share_their_draws_and_leave_out_what_is_missing():
    values = np.random.default_rng(0).random((30, 3))
    together = interval(values)
    assert together[0].shape == together[1].shape == (3,)
    for column in range(3):
        assert interval(values[:, column]) == pytest.approx((together[0][column], together[1][column]), abs=1e-12)
    with_gaps = np.insert(values, 7, np.nan, axis=0)  # a sequence without any score changes nothing
    np.testing.assert_allclose(interval(with_gaps), together, atol=1e-12)
    with_gaps = values.copy()
    with_gaps[4:8, 1] = np.nan
    found = interval(with_gaps)
    assert found[0][0] == pytest.approx(together[0][0], abs=1e-12)
    kept = interval(np.delete(values[:, 1], range(4, 8)))
    assert (found[0][1], found[1][1]) == pytest.approx(kept, abs=0.02)


def test_too_few_sequences_have_no_interval():
    with np.errstate(all="raise"):
        for values in ([], [0.5], [np.nan], [0.5, np.nan]):
            assert np.isnan(interval(values)).all()
        low, high = interval(np.array([[0.5, 0.25], [np.nan, 0.75]]))
    assert np.isnan([low[0], high[0]]).all() and low[1] == 0.25 and high[1] == 0.75
    assert interval([0.5] * 5) == (0.5, 0.5)
    assert interval(np.zeros((0, 4)))[0].shape == (4,)


def test_runs_through_one_video_count_together():
    """What is said of videos does not change when each is tracked three times over with the same result."""
    first, second = np.random.default_rng(0).random((2, 20))
    videos = np.repeat([f"v{number}" for number in range(20)], 3)
    assert interval(first.repeat(3), videos=videos) == pytest.approx(interval(first), abs=1e-12)
    one, three = compare(first, second), compare(first.repeat(3), second.repeat(3), videos=videos)
    assert three[:4] == pytest.approx(one[:4], abs=1e-12) and three.sequences == 60
    assert mean_and_error(first.repeat(3), videos) == pytest.approx(mean_and_error(first), abs=1e-12)
    alone = [f"s{number}" for number in range(20)]
    assert interval(first, videos=alone) == interval(first) and compare(first, second, videos=alone) == one
    assert np.isnan(interval([0.2, 0.4, 0.9], videos=["v", "v", "v"])).all()
    gaps = np.where(np.arange(60) % 3 == 1, np.nan, first.repeat(3))
    assert interval(gaps, videos=videos) == pytest.approx(interval(first), abs=1e-12)


def test_intervals_of_runs_hold_the_mean_as_often_as_they_say():
    """300 samples of 12 videos of one to nine runs; five standard errors of 95 % are 6.3 points."""
    rng, held, naive = np.random.default_rng(1), [], []
    for _ in range(300):
        counts = rng.integers(1, 10, 12)
        videos = np.repeat(np.arange(12), counts)
        scores = rng.normal(0.6, 0.1, 12)[videos] + rng.normal(0, 0.05, len(videos))
        for kept, (low, high) in (
            (held, interval(scores, draws=1000, videos=videos)),
            (naive, interval(scores, draws=1000)),
        ):
            kept.append(low <= 0.6 <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.063) and np.mean(naive) < 0.75


def test_mean_and_its_error():
    assert mean_and_error([1.0, 2.0, 3.0]) == pytest.approx((2.0, 1 / np.sqrt(3)))
    assert mean_and_error([1.0, 2.0, 3.0, 6.0], ["a", "a", "b", "b"]) == pytest.approx((3.0, 3 * np.sqrt(4) / 4))
    assert np.isnan(mean_and_error([])).all()
    assert mean_and_error([0.5])[0] == 0.5 and np.isnan(mean_and_error([0.5])[1])


def test_the_same_call_gives_the_same_numbers():
    values = np.random.default_rng(0).random((50, 2))
    np.testing.assert_array_equal(interval(values), interval(values))
    assert compare(*values.T) == compare(*values.T)
    assert interval(values[:, 0]) != interval(values[:, 0], seed=1)


def test_a_constant_lead_is_real():
    second = np.random.default_rng(0).random(20)
    found = compare(second + 0.01, second)
    assert found.difference == pytest.approx(0.01) and (found.low, found.high) == pytest.approx((0.01, 0.01))
    assert found.p == 1 / 10_001 and found.sequences == 20  # no drawn sign is as far out: (0 + 1) / (10,000 + 1)


def test_all_signs_of_few_sequences_are_gone_through():
    """Differences 1, 2, 3: of 8 sums of +-1 +-2 +-3, only 6 and -6 are as far from 0."""
    assert compare([1, 2, 3], [0, 0, 0]).p == 2 / 8
    assert compare([1, 2, -3], [0, 0, 0]).p == 1  # a sum of 0
    assert compare([1, 2, 3, 5, 5], [0, 0, 0, 5, 5]).p == 2 / 8  # no difference has no sign
    assert compare([0.1] * 12, [0.0] * 12).p == 2 / 2**12


def test_sides_are_treated_alike():
    first, second = np.random.default_rng(0).random((2, 60))
    one, other = compare(first, second), compare(second, first)
    assert one.p == other.p and one.sequences == other.sequences == 60
    assert (one.difference, one.low, one.high) == pytest.approx((-other.difference, -other.high, -other.low))


@pytest.mark.parametrize("sequences", [9, 40])
def test_p_is_uniform_where_neither_is_better(sequences):
    generator = np.random.default_rng(sequences)
    found = []
    for _ in range(300):
        first, second = generator.beta(4, 2.5, (2, sequences))
        found.append(compare(first, second, draws=1000).p)
    for level in (0.05, 0.25, 0.5):
        error = np.sqrt(level * (1 - level) / 300)
        assert np.mean(np.array(found) <= level) == pytest.approx(level, abs=4 * error)


def test_pairs_without_a_score_are_left_out():
    first, second = np.random.default_rng(0).random((2, 10))
    first[2], second[5] = np.nan, np.nan
    kept = np.delete(np.arange(10), [2, 5])
    assert compare(first, second) == compare(first[kept], second[kept])


def test_comparing_too_few():
    nothing = compare([np.nan], [0.5])
    assert nothing.sequences == 0 and np.isnan(nothing[:4]).all()
    single = compare([0.75], [0.5])
    assert single.difference == 0.25 and np.isnan([single.low, single.high, single.p]).all()
    assert compare([0.5, 0.5], [0.5, 0.5])[:4] == (0, 0, 0, 1)
    with pytest.raises(ValueError, match="the same sequences"):
        compare([1, 2], [1])
