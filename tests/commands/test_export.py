"""Exporting, and tracking with an engine other than torch, as a user would."""

import re

import numpy as np
import pytest

from lib.data import benchmarks
from lib.test.evaluation import results

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
DATASET = "lunar_demo#ball_park"


def test_export_says_how_far_it_is_from_torch(command, tmp_path, capsys):
    out = tmp_path / "deploy"
    assert command("export_onnx.py", "lunar", "tiny_pairs", "--out", out, "--count", "4") == 0
    text = capsys.readouterr().out
    difference = float(re.search(r"onnx and torch, of 4 frames: they differ by at most (\S+)", text)[1])
    assert 0 < difference < 1e-4, "two engines, never equal in every bit"
    assert {path.name for path in out.iterdir()} == {"template.onnx", "track.onnx"}


def test_tracking_by_onnx(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LUNAR_SAVE", str(tmp_path / "exported"))
    words = ("test.py", "lunar", "tiny_pairs", "--dataset", DATASET, "--device", "cpu")
    assert command(*words, "--save_dir", tmp_path / "torch") == 0
    assert command(*words, "--save_dir", tmp_path / "onnx", "--backend", "onnx") == 0
    assert len(list((tmp_path / "exported" / "export").glob("*/track.onnx"))) == 1
    (sequence,) = benchmarks.load(DATASET)
    boxes = []
    for engine in ("torch", "onnx"):
        run = results.Run(results.results_root(tmp_path / engine), "lunar", "tiny_pairs")
        boxes.append(results.read(results.find(run, "lunar_demo", sequence.name), len(sequence))[0])
    # Crops are of whole grey levels, so that a difference in the last bits may grow from frame to frame.
    assert np.abs(boxes[0] - boxes[1]).max() < 0.5 and np.array_equal(boxes[0][:2].round(2), boxes[1][:2].round(2))


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("test.py", "opencv", "mil", "--dataset", DATASET, "--backend", "onnx"), 2, "unknown key TEST.BACKEND"),
        (("test.py", "lunar", "tiny", "--dataset", DATASET, "--backend", "tensorrt"), 2, "TEST.BACKEND"),
        (("export_onnx.py", "opencv", "mil"), 2, "opencv has no network to export"),
        (("export_onnx.py", "lunar", "tiny", "--frames", "x.mp4"), 2, "--frames and --box go together"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, capsys, words, code, said):
    assert command(*words, "--save_dir", tmp_path) == code
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
