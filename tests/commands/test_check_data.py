"""tracking/check_data.py as a user runs it: what is there, what is missing, and every problem at once."""

import numpy as np
import pytest

from lib.data.benchmarks.entries import BENCHMARKS
from lib.data.storage import Folder
from lib.vis.video import VideoWriter
from tests.commands.test_commands import run
from tests.data.test_test_sets import JPEG, MINIATURES, TO_TEST_ON, images, rows, text


def check(capsys, command, *words):
    """(exit code, its output, the last line)."""
    code = command("check_data.py", *words)
    out = capsys.readouterr().out
    return code, out, out.splitlines()[-1]


@pytest.mark.parametrize("name", TO_TEST_ON)
def test_every_benchmark_that_is_fine(tmp_path, capsys, command, name):
    mini = MINIATURES[name](tmp_path)
    code, out, last = check(capsys, command, name, "--data_root", tmp_path)
    assert code == 0, out
    assert last == "1 checked: 1 fine, 0 with 0 problems, 0 not there"
    assert out.startswith(f"{name}: {len(mini.names)} sequences; ")


@pytest.mark.parametrize("name", [*BENCHMARKS])
def test_what_is_missing_is_drawn(tmp_path, capsys, command, name):
    code, out, last = check(capsys, command, name, "--data_root", tmp_path)
    assert code == 2 and last == "1 checked: 0 fine, 0 with 0 problems, 1 not there"
    assert f"{tmp_path / BENCHMARKS[name].folders[-1]}: no such folder. It should hold" in out
    assert "├── " in out or "└── " in out
    for folder in BENCHMARKS[name].whole:
        assert f"or {tmp_path / folder}/ with these alone" in out
    assert "{" not in out


def test_without_a_name_missing_is_no_error(tmp_path, capsys, command):
    for name in ("tc128", "uav123", "tennis"):
        MINIATURES[name](tmp_path)
    code, out, last = check(capsys, command, "--data_root", tmp_path)
    count = len(BENCHMARKS)
    # tennis_v1 is read from the same folder as tennis
    assert code == 0 and last == f"{count} checked: 4 fine, 0 with 0 problems, {count - 4} not there"
    assert "uav123: 123 sequences; 369 frames; 246 with a box; attributes SOB 123, SV 123; 10 classes; pixels" in out
    assert "not there: lunar, " in out and "└── " not in out


def test_all_problems_are_told_at_once(tmp_path, capsys, command):
    names = [f"s{number}" for number in range(8)]
    for name in names:
        images(tmp_path / "set" / name / "img")
        text(tmp_path / "set" / name / "groundtruth.txt", rows())
    text(tmp_path / "set" / "s1" / "groundtruth.txt", "1,2,3,4\n1,2,3\n1,2,3,4\n")
    text(tmp_path / "set" / "s2" / "groundtruth.txt", rows()[:-1] + "\n1,2,3,4\n")
    text(tmp_path / "set" / "s3" / "groundtruth.txt", "0,0,0,0\n1,2,3,4\n1,2,3,4\n")
    text(tmp_path / "set" / "s4" / "absent.txt", "0\n")
    for file in (tmp_path / "set" / "s5" / "img").iterdir():
        file.unlink()
    text(tmp_path / "set" / "s6" / "groundtruth.txt", "")
    (tmp_path / "set" / "s7" / "img" / "00000002.jpg").write_bytes(b"")  # pictures are not looked into
    code, out, last = check(capsys, command, tmp_path / "set")
    assert code == 2 and last == "1 checked: 0 fine, 1 with 6 problems, 0 not there"
    for problem in (
        "s1/groundtruth.txt:2: expected 4 numbers, found 3",
        "s2/groundtruth.txt: s2: 4 rows for 3 frames",
        "s3/groundtruth.txt: s3: the first frame has no box to start from",
        "s4/absent.txt: 1 flags for 3 frames",
        "set: s5: no frames; looked for images as s5/img/*",
        "s6/groundtruth.txt: is empty, expected rows of numbers",
    ):
        assert f"{problem}" in out
    code, out, last = check(capsys, command, tmp_path / "set", "--limit", 2)
    assert code == 2 and "... and 4 more; --limit N shows them" in out and "s4/absent" not in out


def test_a_video_without_its_text_hides_nothing(tmp_path, capsys, command):
    for name in ("a", "b", "c"):
        with VideoWriter(tmp_path / f"{name}.mp4") as video:
            for _ in range(3):
                video.write(np.zeros((32, 32, 3), np.uint8))
    text(tmp_path / "b.txt", "1,2,3\n")
    text(tmp_path / "c.txt", rows())
    code, out, last = check(capsys, command, tmp_path)
    assert code == 2 and last == "1 checked: 0 fine, 1 with 2 problems, 0 not there"
    assert "a.mp4: no ground truth beside it: expected a.txt" in out and "b.txt:1: expected 4 or 8 numbers" in out


def test_flags_by_frame_of_sequences_of_other_lengths(tmp_path, capsys, command):
    MINIATURES["vot"](tmp_path)
    images(tmp_path / "vot" / "bag" / "color", count=5)
    text(tmp_path / "vot" / "bag" / "groundtruth.txt", "11,12,13,14\n" * 5)
    text(tmp_path / "vot" / "bag" / "occlusion.tag", "0\n0\n0\n1\n")
    code, out, _ = check(capsys, command, "vot", "--data_root", tmp_path)
    assert code == 0, out
    assert "vot: 3 sequences; 11 frames; 11 with a box; attributes by frame occlusion 2, size_change 1" in out


def test_a_pattern_and_a_comma_list_as_test_py_takes_them(tmp_path, capsys, command):
    for name in ("kite-10", "kite-6", "bird-2"):
        images(tmp_path / "lasot" / name.partition("-")[0] / name / "img")
        text(tmp_path / "lasot" / name.partition("-")[0] / name / "groundtruth.txt", rows())
    MINIATURES["tc128"](tmp_path)
    code, out, last = check(capsys, command, "lasot#kite-*@mild,tc128", "lunar_demo#*_city", "--data_root", tmp_path)
    assert code == 0 and last == "3 checked: 3 fine, 0 with 0 problems, 0 not there", out
    assert "lasot: 2 sequences like kite-*; 6 frames" in out and "tc128: 2 sequences; 6 frames" in out
    assert "lunar_demo: 2 sequences like *_city; " in out
    code, out, _ = check(capsys, command, "lasot#*", "--data_root", tmp_path)
    assert code == 0 and "lasot: 3 sequences like *; 9 frames" in out
    code, out, _ = check(capsys, command, "lasot", "--data_root", tmp_path)
    assert code == 2 and "277 of the 280 sequences are missing" in out
    code, out, last = check(capsys, command, "lasot#zebra*", "--data_root", tmp_path)
    assert code == 2 and "with 1 problems" in last
    assert "lasot#zebra*: no sequence is called like that; there are bird-2, kite-6, kite-10" in out
    for name, told in (("otb#*", "otb: not there: "), ("uav123@mild", "uav123: not there: ")):
        code, out, _ = check(capsys, command, name, "--data_root", tmp_path)
        assert code == 2 and out.startswith(told) and "└── " in out
    assert command("check_data.py", "lasot@mild#kite-6", "--data_root", tmp_path) == 2
    assert "# comes before @, as in lasot#kite-6@mild" in capsys.readouterr().err


def test_a_pattern_of_still_images(tmp_path, capsys, command):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(JPEG)
    text(tmp_path / "boxes.json", '{"a.jpg": [[1, 2, 3, 4]], "b.jpg": [[5, 6, 7, 8]]}')
    code, out, _ = check(capsys, command, f"{tmp_path}#a_*")
    assert code == 0 and "1 sequences like a_*; 1 frames; 1 with a box" in out


def test_part_of_an_official_list(tmp_path, capsys, command):
    MINIATURES["otb"](tmp_path)
    (tmp_path / "otb" / "Woman" / "groundtruth_rect.txt").unlink()
    text(tmp_path / "otb" / "Jogging" / "groundtruth_rect.2.txt", "x\n")
    code, out, last = check(capsys, command, "otb", "--data_root", tmp_path)
    assert code == 2 and last == "1 checked: 0 fine, 1 with 2 problems, 0 not there"
    assert "otb: 1 of the 100 sequences are missing: Woman" in out and "groundtruth_rect.2.txt:1: " in out


def test_a_test_set_whose_training_set_is_there(tmp_path, capsys, command):
    for name in ("airplane-2", "kite-7"):
        images(tmp_path / "lasot" / name.partition("-")[0] / name / "img")
        text(tmp_path / "lasot" / name.partition("-")[0] / name / "groundtruth.txt", rows())
    text(tmp_path / "lasot" / "training_set.txt", "airplane-2\nkite-7\n")
    code, out, last = check(capsys, command, "--data_root", tmp_path)
    assert code == 0 and "lasot_train: 2 sequences; 6 frames" in out
    code, out, _ = check(capsys, command, "lasot", "--data_root", tmp_path)
    assert code == 2 and "lasot: none of its 280 sequences, such as airplane-1" in out


def test_sets_of_still_images_and_rendered_ones(tmp_path, capsys, command):
    (tmp_path / "img").mkdir()
    (tmp_path / "img" / "a.jpg").write_bytes(JPEG)
    text(tmp_path / "boxes.json", '{"a.jpg": [[1, 2, 3, 4], [5, 6, 7, 8]]}')
    code, out, _ = check(capsys, command, tmp_path, "lunar_demo")
    assert code == 0 and "2 sequences; 1 frames; 2 with a box" in out and "rendered in memory" in out
    text(tmp_path / "boxes.json", '{"a.jpg": [[1, 2, 3]]}')
    code, out, last = check(capsys, command, tmp_path)
    assert code == 2 and "boxes.json: a.jpg: expected rows of four" in out


def test_as_a_user_runs_it(tmp_path):
    done = run("check_data.py", "--data_root", tmp_path)
    assert done.returncode == 0 and done.stderr == "" and done.stdout.endswith("not there\n")
    done = run("check_data.py", "nat", "--data_root", tmp_path)
    assert done.returncode == 2 and "(did you mean nat2021?)" in done.stdout and "Traceback" not in done.stderr
    done = run("check_data.py", "--help")
    assert done.returncode == 0 and "examples:" in done.stdout and "--data_root /big/disk" in done.stdout
    assert run("check_data.py", "--limit", "-1").returncode == 2


def test_a_large_set_is_looked_through_with_few_looks(tmp_path, capsys, command, monkeypatch):
    """Each look is a walk on disk. What lies in a folder that all sequences share is listed once."""
    for number in range(60):
        place = tmp_path / "lasot" / f"class{number % 7}" / f"class{number % 7}-{number}"
        images(place / "img")
        text(place / "groundtruth.txt", rows())
        text(tmp_path / "lasot" / "att" / f"{place.name}.txt", "0,0,0,0,0,0,0,0,0,0,0,0,0,1\n")
    text(tmp_path / "lasot" / "training_set.txt", "\n".join(f"class{n % 7}-{n}" for n in range(60)))
    looks, glob = [], Folder.glob
    monkeypatch.setattr(Folder, "glob", lambda self, pattern: looks.append(pattern) or glob(self, pattern))
    code, out, _ = check(capsys, command, "lasot_train", "--data_root", tmp_path)
    assert code == 0 and "60 sequences; 180 frames" in out and "attributes ARC 60; 1 class;" in out
    assert len(looks) <= 3 * 60 + 5, "the frames and two files of flags of each, and what they share"


SHIFTS = {  # what is wrong -> (a row in its place, words)
    "corners": (lambda x, y: (x, y, x + 12, y + 9), "looks like the corners x1 y1 x2 y2 in a frame of 64 x 48 px"),
    "shares": (lambda x, y: (x / 64, y / 48, 12 / 64, 9 / 48), "looks like shares of a frame of 64 x 48 px"),
    "larger frames": (lambda x, y: (4 * x, 4 * y, 48, 36), "lies off a frame of 64 x 48 px"),
    "from 1": (lambda x, y: (x + 1, y + 1, 12, 9), "ends one pixel beyond a frame of 64 x 48 px: the boxes look"),
    "nonsense": (lambda x, y: (x, y, 1200, 9), "is larger than a frame of 64 x 48 px"),
}


@pytest.mark.parametrize("what", [None, *SHIFTS])
def test_boxes_are_compared_with_the_picture(tmp_path, capsys, command, what):
    images(tmp_path / "set" / "a" / "img", count=20)
    made, words = SHIFTS.get(what, (lambda x, y: (x, y, 12, 9), ""))
    text(tmp_path / "set" / "a" / "groundtruth.txt", rows([made(x + 14.0, x + 20.0) for x in range(20)]))
    code, out, _ = check(capsys, command, tmp_path / "set")
    assert code == (2 if what else 0) and words in out and (not what or "/a/groundtruth.txt:" in out), out
    out_folder = tmp_path / "out"
    code = command("test.py", "identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", out_folder)
    printed = capsys.readouterr()
    assert code == (4 if what in ("corners", "shares", "larger frames") else 0), printed
    assert words in printed.out + printed.err


def test_boxes_that_are_only_unusual_are_fine():
    from lib.data.plausible import doubts

    size, count = (320, 240), 40
    way = np.linspace(0, 1, count)
    ones = np.ones(count)
    fine = {
        "a face that fills the frame": [8 + 4 * way, 5 + 3 * way, 312 + 5 * np.sin(9 * way), 236 - 4 * way],
        "a target that leaves": [300 * way + 15, 100 * ones, 20 * ones, 14 * ones],
        "a target that grows": [100 - 90 * way, 100 - 90 * way, 10 + 250 * way, 10 + 200 * way],
        "a point": [0.5 * ones, 0.5 * ones, 1 * ones, 1.5 * ones],
        "half outside": [-10 * ones, 230 * ones, 20 * ones, 20 * ones],
    }
    for name, columns in fine.items():
        assert doubts(np.stack(columns, axis=1), np.ones(count, bool), size) == [], name
    gone = np.full((count, 4), np.nan)
    assert doubts(gone, np.zeros(count, bool), size) == []
