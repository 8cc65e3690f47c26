"""The recipes of docs/recipes as they are: with their engines where those are installed, their answers without."""

import os
import runpy
import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from lib.models.enhancer import build_enhancer, save_enhancer
from tests import processes
from tests.evaluation.test_runner import write_sequence

ROOT = Path(__file__).resolve().parents[2]
RECIPES = {"submitit": ["--cluster", "local"], "ray": []}
every_recipe = pytest.mark.parametrize("engine", RECIPES)


def run(engine, *words, **environment):
    return processes.run(ROOT / f"docs/recipes/evaluate_{engine}.py", *words, env={**os.environ, **environment})


@every_recipe
def test_a_recipe_is_one_page(engine):
    assert len((ROOT / f"docs/recipes/evaluate_{engine}.py").read_text().splitlines()) <= 60


@every_recipe
def test_help_and_wrong_words(engine):
    done = run(engine, "--help")
    assert done.returncode == 0 and f"docs/recipes/evaluate_{engine}.py" in done.stdout and "--parts" in done.stdout
    for words, message in (
        (["lunar"], "required: tracker_param, --dataset"),
        (["lunar", "tiny", "--dataset", "x", "--parts", "0"], "--parts: expected at least 1"),
        (["lunar", "tiny", "--dataset", "x", "--parts", "many"], "invalid int value: 'many'"),
    ):
        done = run(engine, *words)
        assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr


@every_recipe
def test_without_its_engine_it_says_what_to_install(engine, tmp_path):
    (tmp_path / f"{engine}.py").write_text("raise ImportError\n")
    done = run(engine, "identity", "baseline", "--dataset", "x", PYTHONPATH=str(tmp_path))
    assert done.returncode == 3
    assert done.stderr == f"lunar: error: {engine} is missing: pip install {engine}\n"


@every_recipe
def test_parts_are_tracked_and_scored(engine, tmp_path):
    """All is there and scored; a failing sequence gives the exit code of test.py, and nothing is scored."""
    pytest.importorskip(engine, reason=f"needs {engine}: pip install {engine}")
    for name in "abc":
        write_sequence(tmp_path / "set", name)
    words = ["identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", tmp_path / "out", *RECIPES[engine]]
    done = run(engine, *words, "--runid", "7")
    assert done.returncode == 0, done.stderr
    assert "part 1/2: exit code 0" in done.stdout and "part 2/2: exit code 0" in done.stdout
    assert "set (clean): 3 sequences, 18 frames" in done.stdout and "identity baseline_007" in done.stdout
    (tmp_path / "set/b/img/0003.jpg").write_bytes(b"no image")
    done = run(engine, *words)
    assert done.returncode == 4 and "part 2/2: exit code 4" in done.stdout and "(clean)" not in done.stdout
    place = tmp_path / "out/test/tracking_results/identity/baseline/set"
    assert sorted(path.name for path in place.glob("?.txt")) == ["a.txt", "c.txt"]


def test_trainings_without_a_part_are_compared(tmp_path):
    """Two trainings, tracked and compared by ablate.py; a second call trains and tracks nothing again."""
    tiny = ["TRAIN.EPOCH=1", "DATA.TRAIN.SAMPLE_PER_EPOCH=16", "TRAIN.BATCH_SIZE=8", "DATA.VAL.DATASETS_NAME=[]"]
    data, without = ["lunar_demo#car_road=.7", "lunar_day#day_00=.3"], "night alone: lunar_day#day_00"
    words = ["--train", *data, "--without", without, "--rows", "night alone", "--workers", "2", "--set", *tiny]
    words += ["--dataset", "lunar_demo#ball_park", "--save_dir", tmp_path / "my 'rows'", "--device", "cpu"]
    recipe = [ROOT / "docs/recipes/ablate_training.py", *words]
    for again in (False, True):
        done = processes.run(*recipe)
        assert done.returncode == 0, done.stderr
        table = [line.split(" | ")[0].strip() for line in done.stdout.splitlines() if " | " in line]
        assert table == ["row", "whole", "night alone"]
        assert ("were there already" in done.stdout) == again
    weights = [path.read_bytes() for path in sorted(tmp_path.glob("*/*/checkpoints/train/lunar/tiny_pairs/*_final*"))]
    assert len(weights) == len(set(weights)) == 2
    wrong = processes.run(*recipe, "--without", "no such: coco17")
    assert wrong.returncode == 2 and "--without of that DATA" in wrong.stderr


def test_nights_are_compared_with_real_ones(tmp_path, capsys):
    """A line for each source, real and simulated, and a sheet with all of them."""
    rng = np.random.default_rng(0)
    (tmp_path / "day/img").mkdir(parents=True)
    for name in "abc":
        night = np.clip(40 + rng.normal(0, 10, (120, 160, 3)), 0, 255).astype(np.uint8)
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.GaussianBlur(night, (0, 0), 1.0))
        day = cv2.resize(rng.integers(90, 250, (3, 4, 3), np.uint8), (160, 120), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(tmp_path / f"day/img/{name}.png"), day)
    recipe = runpy.run_path(str(ROOT / "docs/recipes/calibrate_night.py"))["main"]
    words = ["--day", tmp_path / "day", "--pictures", "3", "--real", tmp_path, "--nights", "heavy,video_heavy,crops"]
    assert recipe([*map(str, words), "--picture", str(tmp_path / "sheet.jpg")]) == 0
    lines = [[cell.strip() for cell in row.split("|")[1:-1]] for row in capsys.readouterr().out.splitlines()]
    assert [row[0] for row in lines[2:]] == [tmp_path.name, "`@heavy`", "`@video_heavy`", "training crops"]
    columns = {title: number for number, title in enumerate(lines[0])}
    real, heavy, video = lines[2:5]
    assert float(real[columns["lag 1"]]) > 0.6 > 0.3 > float(heavy[columns["lag 1"]])
    assert float(video[columns["lag 1"]]) > 0.3 and float(video[columns["frames"]]) > float(heavy[columns["frames"]])
    # Of a folder the last picture only follows the one before it: two of three are shown.
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (8 * 160, 2 * 240, 3)
    for wrong, message in (
        (["--nights", "dusk"], "--nights dusk: expected some of mild, "),
        (["--real", str(tmp_path / "none"), "--nights", "heavy"], "none"),
        (["--picture", "sheet.bmp"], "ends in .jpg or .png"),
        (["--pictures", "0"], "--pictures: expected at least 1"),
    ):
        assert recipe(["--day", str(tmp_path / "day"), *wrong]) == 2
        assert message in capsys.readouterr().err


def test_enhanced_photographs_are_drawn_as_a_sheet(tmp_path, capsys):
    """A row a photograph; input, result and, of two steps, the first; by day there is nothing but the input twice."""
    for name, light in (("a", 30), ("b", 20), ("c", 200)):
        image = np.random.default_rng(0).integers(0, light, (60, 80, 3), np.uint8) + (light - light // 2)
        cv2.imwrite(str(tmp_path / f"{name}.png"), image)
    save_enhancer(tmp_path / "two.safetensors", build_enhancer("haze_diffusion", channels=(4, 4, 4)))
    recipe = runpy.run_path(str(ROOT / "docs/recipes/enhanced_sheet.py"))["main"]
    words = [str(tmp_path), str(tmp_path / "sheet.png"), "--enhancers", str(tmp_path / "two.safetensors")]
    assert recipe([*words, "--width", "80"]) == 0
    assert "3 photographs of 3: a.png, b.png, c.png" in capsys.readouterr().out
    sheet = cv2.imread(str(tmp_path / "sheet.png")).astype(float)
    assert sheet.shape == (180, 240, 3)
    for top in (0, 60):
        dark, result, first = (sheet[top : top + 60, x : x + 80].mean() for x in (0, 80, 160))
        assert dark < first < result
    assert np.array_equal(sheet[120:, :80], sheet[120:, 80:160]) and not sheet[120:, 160:].any()
    for wrong, message in (
        (["--pictures", "0"], "--pictures, --width: expected at least 1"),
        (["--enhancers", ","], "--enhancers: expected at least one name or file"),
        (["--enhancers", "gama"], "gama: no such file"),
    ):
        assert recipe([*words, *wrong]) == 2
        assert message in capsys.readouterr().err
    assert recipe([str(tmp_path), "sheet.bmp", *words[2:]]) == 2


def test_results_are_drawn_as_a_picture(tmp_path, command, capsys):
    """A row for each sequence and a column for each time, the true box in green on every frame."""
    words = ["identity", "baseline", "--dataset", "lunar_demo#[bc]a[lr]*_[pr]*", "--save_dir", tmp_path]
    assert command("test.py", *words) == 0
    recipe = runpy.run_path(str(ROOT / "docs/recipes/picture.py"))["main"]
    words = ["--sequences", "ball_park", "car_road", "--tracker", "identity:baseline", "--results", str(tmp_path)]
    assert recipe([str(tmp_path / "out.png"), *words, "--columns", "3", "--width", "160"]) == 0
    picture = cv2.imread(str(tmp_path / "out.png")).astype(int)
    assert picture.shape == (2 * 90 + 4, 3 * 160 + 2 * 4, 3)
    assert (picture[90:94] == 255).all(), "a gap"
    green = (picture[..., 1] > 150) & (picture[..., 0] < 150) & (picture[..., 2] < 150)
    assert all(green[y : y + 90, x : x + 160].any() for y in (0, 94) for x in (0, 164, 328))
    capsys.readouterr()
    assert recipe([str(tmp_path / "out.png"), *words, "--dataset", "lunar_day"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_cvat_calls_three_methods(monkeypatch):
    """A shape is tracked as the public API tracks it, and none is answered where the target is not believed there."""
    from lib import load_dataset, load_tracker

    try:
        import cvat_sdk.auto_annotation as cvat
    except ImportError:  # its two value classes stand in for the package
        cvat = types.ModuleType("cvat_sdk.auto_annotation")
        for name in ("TrackingFunctionSpec", "TrackableShape"):
            setattr(cvat, name, type(name, (types.SimpleNamespace,), {}))
        monkeypatch.setitem(sys.modules, "cvat_sdk", types.ModuleType("cvat_sdk"))
        monkeypatch.setitem(sys.modules, "cvat_sdk.auto_annotation", cvat)
        monkeypatch.setattr(sys.modules["cvat_sdk"], "auto_annotation", cvat, raising=False)
    function = runpy.run_path(str(ROOT / "docs/recipes/cvat_function.py"))["create"]("opencv", "mil")
    assert set(function.spec.supported_shape_types) == {"rectangle"}
    (sequence,) = load_dataset("lunar_demo#ball_park")
    frames = [sequence.frames()[number] for number in range(3)]
    images = [function.preprocess_image(None, Image.fromarray(frame)) for frame in frames]
    x, y, w, h = sequence.first_box.tolist()
    shape = cvat.TrackableShape(type="rectangle", points=[x, y, x + w, y + h])
    states = [function.init_tracking_state(None, images[0], shape) for _ in range(2)]
    tracker = load_tracker("opencv", "mil")
    tracker.initialize(frames[0], (x, y, w, h))
    for number in (1, 2):
        expected = tracker.track(frames[number])
        for state in states:
            found = function.track(None, images[number], state)
            left, top, right, bottom = found.points
            assert found.type == "rectangle" and (left, top, right - left, bottom - top) == pytest.approx(expected.box)
    lost = types.SimpleNamespace(track=lambda frame: types.SimpleNamespace(present=False, box=(0, 0, 1, 1)))
    assert function.track(None, images[0], lost) is None
