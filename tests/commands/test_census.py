"""tracking/census.py as a user runs it."""

import json

import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.image import encode_jpeg
from tests.commands.test_commands import run


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two clips of the demo, a few frames each, as a user's folder of images."""
    root = tmp_path_factory.mktemp("census") / "my videos é"
    for one in benchmarks.load("lunar_demo")[5:7]:
        place = root / one.name / "img"
        place.mkdir(parents=True)
        frames = one.frames()
        for index in range(6):
            (place / f"{index:03d}.jpg").write_bytes(encode_jpeg(frames[index], 95))
        np.savetxt(root / one.name / "groundtruth.txt", one.boxes_xywh[:6], "%.2f", ",")
    return root


def test_the_demo_and_a_folder_with_all_that_can_be_written(folder, tmp_path):
    out = {name: tmp_path / "out" / f"c.{name}" for name in ("json", "tex", "csv")}
    words = ["--json", out["json"], "--latex", out["tex"], "--csv", out["csv"], "--plots", tmp_path / "plots"]
    done = run("census.py", f"lunar_demo#*_city,{folder}", "--pixels", "--per_sequence", *words)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    first, second = done.stdout.splitlines()[3:5]
    assert first.split("|")[:2] == ["lunar_demo  ", "      2 "] and second.split("|")[0].strip() == "my videos é"
    for text in ("tiny (LaTOT) *", "low illumination *", "Sequences of lunar_demo", "tiny_ball_park", "640x360"):
        assert text in done.stdout
    assert all(path.exists() for path in out.values()) and (out["csv"].parent / "c_sizes.csv").exists()
    assert len(list((tmp_path / "plots").iterdir())) == 6
    datasets = json.loads(out["json"].read_text())["datasets"]
    assert [one["frames"] for one in datasets] == [128, 12]
    assert datasets[1]["derived"]["tiny (LaTOT)"] == 2


def test_without_pixels_nothing_is_said_of_light(folder):
    done = run("census.py", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Size of the targets" in done.stdout and "Light" not in done.stdout and "illumination" not in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lunar_dem"], "did you mean lunar_demo?"),
        (["latot", "--data_root", "{tmp}"], "no such folder"),
        ([""], "no dataset in ''"),
        (["{broken}", "--pixels"], "003.jpg: damaged or truncated JPEG"),
        (["{short}"], "5 rows for 6 frames"),
    ],
)
def test_what_is_wrong_is_one_line(folder, tmp_path, words, message):
    import shutil

    broken, short = (shutil.copytree(folder, tmp_path / name) for name in ("broken", "short"))
    for file in broken.rglob("003.jpg"):
        file.write_bytes(file.read_bytes()[:2000])
    for file in short.rglob("groundtruth.txt"):
        file.write_text("\n".join(file.read_text().splitlines()[:5]))
    done = run("census.py", *(word.format(tmp=tmp_path, broken=broken, short=short) for word in words))
    assert done.returncode == 2 and message in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_a_place_that_cannot_be_written_is_the_machines_fault(folder, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("census.py", folder, "--json", tmp_path / "file" / "c.json")
    assert done.returncode == 3 and "cannot write" in done.stderr
