"""Datasets of points from the command line: tracked without a first box, written, resumed, and scored by every rule."""

import csv
import json
import math

import cv2
import numpy as np
import pytest
import torch

from lib import config
from lib.api import evaluate, load_tracker
from lib.contracts import ClipTracker, PointResult
from lib.data import benchmarks
from lib.data.heatmap import gaussian
from lib.data.sequence import Sequence, squares
from lib.errors import UserError
from lib.models.ball.build import build_network
from lib.models.parts.weights import save_weights
from lib.test.analysis import point_metrics, scoring
from lib.test.evaluation import results, runner
from lib.test.evaluation.results import Run

SIZE, FRAMES = (128, 96), 6
SMALL = ("DATA.SIZE=[64,32]", "DATA.CROP=[64,32]", "MODEL.WIDTHS=[4,4,4,4,4]", "MODEL.DEPTHS=[1,1,1,1,1]",
         "MODEL.FUSED=4")  # fmt: skip
NAN = (math.nan, math.nan)


@pytest.fixture
def dataset(tmp_path):
    """Two rallies in the layout of shuttlecocks; the ball is not seen in the first frame. Returns the data root."""
    for number in (1, 2):
        place = tmp_path / "data" / "shuttlecock" / f"match{number}"
        (place / "frame" / "1_01_00").mkdir(parents=True)
        (place / "csv").mkdir()
        rows = ["Frame,Visibility,X,Y"]
        for index in range(FRAMES):
            point = (20.0 + 10 * index, 30.0 + number) if index else None
            heat = 40 + 200 * gaussian(point, SIZE, 3.0)
            image = np.repeat(heat.astype(np.uint8)[..., None], 3, axis=2)
            assert cv2.imwrite(str(place / "frame" / "1_01_00" / f"{index}.png"), image)
            rows.append(f"{index},1,{point[0]},{point[1]}" if point else f"{index},0,0,0")
        (place / "csv" / "1_01_00_ball.csv").write_text("\n".join(rows))
    return tmp_path / "data"


@pytest.fixture
def track(dataset, tmp_path, command):
    """tracking/test.py of a small random network on the dataset: track(*flags) -> exit code."""
    torch.manual_seed(0)
    settings = config.load("mmfnet", "baseline", SMALL)
    save_weights(tmp_path / "w.safetensors", build_network(settings).state_dict())
    words = [word for text in (*SMALL, "TEST.THRESHOLD=0.01") for word in ("--set", text)]
    place = ("--dataset", "shuttlecock", "--data_root", dataset, "--save_dir", tmp_path / "out")
    weights = ("--checkpoint", tmp_path / "w.safetensors", "--device", "cpu")
    return lambda *flags: command("test.py", "mmfnet", "baseline", *place, *weights, *words, *flags)


def test_from_tracking_to_the_table(track, dataset, tmp_path, command, capsys):
    assert track() == 0
    assert "look-ahead: a frame is answered when the tracker has seen 2 frames after it" in capsys.readouterr().out
    folder = tmp_path / "out/test/tracking_results/mmfnet/baseline/shuttlecock"
    files = sorted(path.name for path in folder.iterdir() if not path.name.startswith(("_", ".")))
    names = ["match1_1_01_00", "match2_1_01_00"]
    assert files == sorted(name + end for name in names for end in (".csv", "_time.txt"))
    with (folder / f"{names[0]}.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["Frame"] for row in rows] == list(map(str, range(FRAMES)))
    assert set(rows[0]) == {"Frame", "Visibility", "X", "Y", "Score"}

    before = (folder / f"{names[0]}.csv").stat().st_mtime_ns
    assert track() == 0 and "2 were there already" in capsys.readouterr().out
    assert (folder / f"{names[0]}.csv").stat().st_mtime_ns == before
    assert track("--set", "TEST.GATE=5") == 2
    assert "results of another run: TEST.GATE 300.0 then, 5.0 now" in capsys.readouterr().err
    assert track("--set", "TEST.GATE=5", "--overwrite") == 0
    assert track("--set", "TEST.GATE=5", "--overwrite", "--batch", "2") == 2
    assert "--batch: this tracker takes one video at a time" in capsys.readouterr().err

    place = ("--dataset", "shuttlecock", "--data_root", dataset)
    assert command("test.py", "identity", "baseline", *place, "--save_dir", tmp_path / "out") == 0
    capsys.readouterr()
    report = tmp_path / "r.json"
    asked = ("--results", tmp_path / "out", "--data_root", dataset, "--json", report)
    page = ("--html", tmp_path / "r.html", "--plots", tmp_path / "plots", "--per_sequence")
    assert command("analysis_results.py", *asked, *page) == 0
    shown = capsys.readouterr().out
    assert "Points under every rule" in (tmp_path / "r.html").read_text()
    assert all(rule in shown for rule in point_metrics.RULES) and "AUC" not in shown
    trackers = {one["label"]: one for one in json.loads(report.read_text())["datasets"][0]["trackers"]}
    still = trackers["identity baseline"]["points"]["4@original"]
    assert (still["tp"], still["fp1"], still["fn"], still["tn"]) == (2, 8, 0, 2), (
        "a box is its middle, from where it starts"
    )
    asked = (*asked, "--trackers", "identity:baseline", "--absent_thr", "1.5")
    assert command("analysis_results.py", *asked) == 0
    (one,) = json.loads(report.read_text())["datasets"][0]["trackers"]
    assert one["points"]["4@original"]["fn"] == 10, "no score is so high"


def test_a_damaged_frame_fails_its_sequence_alone(track, dataset, tmp_path, capsys):
    (dataset / "shuttlecock/match1/frame/1_01_00/3.png").write_bytes(b"no image")
    assert track() == 4
    out, err = capsys.readouterr()
    assert (
        "match1_1_01_00 failed: " in out and "1 of 2 sequences tracked" in out and "shuttlecock/match1_1_01_00" in err
    )
    assert len(list((tmp_path / "out").rglob("match?_1_01_00.csv"))) == 1


class Sure(ClipTracker):
    """Answers the frame's number as the point, three frames late; never in frame 2."""

    look_ahead = 3

    def start(self):
        return 0, 0

    def track_clip(self, state, frames, last):
        taken, told = state[0] + len(frames), state[1]
        until = taken if last else max(taken - 3, told)
        found = [
            PointResult(NAN, 0.1, False) if k == 2 else PointResult((k, 5.0), 0.9, True) for k in range(told, until)
        ]
        return (taken, until), found


class Experiment:
    def build(self):
        return Sure()


def test_on_boxes_it_answers_squares_as_large_as_the_first_box(tmp_path):
    images = [np.zeros((20, 30, 3), np.uint8)] * 8
    sequence = Sequence("s", "d", np.array([[3.0, 4, 4, 9]] * 8), lambda: images)
    run = Run(tmp_path, "t", "c")
    summary = runner.evaluate(Experiment(), [sequence], run)
    assert summary.done == ["s"] and summary.look_ahead == 3 and summary.frames == 8
    boxes, _ = results.read(results.find(run, "d", "s"), 8)
    assert boxes[0].tolist() == [3, 4, 4, 9] and np.isnan(boxes[2]).all() and boxes[5].tolist() == [2, 2, 6, 6]


def test_points_are_read_back_as_they_were_found(tmp_path):
    points = squares([NAN] + [(k + 0.25, 5) for k in range(1, 8)], 6)
    sequence = Sequence("s", "d", points, lambda: [np.zeros((20, 30, 3), np.uint8)] * 8, task="point")
    run = Run(tmp_path, "t", "c")
    runner.evaluate(Experiment(), [sequence], run)
    path = results.find(run, "d", "s")
    found, scores, surplus = results.read_points(path, 8)
    assert np.isnan(found[2]).all() and found[7].tolist() == [7, 5] and scores[2] == 0.1 and surplus == 0
    assert results.boxes_of(path, sequence)[7].tolist() == [4, 2, 6, 6]
    assert results.sequences(run, "d") == ["s"] and results.discover(tmp_path) == {(run, "d"): ["s"]}
    scores = scoring.evaluate({"t": run}, "d", [sequence])["trackers"][0]["points"]["4@original"]
    assert (scores["tp"], scores["fn"], scores["fp2"], scores["tn"]) == (6, 1, 1, 0)
    assert scores["rmse"] == pytest.approx(0.25)
    results.write(run, "d", "s", sequence.boxes_xywh)
    assert results.find(run, "d", "s").suffix == ".txt", "the last tracker's"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "s.csv:1: expected Frame,Visibility,X,Y,Score"),
        ("Frame,Visibility,X,Y,Score\n0,1,2,3\n", "s.csv:2: expected 5 fields, found 4"),
        ("Frame,Visibility,X,Y,Score\n1,1,2,3,1\n", "s.csv:2: expected frame 0"),
        ("Frame,Visibility,X,Y,Score\n0,1,a,3,1\n", "s.csv:2: expected a number, found 'a'"),
        ("Frame,Visibility,X,Y,Score\n0,1,2,3,1\n", "s.csv: expected 2 rows, one a frame, found 1"),
    ],
)
def test_malformed_points_are_one_line(tmp_path, text, message):
    path = tmp_path / "s.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        results.read_points(path, 2)


def test_rendered_rallies_are_a_dataset():
    (one,) = benchmarks.load("ball_rendered_train#rally_001*")
    assert one.task == "point" and one.frames()[0].shape == (360, 640, 3) and one.visible.sum() > 10
    with pytest.raises(UserError, match="no sequence is called like that"):
        benchmarks.load("ball_rendered#nothing")


def test_from_python(track, tmp_path):
    track("--sequence", "0")
    tracker = load_tracker(
        "mmfnet", "baseline", checkpoint=str(tmp_path / "w.safetensors"), device="cpu", settings=SMALL
    )
    assert isinstance(tracker, ClipTracker)
    with pytest.raises(UserError, match="finds balls"):
        evaluate(tracker, [])
