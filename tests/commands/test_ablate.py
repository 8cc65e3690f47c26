"""tracking/ablate.py as a user meets it: rows tracked once, compared with the whole, never with results of others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib import config
from lib.data import benchmarks
from lib.data.image import encode_jpeg
from tests import processes

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "pretrained/lunar_tiny.safetensors"
FRAMES = 6


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of three short clips of the demo."""
    folder = tmp_path_factory.mktemp("made") / "night clips"
    for name in ("ball_park", "bird_fast_lake", "tiny_ball_park"):
        (clip,) = benchmarks.load(f"lunar_demo#{name}")
        (folder / name / "img").mkdir(parents=True)
        np.savetxt(folder / name / "groundtruth.txt", clip.boxes_xywh[:FRAMES], "%.3f", ",")
        (folder / name / "attributes.txt").write_text("TO,FM" if name == "ball_park" else "TO")
        frames = clip.frames()
        for index in range(FRAMES):
            (folder / name / "img" / f"{index:03d}.jpg").write_bytes(encode_jpeg(frames[index], 95))
    return folder


@pytest.fixture
def ablate(tmp_path, clips, command):
    """ablate("--rows", ...) -> exit code of lunar tiny on the clips, all output under tmp_path."""
    return lambda *words: command(
        "ablate.py", "lunar", "tiny", "--dataset", clips, "--save_dir", tmp_path, "--checkpoint", TINY, *words
    )


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Write experiments/lunar/<name>.yaml over the real tiny.yaml, without its ABLATION, in a temporary folder."""
    (tmp_path / "experiments/lunar").mkdir(parents=True)
    for base in ("tiny", "tiny_pairs"):
        text = (ROOT / f"experiments/lunar/{base}.yaml").read_text()
        (tmp_path / f"experiments/lunar/{base}.yaml").write_text(text.partition("ABLATION:")[0])
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path / "experiments")

    def write(name, text):
        (tmp_path / f"experiments/lunar/{name}.yaml").write_text(text)
        return name

    return write


def cells(text):
    """{row: [cells]} of the printed tables that are not by attribute."""
    rows = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if " | " in line]
    return {row[0]: row[1:] for row in rows if len(row) == 6}


def boxes(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*.txt")}


def test_rows_are_tracked_once_and_compared(tmp_path, clips, ablate, capsys):
    words = ["--rows", "whole,no window", "--row", "wide  search: DATA.SEARCH.FACTOR=5.0 TEST.MIN_BOX=2"]
    words[1] += ",wide  search"
    words += ["--attributes", "--json", tmp_path / "a.json", "--markdown", tmp_path / "a.md"]
    assert ablate(*words) == 0
    out = capsys.readouterr().out
    found = cells(out)
    assert list(found) == ["row", "whole", "no window", "wide  search"]
    assert found["whole"][3:] == ["-", "-"] and all("±" in cell for cell in found["no window"][3:])
    assert "lunar tiny on night clips: 3 of 3 sequences" in out and "TO (3)" in out and "FM" not in out
    root = tmp_path / "test/tracking_results/lunar"
    assert sorted(path.name for path in root.iterdir()) == ["tiny+no_window", "tiny+whole", "tiny+wide_search"]
    before = boxes(root)
    assert len(before) == 3 * 3 * 3 and out.count("3 of 3 sequences tracked") == 3

    (dataset,) = json.loads((tmp_path / "a.json").read_text())["datasets"]
    whole, window, _ = dataset["rows"]
    assert window["made_with"]["TEST.WINDOW"] == "none" and whole["made_with"]["TEST.WINDOW"] == "expected"
    changes = [window["sequences"][name]["auc"] - whole["sequences"][name]["auc"] for name in dataset["sequences"]]
    assert window["change"]["auc"]["mean"] == pytest.approx(np.mean(changes))
    assert window["change"]["auc"]["error"] == pytest.approx(np.std(changes, ddof=1) / np.sqrt(3))
    assert found["whole"][0] == f"{100 * whole['scores']['auc']:.2f}"
    text = (tmp_path / "a.md").read_text()
    assert text.count("## lunar tiny on night clips: 3 of 3") == 2 and f"| whole | {found['whole'][0]} |" in text

    assert ablate(*words) == 0
    again = capsys.readouterr().out
    assert cells(again) == found and boxes(root) == before
    assert again.count("0 of 3 sequences tracked (3 were there already)") == 3


def test_the_scores_are_those_of_the_other_commands(tmp_path, clips, ablate, command, capsys):
    assert ablate("--rows", "no window") == 0
    found = cells(capsys.readouterr().out)
    words = ["--dataset", clips, "--save_dir", tmp_path, "--checkpoint", TINY, "--set", "TEST.WINDOW=none"]
    assert command("test.py", "lunar", "tiny", *words) == 0
    scores = tmp_path / "scores.json"
    assert command("analysis_results.py", "--results", tmp_path, "--dataset", clips, "--json", scores) == 0
    (dataset,) = json.loads(scores.read_text())["datasets"]
    for tracker in dataset["trackers"]:
        row = "whole" if tracker["config"] == "tiny+whole" else "no window"
        assert found[row][:3] == [f"{100 * tracker['scores'][name]:.2f}" for name in ("auc", "p5", "np_auc")]
    assert len(dataset["trackers"]) == 3, "what test.py tracked lies beside the rows"


def test_results_made_otherwise_are_refused(tmp_path, ablate, capsys):
    assert ablate("--rows", "no window") == 0
    root = tmp_path / "test/tracking_results/lunar"
    before = boxes(root)
    for words, what in (
        (["--set", "TEST.MIN_BOX=2"], "TEST.MIN_BOX"),
        (["--set", "TEST.CONFIDENCE=0.1"], "TEST.CONFIDENCE"),
    ):
        capsys.readouterr()
        assert ablate("--rows", "no window", *words) == 2
        error = capsys.readouterr().err
        assert f"differ in {what}; --overwrite tracks them again" in error and error.count("\n") == 1
    other = tmp_path / "other.safetensors"
    other.write_bytes(TINY.read_bytes() + b" ")
    assert ablate("--rows", "no window", "--checkpoint", other) == 2
    assert "differ in weights" in capsys.readouterr().err and boxes(root) == before
    assert ablate("--rows", "no window", "--set", "TEST.MIN_BOX=2", "--overwrite") == 0
    assert "3 of 3 sequences tracked\n" in capsys.readouterr().out
    after = boxes(root)
    assert after.keys() == before.keys() and all(after[name] > before[name] for name in before)
    assert ablate("--rows", "no window", "--set", "TEST.MIN_BOX=2") == 0


def test_a_row_may_have_weights_of_its_own(tmp_path, ablate, capsys, monkeypatch):
    monkeypatch.setenv("LUNAR_PRETRAINED", str(tmp_path))
    assert ablate("--rows", "x", "--row", "x: TEST.CHECKPOINT=gone.safetensors") == 2
    assert "gone.safetensors" in capsys.readouterr().err
    (tmp_path / "same.safetensors").write_bytes(TINY.read_bytes())
    assert ablate("--rows", "x", "--row", "x: TEST.CHECKPOINT=same.safetensors") == 0
    assert cells(capsys.readouterr().out)["x"][3:] == ["+0.00 ±0.00", "+0.00 ±0.00"]


def test_what_fails_is_named_and_the_others_are_compared(tmp_path, clips, ablate, capsys):
    broken = tmp_path / "broken"
    for name in ("ball_park", "bird_fast_lake"):
        (broken / name).mkdir(parents=True)
        (broken / name / "img").symlink_to(clips / name / "img")
        (broken / name / "groundtruth.txt").write_text((clips / name / "groundtruth.txt").read_text())
    lines = (broken / "ball_park/groundtruth.txt").read_text().splitlines()
    (broken / "ball_park/groundtruth.txt").write_text("\n".join(["nan,nan,nan,nan", *lines[1:]]))
    assert ablate("--rows", "no window", "--dataset", broken) == 4
    output = capsys.readouterr()
    assert "lunar tiny on broken: 1 of 2 sequences" in output.out and len(cells(output.out)) == 3
    assert "2 sequences failed" in output.err and "tiny+no_window/broken/ball_park: " in output.err
    (broken / "bird_fast_lake/groundtruth.txt").write_text("\n".join(["nan,nan,nan,nan", *lines[1:]]))
    assert ablate("--rows", "no window", "--dataset", broken, "--save_dir", tmp_path / "new") == 4
    assert cells(capsys.readouterr().out)["whole"] == ["-"] * 5


def test_an_ablation_is_inherited_and_no_part_of_the_configuration(recipe):
    recipe(
        "base", "_BASE_: tiny.yaml\nABLATION:\n  a: {TEST: {WINDOW: none, MIN_BOX: 2}}\n  b: {TEST: {MOTION: kalman}}\n"
    )
    name = recipe(
        "child", "_BASE_: base.yaml\nABLATION: {a: {TEST: {MIN_BOX: 3}}, c: {MODEL: {BACKBONE: {CE_LOC: []}}}}\n"
    )
    assert config.load("lunar", name) == config.load("lunar", "tiny")
    rows = config.ablation("lunar", name, ["TEST.MIN_BOX=9"], {"d": ["TEST.WINDOW=mult"]})
    assert list(rows) == ["a", "b", "c", "d"] and rows["c"] == ["MODEL.BACKBONE.CE_LOC=[]"]
    a = config.load("lunar", name, ["TEST.MIN_BOX=9", *rows["a"]]).TEST
    assert (a.WINDOW, a.MIN_BOX) == ("none", 3) and config.load("lunar", name, rows["d"]).TEST.WINDOW == "mult"
    assert config.given("lunar", name, rows["b"])["TEST.MOTION"] == "kalman"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ABLATION:\n  a:\n    TEST: {WINDO: none}\n", "x.yaml:4: unknown key TEST.WINDO (did you mean TEST.WINDOW?)"),
        (
            "ABLATION:\n  a: {TEST: {SIZE_STEP: 3}}\n",
            "x.yaml:3: TEST.SIZE_STEP: input should be less than or equal to 1",
        ),
        ("ABLATION:\n  a: 3\n", "x.yaml:3: ABLATION.a: expected KEY: value lines, found 3"),
        ("ABLATION: [a]\n", "x.yaml:2: ABLATION.<name>: expected KEY: value lines"),
        ("ABLATION: {whole: {TEST: {WINDOW: none}}}\n", "a row cannot be called 'whole'"),
        ("ABLATION: {'a,b': {TEST: {WINDOW: none}}}\n", "a row cannot be called 'a,b'"),
        ("ABLATION: {a b: {}, a_b: {}}\n", "two rows differ in blanks only"),
        ("ABLATION: {a/b: {}}\n", "'x+a/b' cannot name a configuration"),
        ("", "x.yaml: no ABLATION section here, and no --row: there is nothing to switch off"),
    ],
)
def test_a_wrong_section_is_one_line(tmp_path, recipe, clips, command, capsys, text, message):
    name = recipe("x", "_BASE_: tiny.yaml\n" + text)
    words = ["--dataset", clips, "--save_dir", tmp_path / "out", "--checkpoint", TINY]
    assert command("ablate.py", "lunar", name, *words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--row", "x: TEST.WINDO=none"],
            "--row x: TEST.WINDO=none: unknown key TEST.WINDO (did you mean TEST.WINDOW?)",
        ),
        (["--row", "x: TEST.WINDOW"], "--row x: TEST.WINDOW: expected KEY=VALUE"),
        (["--row", "TEST.WINDOW=none"], "--row 'TEST.WINDOW=none': expected LABEL: KEY=VALUE"),
        (["--row", ": TEST.WINDOW=none"], "expected LABEL: KEY=VALUE"),
        (["--row", "a: TEST.WINDOW='none"], "expected LABEL: KEY=VALUE"),
        (["--row", "x: A=1", "--row", "x: B=1"], "two rows are called that"),
        (["--row", "no window: TEST.MIN_BOX=2"], "--row no window: ABLATION has a row of that name"),
        (["--row", "whole: TEST.MIN_BOX=2"], "a row cannot be called 'whole'"),
        (
            ["--rows", "no windw"],
            "--rows no windw: no such row (did you mean no window?); there are: whole, Hann window, no window",
        ),
        (["--set", "TEST.WINDO=none"], "--set TEST.WINDO=none: unknown key TEST.WINDO"),
        (["--dataset", "lunar_deno"], "did you mean lunar_demo?"),
        (["--checkpoint", "gone.pth"], "gone.pth: no such checkpoint"),
        (["--threads", -1], "--threads -1: expected at least 0"),
    ],
)
def test_wrong_words_are_one_line(tmp_path, ablate, capsys, words, message):
    assert ablate(*words) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "test").exists()


def test_every_dataset_has_its_table(tmp_path, clips, ablate, capsys):
    words = ["--dataset", f"{clips},lunar_demo#ball_park", "--markdown", tmp_path / "a.md", "--attributes"]
    assert ablate("--rows", "motion model", *words) == 0
    assert (tmp_path / "a.md").read_text().count("| motion model |") == 3
    out = capsys.readouterr().out
    assert "lunar tiny on lunar_demo: 1 of 1 sequences" in out and " ±- " in out, "one has no standard error"
    assert out.count("no attribute that 3 sequences have") == 1


def test_processes_as_a_user_would(tmp_path, clips):
    words = ["lunar", "tiny", "--dataset", clips, "--threads", 2, "--save_dir", tmp_path, "--checkpoint", TINY]
    clean = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = processes.run(ROOT / "tracking/ablate.py", *words, "--rows", "whole", env=clean, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert "whole on night clips: 3 of 3 sequences tracked" in done.stdout and "whole | " in done.stdout


def test_help_and_mistakes_do_not_import_torch():
    for words, code in ((["--help"], 0), (["lunar", "tiny", "--row", "x: TEST.WINDO=none"], 2)):
        script = [sys.executable, "-X", "importtime", str(ROOT / "tracking/ablate.py"), *words]
        done = subprocess.run(script, capture_output=True, text=True, timeout=120)
        assert done.returncode == code
        imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
        assert not imported & {"torch", "matplotlib"}
