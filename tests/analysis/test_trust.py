"""Reliability of a tracker's score: against counts by hand and the definition of AUROC."""

import numpy as np
import pytest

from lib.test.analysis.trust import auroc, reliability


def answer(scores, held, visible=None):
    """A sequence in which the tracker holds the target in some frames; the first frame is given."""
    count = len(scores)
    truth = np.tile([10.0, 10, 8, 8], (count + 1, 1))
    boxes = truth.copy()
    boxes[1:][~np.asarray(held)] += (100, 0, 0, 0)
    seen = np.ones(count + 1, bool) if visible is None else np.array([True, *visible])
    return boxes, truth, seen, np.array([1.0, *scores])


def test_auroc_is_the_chance_that_a_held_frame_scores_higher():
    random = np.random.default_rng(0)
    score, positive = random.integers(0, 6, 60) / 5, random.random(60) < 0.4
    above, equal = (
        (score[positive][:, None] > score[~positive]).mean(),
        (score[positive][:, None] == score[~positive]).mean(),
    )
    assert auroc(score, positive) == pytest.approx(above + equal / 2)
    assert auroc(np.ones(4), np.array([True, False, True, False])) == 0.5
    assert np.isnan(auroc(np.ones(4), np.ones(4, bool)))


def test_bins_and_threshold():
    found = reliability([answer([0.95, 0.92, 0.91, 0.25, 0.15, 0.93], [True, True, False, False, False, True],
                                [True, True, True, True, False, True])])  # fmt: skip
    assert found["bins"] == [
        {"low": 0.1, "high": 0.2, "frames": 1, "held": 0, "wrong": 0, "absent": 1},
        {"low": 0.2, "high": 0.3, "frames": 1, "held": 0, "wrong": 1, "absent": 0},
        {"low": 0.9, "high": 1.0, "frames": 4, "held": 0.75, "wrong": 0.25, "absent": 0},
    ]
    assert found["auroc"] == 1 and found["threshold"] == pytest.approx(0.915) and found["present"] == 0.5


def test_without_scores_and_a_score_of_one():
    boxes, truth, seen, _ = answer([0.5], [True])
    assert reliability([(boxes, truth, seen, None)]) is None
    found = reliability([answer([1.0, 1.0], [True, True])])
    assert [one["frames"] for one in found["bins"]] == [2] and np.isnan(found["auroc"])


def test_the_command(tmp_path, command, capsys):
    from lib.data import benchmarks
    from lib.test.evaluation import results

    run = results.Run(results.results_root(tmp_path), "lunar", "x")
    sequences = benchmarks.load("lunar_demo")
    for number, sequence in enumerate(sequences):
        boxes, scores = sequence.boxes_xywh.copy(), np.full(len(sequence), 0.9)
        boxes[~np.isfinite(boxes).all(axis=1)] = 1
        if number == 0:
            boxes[5:, :2] += 500
            scores[5:] = 0.1
        results.write(run, "lunar_demo", sequence.name, boxes, scores=scores)
    words = ["trust.py", "--results", tmp_path, "--dataset", "lunar_demo"]
    assert command(*words) == 0
    out = capsys.readouterr().out
    assert "0.9-1.0" in out and "0.1-0.2" in out and "AUROC" in out
    for file in tmp_path.rglob("*_score.txt"):
        file.unlink()
    assert command(*words) == 2 and "no score" in capsys.readouterr().out
