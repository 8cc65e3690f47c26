"""Exporting, and tracking with an engine other than torch, as a user would."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest

from lib import config
from lib.data import benchmarks
from lib.data.boxes import xywh_to_cxcywh
from lib.export.engines import open_stages
from lib.test.evaluation import results
from lib.test.tracker.lunar import LunarTracker

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
DATASET = "lunar_demo#ball_park"
ROOT = Path(__file__).resolve().parents[2]


def test_int8_finds_the_same_boxes(command, tmp_path, capsys):
    words = ("export_onnx.py", "lunar", "tiny_pairs", "--set", "TEST.PRECISION=int8", "--count", "4")
    assert command(*words, "--out", tmp_path) == 0
    difference = re.search(
        r"onnx in int8 and torch, of 4 frames: they differ by at most (\S+)", capsys.readouterr().out
    )
    assert float(difference[1]) > 1e-4, "not int8"
    assert {path.name for path in tmp_path.glob("*.onnx")} == {"template.onnx", "track.onnx", "find.onnx"}
    tracker = LunarTracker(config.load("lunar", "tiny_pairs"), ROOT / "pretrained" / "lunar_tiny_pairs.safetensors")
    other = copy.copy(tracker)
    other.use(open_stages(tracker.stages(), tmp_path, "onnx", "int8"))
    moves, growths = [], []
    for sequence in benchmarks.load("lunar_demo#b*"):
        frames = sequence.frames()
        state = tracker.start(frames[0], sequence.first_box)
        for number in range(1, 20):  # both from the same state, so that nothing adds up
            (there,), _ = other.track_frames([state], [frames[number]])
            (state,), _ = tracker.track_frames([state], [frames[number]])
            ours, theirs = (xywh_to_cxcywh(each.box_xywh) for each in (state, there))
            moves.append(np.linalg.norm(ours[:2] - theirs[:2]))
            growths.append(np.abs(np.log(ours[2:] / theirs[2:])).max())
    assert np.median(moves) < 0.08 and np.quantile(moves, 0.9) < 0.2  # 0.04 to 0.051 by the kind of processor
    assert np.median(growths) < 0.01 and np.quantile(growths, 0.9) < 0.03


def test_tracking_by_onnx(command, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LUNAR_SAVE", str(tmp_path / "exported"))
    words = ("test.py", "lunar", "compact_pairs", "--dataset", DATASET, "--device", "cpu")
    assert command(*words, "--save_dir", tmp_path / "torch") == 0
    assert command(*words, "--save_dir", tmp_path / "onnx", "--backend", "onnx") == 0
    assert len(list((tmp_path / "exported" / "export").glob("*/track.onnx"))) == 1
    (sequence,) = benchmarks.load(DATASET)
    boxes = []
    for engine in ("torch", "onnx"):
        run = results.Run(results.results_root(tmp_path / engine), "lunar", "compact_pairs")
        boxes.append(results.read(results.find(run, "lunar_demo", sequence.name), len(sequence))[0])
    # Crops are of whole grey levels, so that a difference in the last bits may grow from frame to frame.
    assert np.median(np.abs(boxes[0] - boxes[1])) < 0.02 and np.array_equal(
        boxes[0][:2].round(2), boxes[1][:2].round(2)
    )
    # What was exported for fp32 serves int8 as well.
    assert command(*words, "--save_dir", tmp_path / "int8", "--backend", "onnx", "--set", "TEST.PRECISION=int8") == 0
    assert len(list((tmp_path / "exported" / "export").glob("*/int8/track.onnx"))) == 1
    assert "exporting" not in capsys.readouterr().out.rpartition("tracked")[0].rpartition("tracked")[2]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("test.py", "opencv", "mil", "--dataset", DATASET, "--backend", "onnx"), 2, "unknown key TEST.BACKEND"),
        (("test.py", "lunar", "tiny", "--dataset", DATASET, "--backend", "tensorrt"), 2, "TEST.BACKEND"),
        (
            ("test.py", "lunar", "tiny", "--dataset", DATASET, "--set", "TEST.PRECISION=int8"),
            2,
            "PRECISION int8: BACKEND torch needs fp32 or bf16 or fp16",
        ),
        (
            ("test.py", "lunar", "tiny", "--dataset", DATASET, "--backend", "onnx", "--set", "TEST.PRECISION=bf16"),
            2,
            "PRECISION bf16: BACKEND onnx needs fp32 or int8",
        ),
        (
            ("export_onnx.py", "lunar", "tiny", "--engine", "openvino", "--set", "TEST.PRECISION=int8"),
            2,
            "PRECISION int8: BACKEND openvino needs fp32 or bf16",
        ),
        (("export_onnx.py", "opencv", "mil"), 2, "opencv has no network to export"),
        (("export_onnx.py", "lunar", "tiny", "--frames", "x.mp4"), 2, "--frames and --box go together"),
    ],
)
def test_mistakes_are_one_line(command, tmp_path, capsys, words, code, said):
    assert command(*words, "--save_dir", tmp_path) == code
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1
