"""Scores by hand, and where the protocols part. Published numbers and other toolkits are in test_published.py."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.test.analysis import metrics

NAN = [np.nan] * 4


def score(predicted, truth, visible=None, **options):
    truth = np.array(truth, dtype=float)
    visible = np.isfinite(truth).all(axis=1) if visible is None else np.array(visible)
    return metrics.score(np.array(predicted, dtype=float), truth, visible, **options)


def random_boxes(generator, count):
    return np.concatenate([generator.uniform(0, 200, (count, 2)), generator.uniform(2, 40, (count, 2))], axis=1)


def test_four_frames_by_hand():
    truth = [[0, 0, 10, 10]] * 4
    # given, overlap 1/3 and 5 px off, overlap 1/2 and 2.5 px off (10 x 5 at the top), nowhere near
    predicted = [[0, 0, 10, 10], [5, 0, 10, 10], [0, 0, 10, 5], [100, 0, 10, 10]]
    one = score(predicted, truth)
    np.testing.assert_allclose(one.overlap, [1, 1 / 3, 1 / 2, 0])
    np.testing.assert_allclose(one.error, [0, 5, 2.5, 100])
    np.testing.assert_array_equal(one.success, [0.75] * 7 + [0.5] * 3 + [0.25] * 10 + [0])  # > is strict at 0.5
    np.testing.assert_array_equal(one.precision, [0.25] * 3 + [0.5] * 2 + [0.75] * 46)  # <= is not at 5
    np.testing.assert_array_equal(one.normalised[[0, 24, 25, 49, 50]], [0.25, 0.25, 0.5, 0.5, 0.75])
    total = metrics.summary([one])
    assert total["auc"] == pytest.approx((0.75 * 7 + 0.5 * 3 + 0.25 * 10) / 21)
    assert (total["op50"], total["op75"], total["p5"], total["p20"], total["np20"]) == (0.25, 0.25, 0.75, 0.75, 0.25)
    assert total["ao"] == pytest.approx((1 / 3 + 1 / 2) / 3)  # GOT-10k leaves the given frame out
    assert (total["sr50"], total["sr75"]) == (0, 0)


def test_datasets_are_means_over_sequences_but_ao_over_frames():
    good = score([[0, 0, 8, 8]] * 3, [[0, 0, 8, 8]] * 3)
    bad = score([[0, 0, 8, 8]] + [[50, 50, 8, 8]] * 9, [[0, 0, 8, 8]] * 10)
    total = metrics.summary([good, bad])
    assert total["auc"] == pytest.approx((20 / 21 + 2 / 21) / 2)
    assert total["ao"] == pytest.approx(2 / 11)


def test_perfect_tracker_and_what_truncation_costs():
    generator = np.random.default_rng(0)
    losses = {}
    for side in (8, 32):
        truth = random_boxes(generator, 4000)
        truth[:, 2:] = side * generator.uniform(0.8, 1.25, (4000, 2))
        for name, rounding in metrics.ROUNDINGS.items():
            losses[side, name] = metrics.summary([score(rounding(truth), truth)])["auc"]
    assert losses[8, "none"] == losses[32, "none"] == pytest.approx(20 / 21)
    assert losses[8, "trunc"] == pytest.approx(0.665, abs=0.02)  # spec tracker, section 0: mean side 8
    assert losses[32, "trunc"] > 0.85
    assert losses[8, "trunc"] < losses[8, "round"] < losses[8, "none"]


def test_absent_predictions_are_misses():
    one = score([[0, 0, 8, 8], NAN, NAN], [[0, 0, 8, 8]] * 3)
    np.testing.assert_array_equal(one.overlap, [1, 0, 0])
    assert one.precision[50] == one.normalised[50] == pytest.approx(1 / 3)


def test_clean_leaves_absent_frames_out():
    truth = [[0, 0, 8, 8], NAN, [0, 0, 8, 8], [0, 0, 0, 8], [0, 0, 8, 8]]
    predicted = [[0, 0, 8, 8]] * 4 + [[90, 90, 8, 8]]
    one = score(predicted, truth, visible=[True, False, False, True, True])
    assert len(one.overlap) == 2
    assert one.success[10] == 0.5 and one.precision[20] == 0.5 and one.normalised[20] == 0.5


def test_sequence_without_any_target_is_not_averaged():
    with np.errstate(all="raise"):
        never = score([[0, 0, 8, 8]] * 3, [NAN] * 3)
        assert np.isnan(never.success).all() and np.isnan(metrics.summary([never])["auc"])
        assert np.isnan(metrics.summary([never])["ao"])
        perfect = score([[0, 0, 8, 8]] * 3, [[0, 0, 8, 8]] * 3)
        assert metrics.summary([never, perfect])["auc"] == pytest.approx(20 / 21)
        assert [row["frames"] for row in metrics.by_size([never, perfect])] == [0, 3, 0, 0]


@pytest.mark.parametrize("protocol", ["stark", "pytracking"])
@pytest.mark.parametrize(
    ("dataset", "precision", "normalised"), [("otb", 0.5, 1), ("uav", 1, 1), ("UAVDark135", 1, 1), ("lasot", 0.5, 0.5)]
)
def test_what_absent_frames_count_elsewhere(protocol, dataset, precision, normalised):
    truth = [[5, 5, 8, 8]] * 2 + [NAN, [5, 5, 0, 8]]
    one = score([[5, 5, 8, 8]] * 4, truth, protocol=protocol, dataset=dataset)
    assert one.success[0] == 0.5  # always a miss
    assert (one.precision[0], one.normalised[0]) == (precision, normalised)


def test_pytracking_calls_a_target_at_the_border_absent():
    truth, predicted = [[5, 5, 8, 8], [0, 5, 8, 8], [5, -1, 8, 8]], [[5, 5, 8, 8]] * 3
    shares = [score(predicted, truth, protocol=name).success[0] for name in metrics.PROTOCOLS]
    np.testing.assert_allclose(shares, [1, 1, 1 / 3])


def test_zero_sized_predictions_are_held_only_outside_clean():
    truth = [[5, 5, 8, 8]] * 3
    predicted = [[5, 5, 8, 8], [5, 5, 0, 0], [5, 5, 0, 8]]
    assert score(predicted, truth).success[0] == pytest.approx(1 / 3)
    assert score(predicted, truth, protocol="stark").success[0] == 1


def test_size_buckets():
    truth = [[50, 50, side, side] for side in (4, 7.999, 8, 15, 16, 31, 32, 100)]
    predicted = [[50, 50, 4, 4]] + [[50 + 6, 50, box[2], box[3]] for box in truth[1:]]
    rows = metrics.by_size([score(predicted, truth)])
    assert [row["frames"] for row in rows] == [2, 2, 2, 2]
    assert [(row["from"], row["below"]) for row in rows] == [(0, 8), (8, 16), (16, 32), (32, None)]
    assert rows[0]["p5"] == 0.5 and rows[3]["p5"] == 0 and rows[3]["p20"] == 1


def test_brightness_is_of_the_brightest_channel():
    frames = [np.full((8, 8, 3), (0, 51, 0), np.uint8)] * 5 + [np.zeros((8, 8, 3), np.uint8)] * 5
    assert metrics.brightness(frames, 10) == pytest.approx(0.1)


def test_every_frame_needs_a_prediction():
    with pytest.raises(ValueError, match="2 predictions for 3 frames"):
        score([[0, 0, 8, 8]] * 2, [[0, 0, 8, 8]] * 3)


coordinates = st.floats(-1e5, 1e5) | st.just(0.0)


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(*[coordinates] * 8, st.booleans(), st.booleans()), min_size=1, max_size=6),
    protocol=st.sampled_from(metrics.PROTOCOLS),
    dataset=st.sampled_from(["", "uav", "lasot"]),
)
def test_any_boxes_give_shares(rows, protocol, dataset):
    predicted, truth = np.array([row[:4] for row in rows]), np.array([row[4:8] for row in rows])
    predicted[[row[9] for row in rows]] = np.nan
    one = metrics.score(predicted, truth, [row[8] for row in rows], protocol, dataset)
    for curve in (one.success, one.precision, one.normalised):
        assert np.isnan(curve).all() or ((curve >= 0) & (curve <= 1)).all()
    assert (np.diff(one.success) <= 0).all() or np.isnan(one.success).all()


def test_frame_attributes():
    truth = [[50, 50, 8, 8]] * 4 + [NAN]
    first = score([[50, 50, 8, 8], [50, 50, 8, 8], [90, 50, 8, 8], [60, 50, 8, 8], [0, 0, 8, 8]], truth)
    second = score([[50, 50, 8, 8]] * 2, truth[:2])
    flags = [
        {"dark": np.array([0, 1, 1, 0, 1], bool), "blur": np.array([0, 0, 0, 1, 0], bool)},
        {"dark": np.array([0, 1], bool)},
    ]
    blur, dark = metrics.by_frame_attribute([first, second], flags)
    assert blur == {"attribute": "blur", "frames": 1, "auc": 0, "op50": 0, "p20": 1, "p5": 0}
    assert (dark["attribute"], dark["frames"]) == ("dark", 3)  # the last flag of the first is where nothing is visible
    assert dark["auc"] == pytest.approx(20 / 21 * 2 / 3) and dark["op50"] == dark["p20"] == dark["p5"] == 2 / 3
    assert metrics.by_frame_attribute([second], [{}]) == []
    (never,) = metrics.by_frame_attribute([second], [{"dark": np.zeros(2, bool)}])
    assert never["frames"] == 0 and np.isnan(never["auc"])


def test_what_a_frame_is():
    """Frame values are of visible frames, whose numbers go with them."""
    truth = [[0, 0, 10, 20], NAN, [0, 0, 10, 20]]
    one = score([[0, 0, 10, 20], [0, 0, 1, 1], [3, 8, 10, 20]], truth)
    np.testing.assert_array_equal(one.frame, [0, 2])
    np.testing.assert_allclose(one.normalised_error, [0, 0.5])  # 3 / 10 and 8 / 20


def test_trackingnet_by_hand():
    truth = [[0, 0, 10, 10]] * 4
    # given; rounds to the truth; overlap 1/3, 5 px or 0.5 away; nowhere near
    found = metrics.trackingnet(
        [[0, 0, 10, 10], [0.4, 0, 10.4, 9.6], [5, 0, 10, 10], [100, 0, 10, 10]], truth, [True] * 4
    )
    # above 0, 0.05 ... 0.3: three of four, then two until 0.95, none above 1; the trapezoid from 0.95 to 1 is half
    assert found["success"] == pytest.approx((0.75 * 6 + 0.625 + 0.5 * 12 + 0.25) / 20)
    # 0 and 2.5 px: two of four; from 5 px on three
    assert found["precision"] == pytest.approx((0.5 + 0.625 + 0.75 * 18) / 20)
    # 0 to 0.475: two of four; at 0.5 three
    assert found["normalised_precision"] == pytest.approx((0.5 * 19 + 0.625) / 20)
    perfect = metrics.trackingnet(truth, truth, [True] * 4)
    assert perfect == pytest.approx({"success": 0.975, "precision": 1, "normalised_precision": 1})
    assert np.isnan(metrics.trackingnet(truth, [NAN] * 4, [False] * 4)["success"])


def test_by_night_a_dataset_keeps_its_rules():
    boxes = np.tile([5.0, 5, 9, 9], (4, 1))
    visible = np.array([True, True, False, False])
    for dataset in ("uav123", "lasot", "got10k_val"):
        day, night = (metrics.score(boxes, boxes, visible, "stark", name) for name in (dataset, f"{dataset}@heavy"))
        assert np.array_equal(day.precision, night.precision) and np.array_equal(day.normalised, night.normalised)
