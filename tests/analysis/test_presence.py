"""Precision, recall and F of trackers that may say absent: by hand, and what must hold for any answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.test.analysis.presence import THRESHOLDS, summary

BOX, OFF, NAN = [10.0, 10, 8, 8], [50.0, 50, 8, 8], [np.nan] * 4
HALF = [10.0, 10, 8, 4]  # overlap of one half with BOX


def answers(predicted, truth, confidence=None):
    truth = np.array(truth)
    return np.array(predicted), truth, ~np.isnan(truth[:, 0]), confidence


def test_by_hand_without_confidences():
    # the first frame is given; then a hit, a box where there is no target, absent and said so, missed, half a hit
    truth = [BOX, BOX, NAN, NAN, BOX, BOX]
    found = summary([answers([BOX, BOX, OFF, NAN, NAN, HALF], truth)])
    assert found["precision"] == pytest.approx((1 + 0 + 0.5) / 3)  # of the three boxes given
    assert found["recall"] == pytest.approx((1 + 0.5) / 3)  # of the three frames with a target
    assert found["f"] == pytest.approx(0.5)
    assert found["absent_frames"] == 2 and found["false_alarms"] == 0.5
    assert found["not_reported"] == pytest.approx(1 / 3) and np.isnan(found["threshold"])


def test_the_threshold_with_the_best_f_is_taken():
    truth = [BOX, BOX, NAN, BOX, NAN]
    confidence = np.array([1.0, 0.9, 0.2, 0.6, 0.3])
    found = summary([answers([BOX, BOX, OFF, BOX, OFF], truth, confidence)])
    assert found == {
        "precision": 1,
        "recall": 1,
        "f": 1,
        "threshold": 0.6,
        "absent_frames": 2,
        "false_alarms": 0,
        "not_reported": 0,
    }
    # the same boxes without confidences: two of four are on nothing
    found = summary([answers([BOX, BOX, OFF, BOX, OFF], truth)])
    assert (found["precision"], found["recall"], found["false_alarms"]) == (0.5, 1, 1)
    assert found["f"] == pytest.approx(2 / 3)


def test_means_are_over_sequences_before_f():
    good = answers([BOX, BOX, NAN], [BOX, BOX, NAN])  # P 1, R 1
    bad = answers([BOX] + [OFF] * 9, [BOX] * 10)  # P 0, R 0
    found = summary([good, bad])
    assert (found["precision"], found["recall"], found["f"]) == (0.5, 0.5, 0.5)


def test_a_confidence_missing_anywhere_leaves_all_out():
    truth = [BOX, BOX, NAN]
    with_confidence = answers([BOX, BOX, OFF], truth, np.array([1, 0.9, 0.1]))
    assert summary([with_confidence])["f"] == 1
    assert summary([with_confidence, answers([BOX, BOX, OFF], truth)])["f"] == pytest.approx(2 / 3)


def test_only_where_a_target_is_absent():
    assert summary([]) is None
    assert summary([answers([BOX, BOX], [BOX, BOX])]) is None
    assert summary([answers([BOX], [BOX])]) is None
    assert summary([answers([BOX, BOX], [NAN, BOX])]) is None  # the first frame does not count


def test_saying_nothing():
    silent = summary([answers([BOX, NAN, NAN], [BOX, BOX, NAN])])
    assert (silent["precision"], silent["recall"], silent["f"]) == (1, 0, 0)
    assert silent["false_alarms"] == 0 and silent["not_reported"] == 1
    never = summary([answers([BOX, OFF, NAN], [BOX, NAN, NAN])])
    assert np.isnan([never["recall"], never["f"], never["not_reported"]]).all() and never["false_alarms"] == 0.5


def test_many_frames_are_tried_at_a_hundred_thresholds():
    """Against the definition, frame by frame, at every threshold."""
    generator = np.random.default_rng(0)
    count = 5000
    truth = np.tile(BOX, (count, 1))
    truth[generator.random(count) < 0.3] = np.nan
    predicted = np.where(np.isnan(truth), OFF, BOX) + [0, 0, 0, 1] * generator.random((count, 1))
    confidence = generator.random(count) - 0.3 * np.isnan(truth[:, 0])
    found = summary([answers(predicted, truth, confidence)])
    best = 0
    overlap = np.where(np.isnan(truth[1:, 0]), 0, 8 / predicted[1:, 3])
    for threshold in np.quantile(confidence[1:], np.linspace(0, 1, THRESHOLDS), method="nearest"):
        used = confidence[1:] >= threshold
        precision, recall = overlap[used].mean(), overlap[used].sum() / (~np.isnan(truth[1:, 0])).sum()
        best = max(best, 2 * precision * recall / (precision + recall))
    assert found["f"] == pytest.approx(best)


kinds = st.sampled_from([BOX, HALF, OFF, NAN])


@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(st.lists(st.tuples(kinds, kinds, st.floats(-5, 5)), min_size=1, max_size=8), max_size=4),
    confident=st.booleans(),
)
def test_any_answers_give_shares(rows, confident):
    found = summary(
        [
            answers(
                [row[0] for row in one],
                [row[1] for row in one],
                np.array([row[2] for row in one]) if confident else None,
            )
            for one in rows
        ]
    )
    if found is None:
        assert not any(np.isnan(row[1][0]) for one in rows for row in one[1:])
        return
    for name in ("precision", "recall", "f", "false_alarms", "not_reported"):
        assert np.isnan(found[name]) or 0 <= found[name] <= 1
