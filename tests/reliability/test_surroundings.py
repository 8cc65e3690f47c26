"""F24 and F25: unusual places, and libraries that are missing. Whole commands in processes of their own."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lib.data import image as images
from lib.data.image import encode_jpeg
from tests.reliability.places import mounted

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "OMP_NUM_THREADS": "1"}


def write_dataset(folder):
    """Two sequences of three frames."""
    for name in ("a", "b 夜"):
        (folder / name / "img").mkdir(parents=True)
        for number in range(3):
            picture = encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
            (folder / name / "img" / f"{number}.jpg").write_bytes(picture)
        (folder / name / "groundtruth.txt").write_text("1,2,3,4\n" * 3)
    return folder


def run(*words, before=(), python=(sys.executable,), root=ROOT, cwd=ROOT, **environment):
    """Run a command of tracking/. Returns (exit code, stdout, stderr). A variable of None is not set."""
    script, *words = map(str, words)
    settings = {name: value for name, value in {**ENVIRONMENT, **environment}.items() if value is not None}
    command = [*before, *python, str(root / "tracking" / script), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=cwd, timeout=120)
    return done.returncode, done.stdout, done.stderr


def track_and_score(dataset, output, **options):
    """Track and score a dataset; both must end with 0, an untroubled stderr, and a table that names it."""
    code, out, err = run("test.py", "identity", "baseline", "--dataset", dataset, "--save_dir", output, **options)
    assert (code, err) == (0, "") and "2 of 2 sequences tracked" in out
    code, out, err = run("analysis_results.py", "--dataset", dataset, "--results", output, **options)
    assert (code, err) == (0, "") and "identity baseline" in out
    return out


# ---- F24: places ----------------------------------------------------------------------------------------------------


def test_read_only_repository(tmp_path):
    before, dataset = mounted(read_only=[ROOT]), write_dataset(tmp_path / "for a read-only repository")
    track_and_score(dataset, tmp_path / "out", before=before)
    output = ROOT / "output"
    code, _, err = run("test.py", "identity", "baseline", "--dataset", dataset, "--save_dir", output, before=before)
    place = output / "test/tracking_results/identity/baseline" / dataset.name
    assert code == 3 and err.startswith(f"lunar: error: {place}") and err.count("\n") == 1
    assert err.endswith(": cannot write: Read-only file system\n") and not place.exists()


def test_read_only_home(tmp_path):
    """matplotlib wants to keep its list of fonts there."""
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    options = {"before": mounted(read_only=[home]), "HOME": str(home)}
    command = ("test.py", "identity", "baseline", "--dataset", write_dataset(tmp_path / "set"), "--save_dir", out)
    assert run(*command, **options)[::2] == (0, "")
    code, _, _ = run("analysis_results.py", "--results", out, "--plots", out / "plots", **options)
    assert code == 0 and list((out / "plots").rglob("*.pdf")) and not list(home.iterdir())


def test_no_home(tmp_path):
    track_and_score(write_dataset(tmp_path / "set"), tmp_path / "out", HOME=None)


def test_temporary_folder_missing(tmp_path):
    track_and_score(write_dataset(tmp_path / "set"), tmp_path / "out", TMPDIR=str(tmp_path / "none"))


def test_from_elsewhere_by_relative_paths(tmp_path):
    write_dataset(tmp_path / "set")
    (tmp_path / "here").mkdir()
    track_and_score("../set", "out", cwd=tmp_path / "here")
    assert (tmp_path / "here/out/test/tracking_results/identity/baseline/set/a.txt").is_file()


def test_blanks_and_unicode_in_every_path(tmp_path):
    """Of the repository itself too, on a terminal that can show none of it."""
    place = tmp_path / "mein Überblick 夜" / "repository"
    place.mkdir(parents=True)
    dataset = write_dataset(tmp_path / "mein Überblick 夜" / "videos 夜 'quoted' $HOME")
    before = mounted(elsewhere=[(ROOT, place)])
    options = {"before": before, "root": place, "cwd": place.parent}
    assert "夜 'quoted' $HOME" in track_and_score(dataset, place.parent / "out put", LC_ALL="C.UTF-8", **options)
    track_and_score(dataset, place.parent / "out", LC_ALL="C", PYTHONIOENCODING="ascii", **options)


# ---- F25: what is missing -------------------------------------------------------------------------------------------

BLOCKED = """
import importlib.abc, runpy, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            raise {error}

sys.meta_path.insert(0, Blocked())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
NOT_INSTALLED = 'ModuleNotFoundError(f"No module named {name!r}", name=name)'
NO_LIBRARY = 'ImportError("libGL.so.1: cannot open shared object file: No such file or directory", name=name)'
OPTIONAL = ("jpeg4py", "matplotlib", "tensorboard", "onnxruntime", "onnx", "torch", "torchvision", "timm", "PIL")


def run_without(missing, *words, error=NOT_INSTALLED):
    """As `run`, where the import of these packages fails."""
    return run(*words, python=(sys.executable, "-c", BLOCKED.format(missing=missing, error=error)))


def test_tracking_and_scoring_do_without_all_of_them(tmp_path):
    """jpeg4py stands for libturbojpeg too; no network and no plot is asked for."""
    dataset, out = write_dataset(tmp_path / "set"), tmp_path / "out"
    command = ("test.py", "identity", "baseline", "--dataset", dataset, "--save_dir", out)
    code, text, err = run_without(OPTIONAL, *command)
    assert (code, err) == (0, "") and "2 of 2 sequences tracked" in text
    code, text, err = run_without(OPTIONAL, "analysis_results.py", "--results", out)
    assert (code, err) == (0, "") and "identity baseline" in text
    code, _, err = run_without(OPTIONAL, "analysis_results.py", "--results", out, "--plots", out / "plots")
    assert (code, err) == (3, "lunar: error: plots need matplotlib: pip install matplotlib\n")


def test_jpeg_without_libturbojpeg(monkeypatch):
    """jpeg4py is installed by pip and looks for the library only when it is first used."""

    def missing():
        raise OSError("Could not load libturbojpeg.so")

    monkeypatch.setattr("jpeg4py._cffi.initialize", missing)
    assert images._jpeg4py.__wrapped__() is None


@pytest.mark.parametrize(
    ("missing", "error", "expected"),
    [
        ("cv2", NO_LIBRARY, "libGL.so.1: cannot open .*; install it with: apt-get install libgl1 "),
        ("cv2", NOT_INSTALLED, "No module named 'cv2'; install it with: pip install opencv-python "),
        ("pydantic", NOT_INSTALLED, "No module named 'pydantic'; install it with: pip install pydantic "),
    ],
    ids=["libGL", "opencv", "pydantic"],
)
def test_what_cannot_be_done_without_is_one_line(tmp_path, missing, error, expected):
    dataset = write_dataset(tmp_path / "set")
    command = ("test.py", "identity", "baseline", "--dataset", dataset, "--save_dir", tmp_path / "out")
    code, _, err = run_without([missing], *command, error=error)
    assert code == 3 and re.fullmatch(f"lunar: error: {expected}.*\n", err)


AFTER_TORCH = """
import logging, sys
from pathlib import Path
from lib import cli
from lib.errors import MachineError
from lib.train.admin.journal import Journal

logging.basicConfig(format="%(message)s", stream=sys.stdout)
sys.modules["tensorboard"] = None
print(cli.choose_devices("auto"))
for device in ("cuda", "cuda:1"):
    try:
        cli.choose_devices(device)
    except MachineError as error:
        print(error)
journal = Journal(Path(sys.argv[1]), "lunar-tiny")
journal.record(event="train", step=1, Loss=0.5)
journal.record(event="train", step=2, Loss=0.25)
print(len(journal.records.read_text().splitlines()), "records")
"""


def test_no_gpu_and_no_tensorboard(tmp_path):
    """In one process, since torch is imported for both."""
    settings = {**ENVIRONMENT, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-c", AFTER_TORCH, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=settings, cwd=ROOT, timeout=120)
    devices, first, second, board, records = done.stdout.splitlines()
    assert (done.returncode, devices, records) == (0, "['cpu']", "2 records")
    assert first.startswith("--device cuda: there is no such device here") and second.startswith("--device cuda:1: ")
    assert board.startswith("no TensorBoard (") and board.endswith("pip install tensorboard")
