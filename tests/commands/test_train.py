"""tracking/train.py as a user meets it: budgets, wrong words, dry run, and a short training to tracked results."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lib import config
from lib.errors import UserError
from tests import processes

ROOT = Path(__file__).resolve().parents[2]
KEYS = ("DATA.TRAIN.DATASETS_NAME=[lunar_demo]", "DATA.VAL.DATASETS_NAME=[]", "MODEL.PRETRAIN_FILE=''")
ENHANCER = ["--script", "enhancer", "--config", "baseline"]
DEMO = [word for key in KEYS for word in ("--set", key)]


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """Write experiments/lunar/<name>.yaml somewhere else: recipe(name, text) -> name."""
    monkeypatch.setattr(config, "EXPERIMENTS", tmp_path / "experiments")

    def write(name, text):
        path = tmp_path / "experiments" / "lunar" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return name

    return write


def test_a_budget_goes_over_the_rest_and_set_over_both(recipe):
    recipe("base", "TRAIN: {LR: 1e-3, EPOCH: 7}\nBUDGETS:\n  smoke: {TRAIN: {EPOCH: 1, BATCH_SIZE: 2}}\n  full: {}\n")
    name = recipe("child", "_BASE_: base.yaml\nBUDGETS: {smoke: {TRAIN: {BATCH_SIZE: 3}}}\n")
    plain, smoke = config.load("lunar", name).TRAIN, config.load("lunar", name, budget="smoke").TRAIN
    assert (plain.EPOCH, plain.BATCH_SIZE, plain.LR) == (7, 32, 1e-3)
    assert (smoke.EPOCH, smoke.BATCH_SIZE, smoke.LR) == (1, 3, 1e-3)
    assert config.load("lunar", name, ["TRAIN.EPOCH=9"], budget="smoke").TRAIN.EPOCH == 9
    assert config.load("lunar", name, budget="full") == config.load("lunar", name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "BUDGETS:\n  smoke:\n    TRAIN: {EPOCHS: 3}\n",
            "x.yaml:3: unknown key TRAIN.EPOCHS (did you mean TRAIN.EPOCH?)",
        ),
        ("BUDGETS:\n  smoke:\n    TRAIN:\n      LR: -1\n", "x.yaml:4: TRAIN.LR: input should be greater than 0"),
        ("BUDGETS:\n  smoke: 3\n", "x.yaml:2: BUDGETS.smoke: expected KEY: value lines, found 3"),
        ("BUDGETS: [smoke]\n", "x.yaml:1: BUDGETS.<name>: expected KEY: value lines"),
        ("BUDGETS: {tiny: {}, full: {}}\n", "x.yaml: --budget smoke: not among this recipe's BUDGETS; there are: tiny"),
        ("TRAIN: {LR: 1}\n", "x.yaml: --budget smoke: not among this recipe's BUDGETS; there are: none"),
    ],
)
def test_wrong_budgets_are_one_line(recipe, text, message):
    with pytest.raises(UserError) as error:
        config.load("lunar", recipe("x", text), budget="smoke")
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--config", "tinny"], 2, "no configuration 'tinny' of lunar (did you mean tiny?)"),
        (["--script", "lunr"], 2, "no tracker named 'lunr' (did you mean lunar?)"),
        (["--script", "identity"], 2, "--script identity: has no training; those that have: lunar"),
        (["--config", "tiny", "--set", "DATA.TRAIN.DATASETS_NAME=[]"], 2, "DATA.TRAIN.DATASETS_NAME: is empty"),
        (["--config", "tiny_pairs", "--set", "TEST.WINDOW=expected"], 2, "WINDOW expected needs MODEL.QUERY.ENABLE"),
        (["--config", "tiny", "--set", "TRAIN.FEATURE_WEIGHT=1"], 2, "is for a network without MODEL.QUERY"),
        (["--set", "DATA.TRAIN.DATASETS_NAME=[/gone/away]"], 2, "no benchmark or folder '/gone/away'"),
        (["--set", "DATA.TRAIN.DATASETS_NAME=[lunar]", "--data_root", "/gone"], 2, "/gone/lunar"),
        ([*DEMO, "--set", "DATA.VAL.DATASETS_NAME=[/gone]"], 2, "no benchmark or folder '/gone'"),
        ([*DEMO, "--budget", "huge"], 2, "--budget huge: not among this recipe's BUDGETS"),
        ([*DEMO, "--resume", "gone.tar"], 2, "gone.tar: --resume: expected auto, never or a checkpoint"),
        ([*DEMO, "--seed", "-1"], 2, "--seed -1: expected 0"),
        ([*DEMO, "--mode", "multi_node", "--rank", "2", "--world-size", "2"], 2, "--rank 0 to N-1"),
        ([*DEMO, "--nproc_per_node", "0"], 2, "--nproc_per_node 0: expected at least 1"),
        ([*DEMO, "--mode", "single", "--nproc_per_node", "2"], 2, "--mode multiple takes several"),
        ([*DEMO, "--script_prv", "lunar", "--save_dir", "/gone"], 2, "no weights of an earlier stage here, and no"),
        ([*DEMO, "--set", "MODEL.PRETRAIN_FILE=mae.pth"], 2, "mae.pth: MODEL.PRETRAIN_FILE: no such file"),
        (["--script", "enhancr"], 2, "(did you mean enhancer?)"),
        ([*ENHANCER, "--set", "DATA.TRAIN.DATASETS_NAME=[]"], 2, "DATA.TRAIN.DATASETS_NAME=[lunar_day] trains on"),
        ([*ENHANCER, "--set", "MODEL.GATE=[0.4,0.2]"], 2, "GATE [0.4, 0.2]: expected two rising numbers"),
        ([*ENHANCER, "--set", "TRAIN.VAL_FRAMES=3"], 2, "unknown key TRAIN.VAL_FRAMES"),
    ],
)
def test_wrong_words_are_one_line(command, capsys, words, code, message):
    assert command("train.py", *words) == code
    text = capsys.readouterr().err
    assert message in text and text.startswith("lunar: error: ") and text.count("\n") == 1


def test_wrong_words_cost_no_torch():
    code = (
        "import sys, runpy; main = runpy.run_path(sys.argv[1])['main']\n"
        "code = main(['--set', 'DATA.TRAIN.DATASETS_NAME=[/gone]'])\n"
        "sys.exit(code if 'torch' not in sys.modules else 99)"
    )
    words = [sys.executable, "-c", code, ROOT / "tracking" / "train.py"]
    assert subprocess.run(words, capture_output=True, timeout=60).returncode == 2


SMALL = [
    *("--config", "tiny", *DEMO),
    *("--set", "DATA.VAL.DATASETS_NAME=[lunar_demo]", "--set", "DATA.VAL.SAMPLE_PER_EPOCH=4"),
    *("--set", "DATA.TRAIN.SAMPLE_PER_EPOCH=8", "--set", "TRAIN.BATCH_SIZE=2", "--set", "TRAIN.EPOCH=1"),
    *("--set", "TRAIN.NUM_WORKER=1", "--set", "TRAIN.VAL_FRAMES=3", "--set", "TRAIN.PRECISION=fp32"),
]


def run(script, *words):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "OMP_NUM_THREADS": "1"}
    return processes.run(ROOT / "tracking" / script, *words, env=environment)


def test_two_processes_train_what_test_then_tracks(tmp_path):
    """Through torchrun, with a loader's process each, a closed-loop validation, and the export that test.py takes."""
    done = run(
        "train.py", *SMALL, "--mode", "multiple", "--nproc_per_node", 2, "--device", "cpu", "--save_dir", tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("[train: 1, 2 / 2]") == 1 and "[val: 1] AUC: " in done.stdout
    weights = tmp_path / "checkpoints" / "train" / "lunar" / "tiny" / "Lunar_final.safetensors"
    words = [
        "lunar",
        "tiny",
        "--dataset",
        "lunar_demo",
        "--sequence",
        0,
        "--save_dir",
        tmp_path,
        "--checkpoint",
        weights,
    ]
    done = run("test.py", *words)
    assert done.returncode == 0, done.stderr


def test_the_exit_code_comes_through_torchrun(tmp_path):
    words = [*SMALL, "--nproc_per_node", 2, "--device", "cpu", "--save_dir", tmp_path, "--set", "TRAIN.BATCH_SIZE=9"]
    done = run("train.py", *words)
    assert done.returncode == 2 and "does not fill one step of 18 samples" in done.stderr


def test_a_dry_run_of_the_command(tmp_path):
    words = [*SMALL, "--set", "TRAIN.BATCH_SIZE=1", "--set", "TRAIN.NUM_WORKER=0"]
    done = run("train.py", *words, "--nproc_per_node", 99, "--dry_run", "--save_dir", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert re.search(r"--nproc_per_node 99: \d GPUs are visible: starting \d process(es)? instead", done.stdout)
    assert "search_images" in done.stdout and "parameters" in done.stdout and not (tmp_path / "out").exists()


def test_an_enhancer_learns_through_a_frozen_tracker_then_with_it(tmp_path):
    """Stages B and C, from the weights that ship: B leaves the tracker alone, and its enhancer is any tracker's."""
    from safetensors.torch import load_file

    from lib.models.enhancer import load_enhancer

    folder, few = tmp_path / "checkpoints" / "train" / "lunar", [*SMALL[2:], "--save_dir", tmp_path]
    few += ["--set", "DATA.VAL.DATASETS_NAME=[]", "--set", "MODEL.ENHANCER.WEIGHTS=''"]
    done = run("train.py", "--config", "tiny_stage_b", "--script_prv", "lunar", "--config_prv", "tiny_pairs", *few)
    assert done.returncode == 0, done.stderr
    assert f"earlier stage: {ROOT / 'pretrained' / 'lunar_tiny_pairs.safetensors'}" in done.stdout
    shipped, trained = load_file(ROOT / "pretrained" / "lunar_tiny_pairs.safetensors"), folder / "tiny_stage_b"
    learned = load_file(trained / "Lunar_final.safetensors")
    assert all(learned[name].equal(value) for name, value in shipped.items())
    enhancer = load_enhancer(trained / "Lunar_final_enhancer.safetensors").state_dict()
    assert all(learned[f"enhancer.{name}"].equal(value) for name, value in enhancer.items())
    done = run("train.py", "--config", "tiny_stage_c", "--script_prv", "lunar", "--config_prv", "tiny_stage_b", *few)
    assert done.returncode == 0, done.stderr
    learned = load_file(folder / "tiny_stage_c" / "Lunar_final.safetensors")
    assert not all(learned[name].equal(value) for name, value in shipped.items())


def test_the_enhancer_trains_on_photographs_in_two_processes_and_goes_on(command, capsys, tmp_path):
    """The curve too, whose trunk has weights without a gradient; and a script that does not track is no tracker."""
    import numpy as np

    from lib.data.image import encode_jpeg
    from lib.models.enhancer import load_enhancer

    rng = np.random.default_rng(0)
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(encode_jpeg(rng.integers(60, 250, (48, 64, 3), np.uint8)))
    words = ["--script", "enhancer", "--config", "curve", "--budget", "smoke", "--save_dir", tmp_path / "out"]
    words += ["--set", f"DATA.TRAIN.DATASETS_NAME=['{tmp_path}#[0-2]']", "--set", "DATA.TRAIN.SAMPLE_PER_EPOCH=8"]
    words += ["--set", f"DATA.VAL.DATASETS_NAME=['{tmp_path}#3']", "--set", "DATA.VAL.SAMPLE_PER_EPOCH=4"]
    words += ["--set", "DATA.CROP=32", "--set", "TRAIN.BATCH_SIZE=2", "--set", "TRAIN.NUM_WORKER=1", "--device", "cpu"]
    done = run("train.py", *words, "--nproc_per_node", 2, "--set", "TRAIN.EPOCH=1")
    assert done.returncode == 0, done.stderr
    assert "[train: 1, 2 / 2]" in done.stdout and "[val: 1] PSNR: " in done.stdout and "AUC" not in done.stdout
    folder = tmp_path / "out" / "checkpoints" / "train" / "enhancer" / "curve"
    assert load_enhancer(folder / "Curve_final.safetensors").type == "curve"
    assert command("train.py", *words, "--set", "TRAIN.EPOCH=2", "--resume", folder / "Curve_ep0001.pth.tar") == 0
    assert "[train: 2, 4 / 4]" in capsys.readouterr().out
    assert command("train.py", *words, "--dry_run") == 0
    assert "night " in capsys.readouterr().out
    assert command("test.py", "enhancer", "baseline", "--dataset", "lunar_demo", "--save_dir", tmp_path / "none") == 2
    assert "this script has no tracker; those that have: lunar" in capsys.readouterr().err
