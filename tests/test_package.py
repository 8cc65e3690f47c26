"""The wheel: built from the tree, unpacked elsewhere, and used from a folder that holds somebody else's `lib`."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "lib", "experiments", "pretrained")
SETUPTOOLS = (77, 0)  # the first that reads `license = "MIT"`


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder that holds the package `lunar_tracking` as pip would install it."""
    setuptools = pytest.importorskip("setuptools", reason="setuptools builds the wheel")
    if tuple(map(int, setuptools.__version__.split(".")[:2])) < SETUPTOOLS:
        pytest.skip(f"setuptools {setuptools.__version__} is too old to build the wheel")
    tree, site = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("site")
    for part in PARTS:
        source = ROOT / part
        if source.is_dir():
            shutil.copytree(source, tree / part, ignore=shutil.ignore_patterns("__pycache__", "*.jsonl"))
        else:
            shutil.copy(source, tree / part)
    code = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, str(site)], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = site.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def elsewhere(tmp_path):
    """A working directory with a package `lib` of another project, as every descendant of STARK has one."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "__init__.py").write_text("raise ImportError('the lib of another project')\n")
    return tmp_path


def run(site, folder, *words):
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-c", "import sys; from lunar_tracking.commands import main; sys.exit(main())", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def test_the_wheel_holds_code_configurations_and_weights_and_nothing_else(installed):
    top = {path.name for path in installed.iterdir() if path.is_dir()}
    assert {name for name in top if not name.endswith(".dist-info")} == {"lunar_tracking"}
    inside = installed / "lunar_tracking"
    names = {path.relative_to(ROOT / "experiments") for path in (ROOT / "experiments").glob("*/*.yaml")}
    assert {path.relative_to(inside / "experiments") for path in (inside / "experiments").glob("*/*.yaml")} == names
    weights = {path.name for path in (ROOT / "pretrained").glob("*.safetensors")}
    assert {path.name for path in (inside / "pretrained").glob("*.safetensors")} == weights
    assert len(list(inside.glob("pretrained/*_onnx/*.onnx"))) >= 4
    entry = next(installed.glob("*.dist-info/entry_points.txt")).read_text()
    assert "lunar = lunar_tracking.commands:main" in entry


def test_it_tracks_from_another_projects_folder(installed, elsewhere):
    done = run(installed, elsewhere, "test", "lunar", "tiny", "--dataset", "lunar_demo#*drone_city", "--device", "cpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "score them with: lunar analyse" in done.stdout
    assert list((elsewhere / "output" / "test" / "tracking_results").rglob("*drone_city.txt"))
    code = (
        "import lunar_tracking as lt; t = lt.load_tracker('lunar', 'tiny'); print(type(t).__module__, lt.__version__)"
    )
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("lunar_tracking.api"), done.stderr


def test_commands_are_listed_and_a_wrong_one_is_answered(installed, elsewhere):
    done = run(installed, elsewhere, "--help")
    assert done.returncode == 0 and "analyse" in done.stdout and "train" in done.stdout
    done = run(installed, elsewhere, "tset")
    assert done.returncode == 2 and "did you mean test?" in done.stderr
    done = run(installed, elsewhere, "track", "--help")
    assert (
        done.returncode == 0 and done.stdout.startswith("usage: lunar track") and "python tracking/" not in done.stdout
    )
