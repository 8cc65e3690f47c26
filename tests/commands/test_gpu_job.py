"""docs/recipes/gpu_job.py: made-up photographs and clips are packed, trained on, and what comes out tracks."""

import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data import benchmarks

ROOT = Path(__file__).resolve().parents[2]
pytest.importorskip("av", reason="packing clips needs PyAV: pip install av")


def job(*words):
    """Run the recipe in this process. Returns its exit code."""
    return runpy.run_path(str(ROOT / "docs/recipes/gpu_job.py"))["main"](list(map(str, words)))


def write_data(folder):
    """Three clips of a square that moves over noise, and two photographs of one."""
    rng = np.random.default_rng(0)
    (folder / "clips").mkdir(parents=True)
    for name in "abc":
        video = cv2.VideoWriter(str(folder / f"clips/{name}.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (640, 360))
        rows = []
        for step in range(16):
            image = rng.integers(0, 120, (360, 640, 3), np.uint8)
            x, y, side = 60 + 6 * step, 80 + 3 * step, 60
            image[y : y + side, x : x + side] = (40, 200, 250)
            video.write(image)
            rows.append("nan,nan,nan,nan" if step == 4 else f"{x},{y},{side},{side}")
        video.release()
        (folder / f"clips/{name}.txt").write_text("\n".join(rows) + "\n")
    (folder / "stills/img").mkdir(parents=True)
    boxes = {}
    for name in ("one.jpg", "two.jpg"):
        image = cv2.resize(rng.integers(0, 255, (12, 16, 3), np.uint8), (640, 480))
        image[100:260, 200:400] = (250, 30, 30)
        cv2.imwrite(str(folder / "stills/img" / name), image)
        boxes[name] = [[200, 100, 200, 160], [5, 5, 8, 8]]
    (folder / "stills/boxes.json").write_text(json.dumps(boxes))
    return [f"{folder}/clips=.6", f"{folder}/stills=.4"]


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gpu")
    data = write_data(folder)
    assert job("pack", folder / "pack", "--data", *data, "--frames", "8", "--limit_mb", "3.5") == 0
    return folder / "pack"


def test_a_pack_is_read_as_it_is(packed):
    """Boxes lie where the targets are; large ones are shrunk to what a crop shows, small boxes are left out."""
    clips, stills = (benchmarks.load(packed / name) for name in ("clips", "stills"))
    assert [len(clip) for clip in clips] == [8, 8, 8] and not clips[0].visible[2] and clips[0].visible[1]
    frame, (x, y, w, h) = clips[0].frames()[3], clips[0].boxes_xywh[3]
    assert abs(w - 40) < 0.6 and abs(h - 40) < 0.6
    inside = frame[round(y + 4) : round(y + h - 4), round(x + 4) : round(x + w - 4)].mean(axis=(0, 1))
    around = frame[round(y - 12) : round(y - 4), round(x) : round(x + w)].mean()
    assert np.abs(inside - (250, 200, 40)).max() < 25 and around < 100
    assert len(stills) == 2 and stills[0].frames()[0].shape == (240, 320, 3)
    assert stills[0].first_box.tolist() == [100, 50, 100, 80]
    assert sum(file.stat().st_size for file in packed.rglob("*") if file.is_file()) < 3.5 * 2**20


@pytest.mark.soak
def test_a_run_ends_with_weights_that_track(packed, tmp_path, command):
    out = tmp_path / "out"
    words = ["--device", "cpu", "--steps", "1", "--workers", "0", "--collage_clips", "1", "--collages", ".3"]
    stages = ["--stage", "tiny_pairs", "1", "TRAIN.BATCH_SIZE=2", "--stage", "tiny", "1", "TRAIN.BATCH_SIZE=2"]
    assert job("run", packed, out, *words, *stages) == 0
    names = [f"{stage}.{kind}" for stage in ("1_tiny_pairs", "2_tiny") for kind in ("jsonl", "safetensors")]
    assert sorted(file.name for file in out.iterdir()) == [*names, "curves.png", "log.txt"]
    log = (out / "log.txt").read_text()
    assert log.count("tensors fit") == 2, "the trunk's weights, and those of the first stage for the second"
    line = next(line for line in log.splitlines() if "test.py lunar tiny" in line)
    assert "MODEL." not in line, "the second stage has the network of the first"
    tracked = ["--dataset", packed / "clips#a", "--save_dir", tmp_path, "--checkpoint", out / "2_tiny.safetensors"]
    assert command("test.py", "lunar", "tiny", *tracked) == 0
    (result,) = tmp_path.glob("test/tracking_results/lunar/tiny*/clips/a.txt")
    assert len(result.read_text().splitlines()) == 8


def test_wrong_words_end_in_one_line(packed, tmp_path, capsys):
    for words, message in (
        (["run", tmp_path, tmp_path / "out"], "no pack.json"),
        (["run", packed, tmp_path / "out", "--stage", "tiny"], "expected CONFIG SHARE"),
        (["run", packed, tmp_path / "out", "--stage", "no_such", "1"], "no configuration 'no_such'"),
        (["pack", packed, "--data", "x=1"], "is there already"),
        (["pack", tmp_path / "p", "--data", "x"], "expected DATA=SHARE"),
    ):
        assert job(*words) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists() and not (tmp_path / "p").exists()


def test_a_missing_package_is_named_at_once(packed, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert job("run", packed, tmp_path / "out") == 3
    assert "not installed here: lmdb; bring their wheels" in capsys.readouterr().err
