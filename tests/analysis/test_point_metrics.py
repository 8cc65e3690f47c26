"""Scores of points: those of TrackNetV3, WASB and the port of TrackNet V1, and identities between them."""

import numpy as np
import pytest
import torch

from lib.test.analysis import point_metrics
from lib.test.analysis.point_metrics import RULES, classify, from_counts, score_points

NONE = (np.nan, np.nan)
HD = (1280, 720)


def load(shared_data, name):
    path = shared_data / "parity" / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    return torch.load(path, weights_only=True)


def counts(scores):
    return [scores.tp, scores.tn, scores.fp1, scores.fp2, scores.fn]


def test_frames_of_tracknetv3(shared_data):
    data = load(shared_data, "tracknetv3.pt")["evaluate"]
    found, true = (np.array(data[key]) for key in ("pred", "gt"))  # cells of 512x288
    assert classify(found, true, (512, 288), "tracknetv3").tolist() == data["types"]
    scores = score_points(found, true, (512, 288), "tracknetv3")
    assert counts(scores) == data["TP_TN_FP1_FP2_FN"]
    for name in ("accuracy", "precision", "recall", "f1", "miss_rate"):
        assert getattr(scores, name) == pytest.approx(data[name], abs=1e-12), name


def test_scores_of_counts(shared_data):
    for case in load(shared_data, "tracknetv3.pt")["metric_cases"]:
        scores = from_counts(*case["counts"])
        for name in ("accuracy", "precision", "recall", "f1", "miss_rate"):
            assert getattr(scores, name) == pytest.approx(case[name], abs=1e-12)


def test_frames_of_wasb(shared_data):
    data = load(shared_data, "wasb.pt")["evaluate"]
    found = np.array([xy for xy, *_ in data["cases"]])
    confidences = np.array([score for _, _, score, *_ in data["cases"]])
    true = np.array([xy if seen else NONE for *_, xy, seen in data["cases"]])
    assert classify(found, true, HD, "4@original").tolist() == data["types"]
    scores = score_points(found, true, HD, "4@original", confidences)
    assert counts(scores) == data["TP_TN_FP1_FP2_FN"]
    for name in ("accuracy", "precision", "recall", "f1", "rmse", "ap"):
        assert getattr(scores, name) == pytest.approx(data[name], abs=1e-9), name


def test_one_error_under_the_rules_of_wasb_and_tracknetv3(shared_data):
    for case in load(shared_data, "wasb.pt")["same_error_both_rules"]:
        for x in (640.0, 641.0, 642.5):  # which error is the largest hit depends on where the truth's cell begins
            wasb = classify(np.array([[x + case["error_px"], 360]]), np.array([[x, 360]]), HD, "4@original")
            assert wasb.tolist() == [case["wasb"]]
        found = np.array([[640 + case["error_px"], 360]])
        assert classify(found, np.array([[640, 360]]), HD, "tracknetv3").tolist() == [case["tracknetv3"]]


def test_frames_of_the_port_of_tracknet_v1(shared_data):
    data = load(shared_data, "tracknet_v1_port.pt")["evaluate"]
    found = np.array([NONE if x is None else (x, y) for x, y in data["pred"]])
    true = np.array([(x, y) if visibility else NONE for x, y, visibility in data["gt_x_y_visibility"]])
    scores = score_points(found, true, HD, "tracknetv1")
    assert (
        data["counts_line"] == f"tp = {scores.tp}, tn = {scores.tn}, fp = {scores.fp1 + scores.fp2}, fn = {scores.fn}"
    )
    assert scores.precision == pytest.approx(data["precision"])
    assert scores.strict_recall == pytest.approx(data["recall"])
    assert scores.strict_f1 == pytest.approx(data["f1"])


def test_frames_of_tracknetv3_from_maps(shared_data):
    """The fixture's maps are 64x48; its cells are moved to the same border of a map of 512x288."""
    data = load(shared_data, "tracknetv3.pt")["evaluate_maps"]
    for (true, found), kind in zip(data["cells_gt_pred"], data["types"], strict=True):
        if found == [63, 47]:
            true = found = [511, 287]
        elif found == [1, 1]:
            continue  # here the found disc is read back as well, which a point cannot say
        points = [np.array([xy if xy else NONE], float) for xy in (found, true)]
        assert classify(*points, (512, 288), "tracknetv3_maps").tolist() == [kind], (true, found)


@pytest.mark.parametrize("rule", RULES)
def test_a_perfect_result_is_perfect_under_every_rule(rule):
    true = np.random.default_rng(0).uniform((30, 30), (1250, 690), (60, 2))
    true[::7] = np.nan
    scores = score_points(true, true, HD, rule, np.ones(60))
    assert scores.accuracy == scores.precision == scores.recall == scores.strict_recall == scores.f1 == 1
    assert scores.ap == scores.strict_ap == 1 and scores.rmse == 0 and scores.miss_rate == 0


@pytest.mark.parametrize("rule", RULES)
def test_identities(rule):
    rng = np.random.default_rng(5)
    true = rng.uniform((30, 30), (1250, 690), (400, 2))
    found = true + rng.normal(0, 5, true.shape)
    true[rng.random(400) < 0.2], found[rng.random(400) < 0.2] = np.nan, np.nan
    scores = score_points(found, true, HD, rule, rng.random(400))
    assert sum(counts(scores)) == 400
    assert scores.tp + scores.fp1 + scores.fn == np.isfinite(true[:, 0]).sum()
    assert scores.recall + scores.miss_rate == pytest.approx(1)
    assert scores.strict_recall <= scores.recall and scores.strict_f1 <= scores.f1
    assert scores.strict_ap <= scores.strict_recall  # precision is at most 1


def test_the_tolerance_belongs_to_a_frame_of_a_named_size():
    """4 cells at 512x288 are 15 px of 1920x1080, and the limit itself is a hit there alone."""
    true = np.array([[960.0, 540.0]])
    for rule, limit, closed in (("4@512x288", 15, True), ("4@original", 4, False), ("5@1280x720", 7.5, False)):
        for shift, hit in ((limit - 0.01, True), (limit, closed), (limit + 0.01, False)):
            kind = classify(true + (shift, 0), true, (1920, 1080), rule)
            assert (kind[0] == "TP") == hit, (rule, shift)


def test_average_precision_over_all_seen_balls():
    kinds = np.array(["TP", "FP1", "TP", "FN"])
    confidences = np.array([0.9, 0.8, 0.7, -np.inf])
    assert point_metrics.average_precision(kinds, confidences) == pytest.approx((1 + 2 / 3) / 4)
    assert point_metrics.released_average_precision(kinds, confidences) == pytest.approx((1 + 2 / 3) / 3)
