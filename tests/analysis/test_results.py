"""Result files: what is written can be read, by us and as others lay it out; names stay inside the results folder."""

import json
import os

import numpy as np
import pytest

from lib.errors import UserError
from lib.test.evaluation import results
from lib.test.evaluation.results import Run

BOXES = np.array([[1.23456, -2.5, 3.9999, 4], [np.nan] * 4, [10, 20, -0.0004, 8.75]])


@pytest.fixture
def run(tmp_path):
    return Run(tmp_path / "tracking_results", "lunar", "baseline")


def test_what_is_written_is_read(run):
    path = results.write(run, "dev", "a", BOXES, times=[0.5, 0.25, 0.125], scores=[1, 0, 0.12345])
    assert path == run.root / "lunar" / "baseline" / "dev" / "a.txt"
    assert path.read_bytes() == b"1.235\t-2.500\t4.000\t4.000\nnan\tnan\tnan\tnan\n10.000\t20.000\t-0.000\t8.750\n"
    assert path.with_name("a_time.txt").read_bytes() == b"0.500000\n0.250000\n0.125000\n"
    assert path.with_name("a_score.txt").read_bytes() == b"1.0000\n0.0000\n0.1235\n"
    boxes, surplus = results.read(path, 3)
    np.testing.assert_allclose(boxes, BOXES, atol=0.0005)
    assert surplus == 0
    np.testing.assert_array_equal(results.read_companion(path, "_time", 3), [0.5, 0.25, 0.125])
    assert results.read_companion(path, "_all_scores", 3) is None


def test_flat_layout_is_written_and_found(run):
    path = results.write(run, "dev", "a", BOXES, flat=True)
    assert path == run.folder / "a.txt" and results.find(run, "dev", "a") == path
    assert results.finished(run, "dev", "a", flat=True) and not results.finished(run, "dev", "a")
    results.write(run, "dev", "b", BOXES)
    assert results.find(run, "dev", "b") and results.find(run, "dev", "a") is None  # layouts are not mixed


def test_same_names_in_two_datasets_do_not_meet(run):
    results.write(run, "nat2021", "N01001", BOXES)
    assert not results.finished(run, "nat2021l", "N01001") and results.find(run, "other", "N01001") is None


@pytest.mark.parametrize("bad", [[[1, 2, 3]], [[1, 2, 3, np.inf]], [[np.nan, 2, 3, 4]], [1, 2, 3, 4]])
def test_boxes_that_could_not_be_read_are_not_written(run, bad):
    with pytest.raises(ValueError):
        results.write(run, "dev", "a", bad)
    with pytest.raises(ValueError, match="2 values of time for 3 frames"):
        results.write(run, "dev", "a", BOXES, times=[1, 2])
    assert not run.root.exists()


def test_row_counts(run):
    path = results.write(run, "dev", "a", BOXES, times=[1, 2, 3])
    boxes, surplus = results.read(path, 2)
    assert boxes.shape == (2, 4) and surplus == 1
    with pytest.raises(UserError, match=r"a\.txt: expected 5 rows, one a frame, found 3"):
        results.read(path, 5)
    with pytest.raises(UserError, match=r"a_time\.txt: expected 5 rows"):
        results.read_companion(path, "_time", 5)
    path.write_text("1,2,3,4\n1,2,3\n")
    with pytest.raises(UserError, match=r"a\.txt:2: expected 4 numbers, found 3"):
        results.read(path, 2)


@pytest.mark.parametrize("delimiter", ["\t", ",", " ", ", ", ";"])
def test_results_of_others(run, delimiter):
    path = results.boxes_path(run, "got10k", "a")
    path.parent.mkdir(parents=True)
    np.savetxt(path, BOXES, fmt="%.18e", delimiter=delimiter)
    np.testing.assert_array_equal(results.read(path, 3)[0], BOXES)


def test_discover(run):
    assert results.discover(run.root) == {}
    for name in ("b", "a", "a_time"):  # a_time is taken for the times of a
        results.write(run, "dev", name, BOXES, times=[1, 2, 3])
    results.write(run, "night_time", "only_time", BOXES)
    old = Run(run.root, "stark", results.run_name("baseline", 7))
    results.write(old, "any", "x", BOXES, flat=True)
    (run.root / "empty" / "config").mkdir(parents=True)
    (run.folder / "dev" / ".b.txt.tmp.txt").write_text("half")
    (run.root / "notes.txt").write_text("mine")
    assert results.discover(run.root) == {
        (run, "dev"): ["a", "b"],
        (run, "night_time"): ["only_time"],
        (Run(run.root, "stark", "baseline_007"), None): ["x"],
    }


def test_source(run, tmp_path):
    assert results.read_source(run, "dev") is None
    results.write_source(run, "dev", tmp_path / "dev")
    assert results.read_source(run, "dev") == str(tmp_path / "dev")
    results.write_source(run, "lunar")
    assert results.read_source(run, "lunar") is None
    place = run.folder / "dev" / "_source.json"
    for text in ("", "[]", '{"path": 3}', "{}", "\x00"):
        place.write_text(text)
        with pytest.raises(UserError, match=r"_source\.json: expected"):
            results.read_source(run, "dev")
    place.write_text(json.dumps({"dataset": "dev", "path": "/x"}))
    assert results.read_source(run, "dev") == "/x"


REFUSED = ["", ".", "..", "../x", "/etc/x", "a/b", "a\\b", "a\0b", "a\nb", "a\rb", "\x1b[31m", ".hidden", "x" * 300]
REFUSED += ["é" * 150, "a\u202eb", "\ud800"]
ALLOWED = ["-x", "--rm", "con", "a b", "ünïcode", "夜", "a.b", "a..b", "x" * 190, "$HOME", "*", "~", "a:b", "%s", "'\""]


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("kind", ["tracker", "config", "dataset", "sequence"])
def test_names_that_lead_elsewhere_are_refused(tmp_path, name, kind):
    names = {"tracker": "t", "config": "c", "dataset": "d", "sequence": "s"} | {kind: name}
    with pytest.raises(UserError, match="cannot name a") as caught:
        run = Run(tmp_path / "r", names["tracker"], names["config"])
        results.write(run, names["dataset"], names["sequence"], BOXES)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ALLOWED)
def test_other_names_stay_inside(tmp_path, name):
    run = Run(tmp_path / "r", name, name)
    path = results.write(run, name, name, BOXES, times=[1, 2, 3], scores=[1, 2, 3])
    assert path.resolve().is_relative_to(tmp_path / "r") and results.discover(run.root) == {(run, name): [name]}


def test_links_out_of_the_results_folder_are_refused(tmp_path, run):
    (tmp_path / "elsewhere").mkdir()
    run.root.mkdir()
    (run.root / "lunar").symlink_to(tmp_path / "elsewhere")
    for write in (lambda: results.write(run, "dev", "a", BOXES), lambda: results.write_source(run, "dev")):
        with pytest.raises(UserError, match="leads out of the results folder"):
            write()
    assert not os.listdir(tmp_path / "elsewhere")


def test_results_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "r").symlink_to(tmp_path / "disk")
    assert results.write(Run(tmp_path / "r", "t", "c"), "d", "s", BOXES).is_file()


def test_two_results_are_the_same_bytes(tmp_path):
    paths = [results.write(Run(tmp_path / name, "t", "c"), "d", "s", BOXES) for name in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert sorted(path.name for path in paths[0].parent.iterdir()) == ["s.txt"]
