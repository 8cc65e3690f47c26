"""From result files to tables, curves, report and JSON, through the command line as users call it."""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.test.analysis import plots, report, scoring, tables
from lib.test.evaluation import results
from lib.test.evaluation.results import Run
from tests.analysis.pages import check_page

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tracking" / "analysis_results.py"


@pytest.fixture(scope="module")
def main():
    spec = importlib.util.spec_from_file_location("analysis_results", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    first = sys.path[0]
    spec.loader.exec_module(module)
    sys.path[0] = first
    return module.main


@pytest.fixture
def truth():
    """{sequence: (12, 4) boxes}, targets of 6, 12 and 40 px."""
    ramp = np.arange(12.0)[:, None]
    return {f"s{side}": np.array([[20.5, 30.25, side, side]]) + ramp * [1, 0.5, 0, 0] for side in (6, 12, 40)}


@pytest.fixture
def dataset(tmp_path, truth):
    """A user's folder: <seq>/img/*.jpg with groundtruth.txt."""
    folder = tmp_path / "night & day"
    for name, boxes in truth.items():
        (folder / name / "img").mkdir(parents=True)
        np.savetxt(folder / name / "groundtruth.txt", boxes, "%.2f", ",")
        for index in range(len(boxes)):
            image = np.full((120, 160, 3), 12, np.uint8)
            x, y, w, h = (int(value) for value in boxes[index])
            image[y : y + h, x : x + w] = 90
            cv2.imwrite(str(folder / name / "img" / f"{index + 1:08d}.jpg"), image)
    return folder


@pytest.fixture
def root(tmp_path, truth, dataset):
    """Results of a perfect tracker, one that is 3 px off, and one that lacks a sequence."""
    root = tmp_path / "tracking_results"
    for run, offset in ((Run(root, "lunar", "baseline"), 0), (Run(root, "opencv", "mil_002"), 3)):
        for name, boxes in truth.items():
            results.write(run, dataset.name, name, boxes + [offset, 0, 0, 0], times=[0.01] * len(boxes))
        results.write_source(run, dataset.name, dataset)
    partial = Run(root, "lunar", "tiny")
    results.write(partial, dataset.name, "s12", truth["s12"])
    results.write_source(partial, dataset.name, dataset)
    return root


def sequences_of(truth):
    frames = [np.full((120, 160, 3), 30, np.uint8)]
    return [Sequence(name, "d", boxes, opener=lambda boxes=boxes: frames * len(boxes)) for name, boxes in truth.items()]


def text_of(one, name):
    return tables.render(next(table for table in tables.all_tables(one) if table.name == name), "text")


def strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_without_arguments_everything_found_is_scored(main, root, capsys):
    assert main(["--results", str(root)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "night & day (clean): 3 sequences, 36 frames"
    assert [re.split(r" +\| +", line)[0] for line in lines[3:6]] == ["lunar baseline", "opencv mil_002", "lunar tiny"]
    assert re.search(r"lunar baseline +\| +95\.24 .* 100\.0 +\| +3$", out, re.M)
    assert re.search(r"lunar tiny +\| +95\.24 .* - +\| +PARTIAL 1/3$", out, re.M)
    assert re.search(r"^< 8 px +\| opencv mil_002 +\| +12 \|", out, re.M) and not err


def test_a_named_dataset_is_scored_whole_or_not_at_all(main, root, dataset, capsys):
    asked = ["--results", str(root), "--dataset", str(dataset)]
    assert main(asked) == 2
    out, err = capsys.readouterr()
    assert err.startswith("lunar: error: lunar tiny has no results for 2 of the 3 sequences of night & day: s6, s40")
    assert err.count("\n") == 1 and not out
    assert main([*asked, "--allow_missing"]) == 0
    assert "PARTIAL 1/3" in capsys.readouterr().out
    assert main([*asked, "--trackers", "lunar:baseline:ours", "opencv:mil_002"]) == 0
    assert re.search(r"^ours +\| 95\.24", capsys.readouterr().out, re.M)


def test_other_projects_flags(main, root, dataset, capsys):
    flags = ["--tracker_name", "opencv", "--tracker_param", "mil", "--run_ids", "2", "--dataset_name", str(dataset)]
    assert main(["--results", str(root), *flags]) == 0
    assert "opencv mil_002" in capsys.readouterr().out


def test_every_output_at_once(main, root, tmp_path, capsys):
    page, numbers, folder = tmp_path / "out" / "r.html", tmp_path / "out" / "r.json", tmp_path / "plots"
    flags = ["--attributes", "--darkness", "--per_sequence", "--html", str(page), "--json", str(numbers)]
    assert main(["--results", str(root), *flags, "--plots", str(folder), "--result_rounding", "trunc"]) == 0
    out = capsys.readouterr().out
    assert "(clean, results trunc)" in out and re.search(r"^tiny \(LaTOT\) +\*? *\| lunar baseline", out, re.M)
    assert re.search(r"^< 0\.05|^0\.05-0\.1", out, re.M) and re.search(r"^s6 +\| +12 \| +6\.0 \|", out, re.M)

    data = strict_json(numbers.read_text())["datasets"][0]
    best = data["trackers"][0]
    assert data["dataset"] == "night & day" and data["result_rounding"] == "trunc"
    assert {"auc", "op50", "op75", "p20", "p5", "np_auc", "np20", "ao", "sr50", "sr75"} == set(best["scores"])
    assert len(best["curves"]["success"]) == 21 and len(best["sequences"]) == 3 and best["fps"] == pytest.approx(100)
    assert next(one for one in data["trackers"] if one["config"] == "tiny")["fps"] is None

    kinds = (*plots.KINDS, "intervals", "attributes")
    names = {f"night & day_{kind}.{suffix}" for kind in kinds for suffix in ("png", "pdf")}
    assert {path.name for path in folder.iterdir()} == names
    assert all(cv2.imread(str(path)).std() > 10 for path in folder.glob("*.png"))

    text = page.read_text()
    check_page(text)
    assert "night &amp; day" in text and "night & day" not in text and "data:image/jpeg" in text
    assert "do not compare" in text and "PARTIAL 1/3" in text


def test_no_results_at_all(main, tmp_path, capsys):
    assert main(["--results", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"lunar: error: {tmp_path}: no results here; make some with: python tracking/test.py")
    assert err.count("\n") == 1


def test_dataset_that_is_gone(main, root, dataset, truth, capsys):
    flat = Run(root, "stark", "baseline")
    results.write(flat, "x", "s6", truth["s6"], flat=True)
    results.write(Run(root, "lunar", "baseline"), "someones", "s6", truth["s6"])
    assert main(["--results", str(root)]) == 4
    out, err = capsys.readouterr()
    assert "night & day (clean)" in out
    assert err.splitlines()[-1] == (
        "lunar: error: not scored: someones, stark baseline (flat layout); "
        "pass --dataset FOLDER to say where the sequences are"
    )
    assert main(["--results", str(root), "--dataset", str(dataset), "--allow_missing"]) == 0
    assert re.search(r"^stark baseline .*PARTIAL 1/3$", capsys.readouterr().out, re.M)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--trackers", "lunar"], "expected NAME:CONFIG"),
        (["--trackers", "../lunar:x"], "cannot name a tracker"),
        (["--trackers", "lunar:nothing"], "no results of lunar nothing"),
        (["--trackers", "lunar:baseline", "lunar:bassline"], "no results of lunar bassline"),
        (["--trackers", "lunar:baseline:"], "expected NAME:CONFIG"),
        (["--trackers", "a:b:x", "a:c:x"], "given twice"),
        (["--tracker_name", "lunar"], "go together"),
        (["--dataset", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--dataset", "FOLDER", "--trackers", "lunar:nothing"], "no results of lunar nothing for the 3 sequences"),
    ],
)
def test_mistakes_are_one_line(main, root, dataset, flags, words, capsys):
    assert main(["--results", str(root), *(str(dataset) if flag == "FOLDER" else flag for flag in flags)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("lunar: error: ") and words in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("1,2,3\n", r"s6\.txt:1: expected 4 numbers, found 3"), ("1,2,3,4\n", r"s6\.txt: expected 12 rows, .* found 1")],
)
def test_damaged_results_are_one_line(main, root, dataset, text, words, capsys):
    (root / "lunar" / "baseline" / dataset.name / "s6.txt").write_text(text)
    assert main(["--results", str(root)]) == 2
    err = capsys.readouterr().err
    assert re.search(words, err) and err.count("\n") == 1


def test_nothing_is_cached(main, root, dataset, truth, tmp_path, capsys):
    """F18: whatever is in the files now is what is scored."""
    overlaps = []
    for offset in range(10):
        results.write(Run(root, "lunar", "baseline"), dataset.name, "s6", truth["s6"] + [offset / 4, 0, 0, 0])
        page = tmp_path / "scores.json"
        assert main(["--results", str(root), "--trackers", "lunar:baseline", "--json", str(page)]) == 0
        overlaps.append(json.loads(page.read_text())["datasets"][0]["trackers"][0]["scores"]["ao"])
    assert sorted(set(overlaps), reverse=True) == overlaps
    assert not list(tmp_path.rglob("*.pkl"))


def test_surplus_rows_are_reported(main, root, dataset, capsys):
    path = root / "lunar" / "baseline" / dataset.name / "s6.txt"
    path.write_text(path.read_text() + "1\t2\t3\t4\n")
    assert main(["--results", str(root)]) == 0
    assert f"{path}: 1 rows more than frames, left out" in capsys.readouterr().err


def test_same_results_same_bytes(main, root, tmp_path):
    texts = []
    for name in ("a", "b"):
        files = [tmp_path / name / "r.html", tmp_path / name / "r.json"]
        main(
            ["--results", str(root), "--html", str(files[0]), "--json", str(files[1]), "--plots", str(tmp_path / name)]
        )
        texts.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    assert len(texts[0]) == 10 and texts[0] == texts[1]


def test_a_reader_that_leaves_costs_no_file(root, tmp_path):
    files = [tmp_path / name for name in ("r.html", "r.json", "r.md")]
    words = ["--results", root, "--html", files[0], "--json", files[1], "--tables", files[2]]
    with subprocess.Popen([sys.executable, SCRIPT, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        done.stdout.close()  # as `| head` does
        assert done.stderr.read() == b"" and done.wait() == 141
    assert all(path.stat().st_size > 500 for path in files)


def test_help_and_scoring_import_nothing_heavy():
    code = f"""
import runpy, sys
sys.argv = [{str(SCRIPT)!r}, "--help"]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as end:
    assert not end.code
assert not {{"torch", "matplotlib", "cv2", "numpy"}} & set(sys.modules)
import lib.test.analysis.scoring, lib.test.analysis.tables, lib.test.analysis.report
assert not {{"torch", "matplotlib", "cv2"}} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--result_rounding" in done.stdout and "python tracking/analysis_results.py" in done.stdout


def test_attributes(truth, tmp_path):
    run = Run(tmp_path, "t", "c")
    sequences = sequences_of(truth)
    sequences[0].attributes, sequences[1].attributes = ("night", "tiny"), ("night",)
    for name, boxes in truth.items():
        results.write(run, "d", name, boxes + ([50, 0, 0, 0] if name == "s6" else 0))
    one = scoring.evaluate({"t": run}, "d", sequences)
    rows = {row["attribute"]: row for row in one["trackers"][0]["by_attribute"]}
    assert rows["night"]["sequences"] == 2 and rows["tiny"]["sequences"] == 1
    assert rows["tiny"]["auc"] < 0.1 < rows["night"]["auc"] < 0.6
    assert re.search(r"^tiny +\| t +\| +1 \|", text_of(one, "by_attribute"), re.M)
    assert {path.name for path in plots.save(one, tmp_path)} >= {"d_attributes.png", "d_attributes.pdf"}
    check_page(report.html([(one, sequences, {"t": run})]))


def test_results_are_compared_in_the_datasets_own_base(tmp_path, truth):
    """A benchmark that counts pixels from 1: its raw results, and ours, are written and scored as it counts."""
    run = Run(tmp_path, "t", "c")
    sequences = sequences_of(truth)
    for sequence in sequences:
        sequence.origin = 1.0
        results.write(run, "d", sequence.name, sequence.boxes_xywh + [1, 1, 0, 0])
    (tracker,) = scoring.evaluate({"t": run}, "d", sequences)["trackers"]
    assert tracker["scores"]["ao"] == 1


def test_intervals_and_the_leader_against_the_others(tmp_path):
    rng = np.random.default_rng(0)
    truth = {f"s{index}": np.tile([20.0, 20, 10, 10], (30, 1)) for index in range(12)}
    runs = {}
    for label, spread in (("near", 1.0), ("far", 4.0), ("as far", 4.0)):
        runs[label] = Run(tmp_path, "t", label.replace(" ", "_"))
        for name, boxes in truth.items():
            shift = rng.normal(0, spread, (len(boxes), 2))
            results.write(runs[label], "d", name, boxes + np.hstack([shift, np.zeros_like(shift)]))
    one = scoring.evaluate(runs, "d", sequences_of(truth), also_rounded=("trunc",))
    assert [tracker["label"] for tracker in one["trackers"]][0] == "near"
    for tracker in one["trackers"]:
        low, high = tracker["intervals"]["auc"]
        assert low < tracker["scores"]["auc"] < high and set(tracker["rounded"]) == {"trunc"}
        assert tracker["presence"] is None
    *leaders, others = one["comparisons"]
    assert all(row["first"] == "near" and row["p"] < 0.01 and row["low"] > 0 for row in leaders)
    assert len(leaders) == 2 and leaders[0]["sequences"] == 12
    assert {others["first"], others["second"]} == {"far", "as far"} and others["low"] < 0 < others["high"]
    assert "real" in text_of(one, "comparisons") and "truncated" in text_of(one, "rounding")


def test_what_single_benchmarks_do_otherwise(tmp_path, truth):
    """GOT-10k clips to the image, TrackingNet rounds; both only under their own names."""
    run = Run(tmp_path, "t", "c")
    boxes = truth["s12"].copy()
    boxes[5:, 0] = 152  # beyond the right border, at 160 px
    inside = boxes.copy()
    inside[5:, 2] = 8
    sequences = [Sequence("s12", "x", boxes, opener=lambda: Frames(boxes))]
    scores = {}
    for dataset in ("x", "got10k_val", "trackingnet_train"):
        results.write(run, dataset, "s12", inside)
        scores[dataset] = scoring.evaluate({"t": run}, dataset, sequences)["trackers"][0]
    assert scores["got10k_val"]["scores"]["ao"] == 1 and scores["x"]["scores"]["ao"] < 0.8
    assert scores["got10k_val"]["scores"]["auc"] == scores["x"]["scores"]["auc"]
    assert scores["x"]["trackingnet"] is None and set(scores["trackingnet_train"]["trackingnet"]) == {
        "success",
        "precision",
        "normalised_precision",
    }


class Frames(list):
    """Frames without a file: as many as boxes, 160 x 120 px."""

    fps = 30.0

    def __init__(self, boxes):
        super().__init__([np.full((120, 160, 3), 30, np.uint8)] * len(boxes))


def test_where_only_the_first_frame_is_labelled_nothing_is_scored(main, root, dataset, capsys):
    """Test sets that a server scores: the box that was given is a hit for every tracker."""
    rows = {name: (dataset / name / "groundtruth.txt").read_text().splitlines()[0] for name in ("s6", "s12", "s40")}
    (dataset / "s6" / "groundtruth.txt").write_text(rows.pop("s6"))
    asked = ["--results", str(root), "--trackers", "lunar:baseline"]
    assert main(asked) == 0
    out, err = capsys.readouterr()
    assert "night & day (clean): 2 sequences" in out and "left out 1 sequences" in err
    for name, row in rows.items():
        (dataset / name / "groundtruth.txt").write_text(row)
    assert main(asked) == 0
    out, err = capsys.readouterr()
    assert not out and "only first frames are labelled" in err
    assert main([*asked, "--dataset", str(dataset)]) == 2


def test_points_have_no_sizes(tmp_path, truth):
    runs = {label: Run(tmp_path, "t", label) for label in ("near", "large")}
    sequences = sequences_of(truth)
    for sequence in sequences:
        sequence.task = "point"
        results.write(runs["near"], "d", sequence.name, sequence.boxes_xywh + [7, 0, 0, 0])
        results.write(runs["large"], "d", sequence.name, sequence.boxes_xywh + [-9, -9, 18, 18])
    one = scoring.evaluate(runs, "d", sequences)
    assert [tracker["label"] for tracker in one["trackers"]] == ["large", "near"], "the smaller error, whatever size"
    assert one["comparisons"][0]["score"] == "p5" and ", points)" in tables.title(one)
    assert not one["trackers"][0]["by_size"] and np.isnan(one["sequences"][0]["side_px"])
    check_page(report.html([(one, sequences, runs)]))


def test_a_partial_tracker_where_frames_have_attributes(tmp_path, truth):
    runs = {label: Run(tmp_path, "t", label) for label in ("all", "some")}
    sequences = sequences_of(truth)
    sequences[0].frame_attributes = {"occlusion": np.arange(12) > 5}
    for sequence in sequences:
        results.write(runs["all"], "d", sequence.name, sequence.boxes_xywh)
    results.write(runs["some"], "d", "s40", truth["s40"])
    one = scoring.evaluate(runs, "d", sequences)
    rows = [tracker["by_frame_attribute"] for tracker in one["trackers"]]
    assert [[row["frames"] for row in each] for each in rows] == [[6], [0]]
    assert "occlusion" in text_of(one, "by_frame_attribute")
    check_page(report.html([(one, sequences, runs)]))


def test_the_same_rounding_twice_is_one(main, root, capsys):
    asked = ["--results", str(root), "--trackers", "lunar:baseline", "--result_rounding", "none", "trunc", "trunc"]
    assert main(asked) == 0
    assert capsys.readouterr().out.count("truncated") == 1


def test_a_sequence_without_a_target_has_no_picture(tmp_path, truth):
    run = Run(tmp_path, "t", "c")
    truth["gone"] = np.full((12, 4), np.nan)
    sequences = sequences_of(truth)
    for name in truth:
        results.write(run, "d", name, truth["s6"])
    one = scoring.evaluate({"t": run}, "d", sequences, "stark")
    check_page(report.html([(one, sequences, {"t": run})]))


def test_absent_targets_are_scored_where_there_are_any(tmp_path, truth):
    run = Run(tmp_path, "t", "c")
    boxes = truth["s12"].copy()
    boxes[6:9] = np.nan
    results.write(run, "d", "s12", boxes)
    one = scoring.evaluate({"t": run}, "d", sequences_of({"s12": boxes}))
    found = one["trackers"][0]["presence"]
    assert found["precision"] == found["recall"] == found["f"] == 1 and found["absent_frames"] == 3
    assert found["false_alarms"] == 0 and "100.00" in text_of(one, "presence")


def test_no_target_anywhere(tmp_path):
    """Nothing to score is shown as such everywhere, without a warning."""
    run = Run(tmp_path, "t", "c")
    boxes = np.full((5, 4), np.nan)
    results.write(run, "d", "s", boxes)
    sequences = sequences_of({"s": boxes})
    one = scoring.evaluate({"t": run}, "d", sequences)
    assert re.search(r"^t +\| +- \|", text_of(one, "summary"), re.M)
    assert strict_json(tables.to_json([one]))["datasets"][0]["trackers"][0]["scores"]["auc"] is None
    check_page(report.html([(one, sequences, {"t": run})]))


def test_names_cannot_inject_markup(tmp_path, truth):
    label = "<script>alert(1)</script>"
    run = Run(tmp_path, "t", "c")
    sequences = [Sequence("<b>s", "d", truth["s6"], opener=lambda: (_ for _ in ()).throw(UserError("<i>lost")))]
    results.write(run, "d", "<b>s", truth["s6"])
    text = report.html([(scoring.evaluate({label: run}, "d", sequences), sequences, {label: run})])
    check_page(text)
    assert "<script>alert" not in text and "<b>s" not in text and "<i>lost" not in text
    assert "No pictures: &lt;i&gt;lost" in text


def test_many_trackers(tmp_path, truth):
    runs = {}
    for index in range(30):
        runs[f"tracker {index}"] = Run(tmp_path, "t", f"c{index}")
        for name, boxes in truth.items():
            results.write(runs[f"tracker {index}"], "d", name, boxes + [index / 4, 0, 0, 0])
    sequences = sequences_of(truth)
    one = scoring.evaluate(runs, "d", sequences)
    assert [tracker["label"] for tracker in one["trackers"]][:2] == ["tracker 0", "tracker 1"]
    assert len({plots.style(index) for index in range(28)}) == 28
    plots.save(one, tmp_path / "plots")
