"""Packers for evaluation servers: what they write is what the server documents, complete, the same twice, no loss."""

import dataclasses
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.data.boxes import iou
from lib.errors import UserError
from lib.test.evaluation import results
from lib.test.evaluation.results import Run
from lib.test.utils import packing, transform_got10k, transform_nt_vot211, transform_trackingnet

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = {"got10k": transform_got10k, "trackingnet": transform_trackingnet, "nt_vot211": transform_nt_vot211}
FLAGS = ["--tracker_name", "lunar", "--cfg_name", "baseline_001"]
FRAMES = 4


def boxes_of(name):
    """(FRAMES, 4) boxes with three decimals that differ from sequence to sequence, one row absent."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    boxes = np.random.default_rng(seed).uniform(1, 300, (FRAMES, 4)).round(3)
    boxes[2] = np.nan
    return boxes


def place(folder, name, times=True):
    """As results.write, without its 540 fsyncs."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savetxt(folder / f"{name}.txt", boxes_of(name), "%.3f", "\t")
    if times:
        np.savetxt(folder / f"{name}_time.txt", np.arange(1, FRAMES + 1) / 64, "%f")


def names_of(benchmark):
    if benchmark == "got10k":
        return list(transform_got10k.NAMES)
    return [f"{benchmark} video-{number}" for number in range(SCRIPTS[benchmark].SERVER.sequences)]


@pytest.fixture
def output(tmp_path, monkeypatch):
    """An output folder, and a data folder that holds nothing."""
    monkeypatch.setenv("LUNAR_SAVE", str(tmp_path / "output"))
    monkeypatch.setenv("LUNAR_DATA", str(tmp_path / "data"))
    return tmp_path / "output"


def run_of(output):
    return Run(results.results_root(output), "lunar", "baseline_001")


def packed(path):
    if path.suffix == ".json":
        return json.loads(path.read_text())
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(folder):
    return {path: (path.stat().st_mtime_ns, digest(path)) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("layout", ["benchmark", "family", "flat"])
@pytest.mark.parametrize("benchmark", SCRIPTS)
def test_what_is_packed_is_what_was_there(benchmark, layout, output, capsys):
    script, run, names = SCRIPTS[benchmark], run_of(output), names_of(benchmark)
    filed = {"benchmark": script.SERVER.filed[0], "family": script.SERVER.filed[-1], "flat": ""}[layout]
    for name in names:
        place(run.folder / filed, name)
    if benchmark == "got10k":  # whose sequences are known by name, so others beside them do no harm
        place(run.folder / filed, "airplane-1")
    before = tree(output)
    assert script.main(FLAGS) == 0
    (written,) = set(output.rglob("*_submit.*"))
    told = capsys.readouterr().out
    assert f"wrote {written}: {len(names)} sequences of lunar baseline_001" in told
    assert f"the rows are not compared with the frames of {script.SERVER.benchmark}: " in told
    assert {path: facts for path, facts in tree(output).items() if path != written} == before, "something was touched"

    found = packed(written)
    expected = {name: np.nan_to_num(boxes_of(name)) for name in names}
    if benchmark == "nt_vot211":
        assert found.pop("time") == [[-211000]] and set(found) == set(names)
        for name in names:
            rows = found[name]["pred"]
            assert rows == np.rint(expected[name]).tolist() and all(type(value) is int for value in sum(rows, []))
        assert script.main([*FLAGS, "--decimals", "3"]) == 0
        assert packed(written)[names[0]]["pred"] == expected[names[0]].tolist()
        return
    suffix, folder = ("_001", True) if benchmark == "got10k" else ("", False)
    files = {f"{name}/{name}{suffix}.txt" if folder else f"{name}.txt": name for name in names}
    assert list(found) == [
        member
        for boxes_file, name in files.items()
        for member in ([boxes_file, f"{name}/{name}_time.txt"] if folder else [boxes_file])
    ]
    for member, name in files.items():
        np.testing.assert_array_equal(np.loadtxt(found[member].splitlines(), delimiter=","), expected[name])
        if folder:
            times = np.loadtxt(found[f"{name}/{name}_time.txt"].splitlines(), delimiter=",")
            np.testing.assert_array_equal(times, np.arange(1, FRAMES + 1) / 64)


@pytest.mark.parametrize("benchmark", SCRIPTS)
def test_packed_twice_is_the_same_bytes(benchmark, output, tmp_path):
    script, run, names = SCRIPTS[benchmark], run_of(output), names_of(benchmark)
    for name in names:
        place(run.folder / script.SERVER.benchmark, name)
    files = [tmp_path / "one" / "a", tmp_path / "two" / "b"]
    assert script.main([*FLAGS, "--out", str(files[0])]) == 0
    for path in sorted(run.folder.rglob("*.txt"), reverse=True):  # another order on disk, other dates and permissions
        data = path.read_bytes()
        path.unlink()
        path.write_bytes(data)
        path.chmod(0o600)
    assert script.main([*FLAGS, "--out", str(files[1])]) == 0
    assert digest(files[0]) == digest(files[1])


@pytest.mark.parametrize("benchmark", SCRIPTS)
def test_partial_results_are_refused(benchmark, output, capsys):
    script, run, names = SCRIPTS[benchmark], run_of(output), names_of(benchmark)
    folder = run.folder / script.SERVER.benchmark
    for name in names[:-1]:
        place(folder, name)
    assert script.main(FLAGS) == 2
    error = capsys.readouterr().err
    assert "is incomplete" in error and "--allow_missing" in error and error.count("\n") == 1
    assert (f"{names[-1]}: no results" if benchmark == "got10k" else f"expected {len(names)} sequences") in error
    assert not list(output.rglob("*_submit*"))
    assert script.main([*FLAGS, "--allow_missing"]) == 0
    assert "lunar: warning: lunar baseline_001 on" in capsys.readouterr().out
    (written,) = output.rglob("*_submit*")
    assert len(packed(written)) == {"got10k": 2 * 179, "trackingnet": 510, "nt_vot211": 211}[benchmark]


def test_got10k_wants_times(output, capsys):
    folder = run_of(output).folder / "got10k"
    for name in transform_got10k.NAMES:
        place(folder, name, times=name != "GOT-10k_Test_000007")
    assert transform_got10k.main(FLAGS) == 2
    assert "GOT-10k_Test_000007: no times, expected GOT-10k_Test_000007_time.txt" in capsys.readouterr().err
    assert transform_got10k.main([*FLAGS, "--allow_missing"]) == 0


@pytest.fixture
def dataset(output, tmp_path):
    """TrackingNet's test set, of two sequences."""
    root = tmp_path / "data" / "TrackingNet" / "TEST"
    for name in ("bird_1", "bird_2"):
        (root / "frames" / name).mkdir(parents=True)
        (root / "anno").mkdir(exist_ok=True)
        (root / "anno" / f"{name}.txt").write_text("1,2,3,4\n")
        for index in range(FRAMES):
            Image.new("RGB", (8, 8)).save(root / "frames" / name / f"{index}.jpg")


def test_the_dataset_says_what_is_complete(dataset, output, capsys, monkeypatch):
    folder = run_of(output).folder / "trackingnet"
    place(folder, "bird_1")
    place(folder, "bird_2")
    assert transform_trackingnet.main(FLAGS) == 2, "a part of the dataset on this disk does not make a submission"
    assert "expected 511 sequences, found 2" in capsys.readouterr().err
    monkeypatch.setattr(transform_trackingnet, "SERVER", dataclasses.replace(transform_trackingnet.SERVER, sequences=2))
    (folder / "bird_2.txt").unlink()
    assert transform_trackingnet.main(FLAGS) == 2
    assert "bird_2: no results" in capsys.readouterr().err
    place(folder, "bird_2")
    place(folder, "of another dataset")
    assert transform_trackingnet.main(FLAGS) == 0
    (written,) = output.rglob("*_submit.zip")
    assert list(packed(written)) == ["bird_1.txt", "bird_2.txt"]
    assert "not compared" not in capsys.readouterr().out
    whole = (folder / "bird_2.txt").read_text()
    for text, reason in (
        (whole * 2, f"bird_2.txt: {FRAMES} rows more than the {FRAMES} frames"),
        (whole.rsplit("\n", 2)[0], f"bird_2.txt: expected {FRAMES} rows"),
        (whole.replace("nan", "inf", 1), "bird_2.txt:3: "),
    ):
        (folder / "bird_2.txt").write_text(text)
        assert transform_trackingnet.main([*FLAGS, "--allow_missing"]) == 2, "malformed results are never packed"
        assert reason in capsys.readouterr().err


def test_a_data_root_that_is_given_must_hold_the_dataset(output, tmp_path, capsys):
    place(run_of(output).folder / "trackingnet", "a")
    assert transform_trackingnet.main([*FLAGS, "--data_root", str(tmp_path / "elsewhere")]) == 2
    assert "elsewhere/trackingnet: no such folder" in capsys.readouterr().err


@pytest.fixture
def unpacked(output, tmp_path):
    """Three sequences of GOT-10k, packed and unpacked: (truth {name: boxes}, their overlaps by our IoU, folder)."""
    run, truth, overlaps = run_of(output), {}, []
    for number, name in enumerate(transform_got10k.NAMES[:3]):
        place(run.folder / "got10k_test", name)
        truth[name] = np.nan_to_num(boxes_of(name)) + [2 * number, 0, 5, 0]
        boxes, _ = results.read(results.find(run, "got10k_test", name), FRAMES)
        overlaps.append(iou(np.nan_to_num(boxes), truth[name])[1:])
    submit = tmp_path / "submit.zip"
    assert transform_got10k.main([*FLAGS, "--allow_missing", "--out", str(submit)]) == 0
    with zipfile.ZipFile(submit) as archive:
        archive.extractall(tmp_path / "results" / "GOT-10k" / "ours")
    return truth, overlaps, tmp_path / "results"


def test_got10ks_metrics_on_the_zip_are_ours(unpacked):
    metrics = pytest.importorskip("got10k.utils.metrics", reason="the got10k package is not installed")
    truth, overlaps, folder = unpacked
    for name, ours in zip(truth, overlaps, strict=True):
        (file,) = (folder / "GOT-10k" / "ours" / name).glob(f"{name}_[0-9]*.txt")
        boxes = np.loadtxt(file, delimiter=",")  # as the toolkit reads
        np.testing.assert_allclose(metrics.rect_iou(boxes[1:], truth[name][1:], bound=(4000, 4000)), ours, atol=1e-9)


def test_got10ks_toolkit_scores_the_zip_as_ours(unpacked, tmp_path):
    experiments = pytest.importorskip(
        "got10k.experiments", reason="needs the whole got10k package: pip install got10k six wget shapely"
    )
    truth, overlaps, folder = unpacked
    val = tmp_path / "got" / "val"
    for name, boxes in truth.items():
        (val / name).mkdir(parents=True)
        np.savetxt(val / name / "groundtruth.txt", boxes, "%.4f", ",")
        for label, value in (("cover", 8), ("absence", 0), ("cut_by_image", 0)):
            np.savetxt(val / name / f"{label}.label", np.full(FRAMES, value), "%d")
        (val / name / "meta_info.ini").write_text("[METAINFO]\nresolution: (4000, 4000)\n")
        for index in range(FRAMES):
            (val / name / f"{index + 1:08d}.jpg").touch()
    (val / "list.txt").write_text("\n".join(truth))
    toolkit = experiments.ExperimentGOT10k(str(tmp_path / "got"), "val", str(folder), str(tmp_path / "reports"))
    scored, ours = toolkit.report(["ours"])["ours"]["overall"], np.concatenate(overlaps)
    assert scored["ao"] == pytest.approx(ours.mean(), abs=1e-6)
    assert scored["sr"] == pytest.approx((ours > 0.5).mean())
    assert scored["speed_fps"] == pytest.approx(np.mean(64 / np.arange(1, FRAMES + 1)))


@pytest.mark.parametrize("member", ["../x.txt", "/x.txt", "a/../x.txt", "a\\x.txt", "a//x.txt", "a/.x", "a\nb.txt", ""])
def test_members_that_would_unpack_elsewhere_are_not_written(member, tmp_path):
    with pytest.raises(UserError, match="cannot name a member of a zip"):
        packing.write_zip(tmp_path / "x.zip", {"fine.txt": "1", member: "2"})
    assert not list(tmp_path.iterdir())


def test_a_failed_packing_leaves_the_old_file(output, tmp_path, monkeypatch):
    for name in transform_got10k.NAMES:
        place(run_of(output).folder / "got10k", name)
    target = tmp_path / "old.zip"
    target.write_text("old")
    monkeypatch.setattr(
        zipfile.ZipFile, "writestr", lambda *_, **__: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    assert transform_got10k.main([*FLAGS, "--out", str(target)]) == 3
    assert target.read_text() == "old" and not list(tmp_path.glob(".old*"))


@pytest.mark.parametrize("words", [["lib/test/utils/transform_{}.py"], ["-m", "lib.test.utils.transform_{}"]])
@pytest.mark.parametrize("benchmark", ["got10k", "trackingnet"])
def test_both_ways_to_call_it(benchmark, words, tmp_path):
    words = [
        sys.executable,
        *(word.format(benchmark) for word in words),
        "--tracker_name",
        "none",
        "--save_dir",
        tmp_path,
    ]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"lunar: error: {tmp_path}/test/tracking_results/none/baseline: no such results")


@pytest.mark.parametrize("flag", ["--tracker_name", "--cfg_name"])
@pytest.mark.parametrize("name", ["../x", "/etc", "a\nb", ""])
def test_names_that_lead_elsewhere_are_refused(flag, name, output, capsys):
    assert transform_trackingnet.main([flag, name]) == 2
    assert "cannot name a" in capsys.readouterr().err
