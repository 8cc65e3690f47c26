"""The HTML report and the figures: what is new of scoring is shown, nothing is fetched, losses are pictured."""

import re

import numpy as np
import pytest

from lib.data.sequence import Sequence
from lib.test.analysis import pictures, plots, report, scoring
from lib.test.evaluation import results
from lib.test.evaluation.results import Run
from tests.analysis.pages import check_page

FRAMES = 40


class Frames(list):
    fps = 25.0


def sequence(name, origin=0.0, hidden=()):
    """A target of 8 px that walks to the right, 2 px a frame, on a dark ramp."""
    boxes = np.array([[20.0 + 2 * index, 30, 8, 8] for index in range(FRAMES)])
    boxes[list(hidden)] = np.nan
    ramp = np.broadcast_to(np.arange(160, dtype=np.uint8)[None, :, None] // 4, (90, 160, 3))

    def opener():
        return Frames(ramp.copy() for _ in range(FRAMES))

    return Sequence(name, "d", boxes, opener, attributes=("fast_motion", "night"), origin=origin)


@pytest.fixture
def made(tmp_path):
    """Two trackers on three sequences: `good` is exact, `bad` stays where it is from frame 10: lost from 14."""
    sequences = [sequence("walk", hidden=range(30, 33)), sequence("matlab", origin=1.0), sequence("<third>")]
    runs = {"good": Run(tmp_path, "t", "good"), "bad & late": Run(tmp_path, "t", "bad")}
    for one in sequences:
        exact = np.array([[20.0 + 2 * index, 30, 8, 8] for index in range(FRAMES)])
        stays = exact.copy()
        stays[10:] = exact[10]
        results.write(runs["good"], "d", one.name, one.to_file(exact))
        results.write(runs["bad & late"], "d", one.name, one.to_file(stays))
    return scoring.evaluate(runs, "d", sequences), sequences, runs


def test_losses_are_pictured_where_they_are(made):
    text = report.html([made])
    check_page(text)
    # 2 px a frame: what the box of frame 10 and the target share is 8, 6, 4 ... px wide
    overlap = [max(8 - 2 * step, 0) / (8 + 2 * step) for step in range(6)]
    start = 10 + next(step for step, value in enumerate(overlap) if value < 0.1)
    assert f"lost from frame {start}, to the end" in text and f"lost from frame {start} to the end" in text
    assert f"{start - 1}, before" in text and f"{start}, lost" in text and f"{start + 9}, 10th lost" in text
    assert "bad &amp; late" in text and "bad & late" not in text and "&lt;third&gt;" in text
    assert text.count('<div class="film">') == 2  # of three sequences one is shown as easy
    assert 'class="absent" x="30" y="0" width="3"' in text and "never lost" in text
    assert len(text) < 1_000_000


def test_pictures_are_in_pixels_whatever_the_datasets_base(made):
    """A result of a MATLAB-born dataset is drawn where the same one of another is."""
    _, sequences, runs = made
    drawn = {}
    for one in sequences:
        single = scoring.evaluate({"good": runs["good"]}, "d", [one])
        drawn[one.name] = re.findall(r"<rect x=[^>]+>", pictures.html(single, [one], runs))
    assert len(drawn["matlab"]) >= 4 and drawn["matlab"] == drawn["<third>"]


def test_what_scoring_adds_is_shown(made):
    one, sequences, runs = made
    one["comparisons"] = [
        {
            "first": "good",
            "second": "bad & late",
            "score": "auc",
            "difference": 0.31,
            "low": 0.2,
            "high": 0.4,
            "p": 0.01,
            "sequences": 3,
        }
    ]
    for tracker in one["trackers"]:
        tracker["intervals"] = {"auc": [0.5, 0.75]}
        tracker["rounded"] = {"trunc": tracker["scores"]}
        group = {"auc": 0.5, "p5": 0.5, "p20": 0.5, "np_auc": 0.5, "op50": 0.5}
        tracker["by_attribute"] = [
            {"attribute": word, "sequences": 2, "derived": word == "tiny", **group}
            for word in ("night", "blur", "tiny")
        ]
        tracker["by_frame_attribute"] = [{"attribute": "full_occlusion", "frames": 9, **group}]
        tracker["presence"] = {
            "precision": 0.5,
            "recall": 0.4,
            "f": 0.44,
            "threshold": 0.5,
            "absent_frames": 3,
            "false_alarms": 1.0,
            "not_reported": 0.0,
        }
    text = report.html([(one, sequences, runs)])
    check_page(text)
    for words in (
        "good is ahead of bad &amp; late by 31.0 points of AUC on 3 sequences, 95 % interval +20.0 to +40.0, p = 0.01: "
        "real.",
        "[50.0, 75.0]",
        "AUC and its 95 % interval",
        "Scores if boxes are whole pixels",
        "Frames without the target",
        "By attribute of the frame: AUC",
        "<td>full occlusion</td>",
        "<td>tiny *</td>",
        "derived from boxes or frames, not annotated",
        "least and greatest beside the name",
    ):
        assert words in text, words


def test_without_what_scoring_may_add(made):
    """Reports of before, and of one tracker on one sequence, are shown as they are."""
    one, sequences, runs = made
    one.pop("comparisons", None)
    for tracker in one["trackers"]:
        for key in ("intervals", "rounded", "presence", "by_frame_attribute"):
            tracker.pop(key, None)
    text = report.html([(one, sequences, runs)])
    check_page(text)
    assert "Is the difference real?" not in text and "95 % interval" not in text


def test_several_datasets_on_one_page(made):
    text = report.html([made, made])
    check_page(text)
    assert 'href="#d0"' in text and 'id="d1"' in text and "All datasets" in text


def test_colours_are_those_of_the_order_in_which_trackers_were_named(made):
    """Not of their rank, so that a tracker keeps its colour from dataset to dataset."""
    one, sequences, runs = made
    assert [tracker["label"] for tracker in one["trackers"]] == ["good", "bad & late"]
    text = report.html([(one, sequences, dict(reversed(runs.items())))])
    assert f'background:{plots.COLOURS[1]}"></i>good' in text and f'background:{plots.COLOURS[0]}"></i>bad' in text
    assert f'background:{plots.COLOURS[0]}"></i>good' not in text
    figure = plots.curves(plots.placed(one, ["bad & late", "x", "good"]), "success")
    assert [line.get_color() for line in figure.axes[0].lines] == [plots.COLOURS[2], plots.COLOURS[0]]


@pytest.mark.parametrize(("trackers", "attributes"), [(2, 3), (8, 14), (11, 20)])
def test_radar(made, trackers, attributes):
    one, *_ = made
    base, generator = one["trackers"][0], np.random.default_rng(0)
    rows = [
        [
            {"attribute": f"word_{k}", "sequences": 30 - k, "auc": float(generator.uniform(0.1, 0.9))}
            for k in range(attributes)
        ]
        for _ in range(trackers)
    ]
    one["trackers"] = [{**base, "label": f"t{i}", "by_attribute": row} for i, row in enumerate(rows)]
    figure = plots.radar(one)
    axes = figure.axes[0]
    shown = min(attributes, 14)
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == shown and len(axes.get_legend().get_texts()) == min(trackers, 8)
    values = [100 * row[0]["auc"] for row in rows[:8]]
    assert texts[0] == f"word 0\n{min(values):.1f}\N{EN DASH}{max(values):.1f}"
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    overlapping = [(i, j) for i in range(shown) for j in range(i) if boxes[i].overlaps(boxes[j])]
    assert not overlapping


def test_radar_needs_three_attributes_and_a_complete_tracker(made):
    one, *_ = made
    row = {"sequences": 2, "auc": 0.5}
    for tracker in one["trackers"]:
        tracker["by_attribute"] = [{"attribute": word, **row} for word in "ab"]
    assert plots.radar(one) is None
    for tracker in one["trackers"]:
        tracker["by_attribute"] = [{"attribute": word, **row} for word in "abc"]
    assert plots.radar(one) is not None
    one["trackers"][1]["by_attribute"][1]["auc"] = float("nan")  # leaves two axes
    assert plots.radar(one) is None
    one["trackers"][1]["missing"] = ["walk"]
    assert plots.radar(one) is not None
    one["trackers"][0]["missing"] = ["walk"]
    assert plots.radar(one) is None


def test_same_report_same_bytes(made, tmp_path, monkeypatch):
    one, *_ = made
    assert report.html([made]) == report.html([made])
    monkeypatch.setattr(plots, "KINDS", {})  # the curves' bytes are compared in test_analysis.py
    for tracker in one["trackers"]:
        tracker["intervals"] = {"auc": [0.5, 0.75]}
        tracker["by_attribute"] = [{"attribute": word, "sequences": 2, "auc": 0.5} for word in "abc"]
    folders = [tmp_path / "a", tmp_path / "b"]
    written = [{path.name: path.read_bytes() for path in plots.save(one, folder)} for folder in folders]
    names = {f"d_{kind}.{suffix}" for kind in ("attributes", "radar", "intervals") for suffix in ("png", "pdf")}
    assert set(written[0]) == names and written[0] == written[1]
