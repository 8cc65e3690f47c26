"""Results are known by what they were made from, not by a name alone; nothing is written over an input."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.frames import VideoFrames
from lib.data.image import encode_jpeg
from lib.errors import FrameError, UserError
from lib.test.evaluation import provenance, results
from lib.vis.video import VideoWriter

COUNT = 4


def frames(seed=0, count=COUNT, size=(64, 96)):
    texture = np.random.default_rng(seed).integers(0, 255, (*size, 3), np.uint8)
    return [cv2.GaussianBlur(np.roll(texture, number, 1), (0, 0), 2) for number in range(count)]


def dataset(place, seed=0, names=("a", "b")):
    for name in names:
        (place / name / "img").mkdir(parents=True)
        for number, frame in enumerate(frames(seed)):
            (place / name / "img" / f"{number}.jpg").write_bytes(encode_jpeg(frame, 95))
        (place / name / "groundtruth.txt").write_text("20,20,16,16\n" * COUNT)
    return place


@pytest.fixture
def test(command, tmp_path, capsys):
    """Run test.py with the MIL tracker: (exit code, what it printed, its error)."""

    def run(folder, *words):
        code = command("test.py", "opencv", "mil", "--dataset", folder, "--save_dir", tmp_path / "out", *words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_two_folders_called_alike(test, tmp_path):
    one, other = dataset(tmp_path / "1" / "set"), dataset(tmp_path / "2" / "set", seed=1)
    assert test(one)[0] == 0
    code, out, _ = test(one)
    assert code == 0 and "2 were there already" in out
    code, _, error = test(other)
    assert code == 2 and error.count("\n") == 1
    assert f"results of another run: another a: {one} then, {other} now" in error and "--runid N" in error
    assert test(other, "--runid", "1")[0] == 0
    code, _, error = test(other, "--overwrite", "--sequence", "a")
    assert code == 0, "the other sequence is not asked for, and its results are still those of the first folder"
    code, _, error = test(other)
    assert code == 2 and "another b" in error
    code, out, _ = test(other, "--overwrite")
    assert code == 0 and "2 of 2 sequences tracked" in out and test(other)[0] == 0
    moved = shutil.copytree(other, tmp_path / "3" / "set")
    assert test(moved)[0] == 0, "the same videos in another place are the same"


def test_another_setting(tmp_path):
    sequences = benchmarks.load(dataset(tmp_path / "set"))
    run = results.Run(tmp_path / "out", "opencv", "mil")

    def claim(value, chosen=sequences, overwrite=False):
        settings = {"TEST": {"MIN_BOX": value}, "TRAIN": {"LR": value}}
        made = provenance.describe("opencv mil", settings, None, None)
        provenance.claim(run, "set", chosen, made, tmp_path / "set", overwrite)

    claim(1)
    claim(2)  # nothing was tracked in between
    for sequence in sequences:
        results.write(run, "set", sequence.name, [[1, 2, 3, 4]] * COUNT)
    claim(2)
    with pytest.raises(
        UserError, match=r"another run: TEST.MIN_BOX 2 then, 3 now\. --overwrite .* --runid N keeps both"
    ):
        claim(3)
    with pytest.raises(UserError, match="1 of them, such as a, would stay among the new ones"):
        claim(3, sequences[1:], overwrite=True)
    assert len(results.sequences(run, "set")) == 2
    claim(3, overwrite=True)
    assert results.sequences(run, "set") == [], "they will be tracked again, and are never mixed"
    claim(3)


def test_weights_and_version_are_compared():
    difference = provenance.difference
    made = {"tracker": "x", "weights": {"name": "a.pth", "sha256": "1234567890"}, "settings": {"A.B": 1}, "code": "1"}
    other = {**made, "weights": {"name": "b.pth", "sha256": "abcdefghij"}}
    assert difference(made, other) == "weights a.pth (12345678) then, b.pth (abcdefgh) now"
    assert difference(made, {**made, "code": "2"}) == "version 1 of the code then, 2 now"
    assert difference(made, {**made, "settings": {"A.B": 1, "A.C": 5}}) == "", "a key that is new"


def test_results_from_before_and_a_damaged_note(test, tmp_path):
    folder = dataset(tmp_path / "set")
    assert test(folder)[0] == 0
    (note,) = (tmp_path / "out").rglob("_made_from.json")
    note.unlink()
    code, out, _ = test(folder)
    assert code == 0 and "without a note of what they were made from" in out
    note.write_text("{")
    code, _, error = test(folder)
    assert code == 2 and "_made_from.json: damaged" in error


# ---- one video ------------------------------------------------------------------------------------------------------


def write(path, seed=0, count=COUNT):
    with VideoWriter(path, 20) as video:
        for frame in frames(seed, count):
            video.write(frame)
    return path


@pytest.fixture
def demo(command, tmp_path, capsys):
    def run(video, *words):
        box = ("--optional_box", 20, 20, 16, 16)
        code = command("video_demo.py", "opencv", "mil", video, *box, "--save_dir", tmp_path / "out", *words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def rows(tmp_path, run="mil"):
    return len((tmp_path / "out" / "test" / "video_demo" / "opencv" / run / "video_clip.txt").read_text().splitlines())


def test_a_video_of_the_same_name_does_not_replace_the_first(demo, tmp_path):
    for folder, seed in (("cam1", 0), ("cam2", 1)):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "clip.mp4", seed)
    one, other = tmp_path / "cam1" / "clip.mp4", tmp_path / "cam2" / "clip.mp4"
    assert demo(one, "--save_results")[0] == 0 and rows(tmp_path) == COUNT
    code, out, _ = demo(one, "--save_results")
    assert code == 0 and "there already" in out
    code, _, error = demo(other, "--save_results")
    assert code == 2 and error.count("\n") == 1 and "cam1/clip.mp4" in error and "cam2/clip.mp4" in error
    code, _, error = demo(one, "--save_results", "--max_frames", 2)
    assert code == 2 and "frames none then, 2 now" in error and rows(tmp_path) == COUNT
    assert demo(other, "--save_results", "--runid", 2)[0] == 0 and rows(tmp_path, "mil_002") == COUNT
    assert demo(one, "--save_results", "--max_frames", 2, "--overwrite")[0] == 0 and rows(tmp_path) == 2


@pytest.mark.parametrize("way", ["itself", "link", "hard link", "other spelling"])
def test_nothing_is_written_over_the_input(demo, tmp_path, way):
    source = write(tmp_path / "in.mp4")
    target = {"itself": source, "other spelling": tmp_path / "x" / ".." / "in.mp4"}.get(way, tmp_path / "out.mp4")
    (tmp_path / "x").mkdir()
    if way == "link":
        target.symlink_to(source)
    if way == "hard link":
        os.link(source, target)
    before = source.read_bytes()
    code, _, error = demo(source, "--save_video", target, "--max_frames", 3)
    assert code == 2 and "would be written over the input" in error and source.read_bytes() == before


def damaged(path):
    """A video whose eighth frame is gone."""
    write(path, count=12)
    data = bytearray(path.read_bytes())
    places = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xd8"]
    data[places[7] : places[7] + 700] = b"\0" * 700
    path.write_bytes(data)
    return path


def test_what_was_tracked_before_the_damage_is_written(demo, tmp_path):
    source = damaged(tmp_path / "clip.avi")
    code, out, error = demo(source, "--save_results", "--save_video", tmp_path / "tracked.mp4")
    assert code == 2 and error.count("\n") == 1 and "clip.avi: frame 7: the file is damaged here" in error
    assert "wrote" in out and rows(tmp_path) == 7 and len(VideoFrames(tmp_path / "tracked.mp4")) == 7
    (note,) = (tmp_path / "out").rglob("video_clip.json")
    assert json.loads(note.read_text())["complete"] is False
    assert demo(source, "--save_results")[0] == 2, "it is tried again"


def test_what_was_tracked_before_the_end_of_the_process_is_written(demo, tmp_path, monkeypatch):
    from lib import cli
    from lib.test.tracker.opencv import OpenCVTracker

    calls, track = [], OpenCVTracker.track

    def ends(self, image):
        calls.append(1)
        if len(calls) == 3:
            raise cli.Terminated
        return track(self, image)

    monkeypatch.setattr(OpenCVTracker, "track", ends)
    code, out, error = demo(write(tmp_path / "clip.mp4"), "--save_results", "--save_video", tmp_path / "t.mp4")
    assert code == 143 and rows(tmp_path) == 3 and len(VideoFrames(tmp_path / "t.mp4")) == 3


def test_a_full_disk_for_the_video_leaves_the_boxes(demo, tmp_path, monkeypatch):
    write_frame, calls = VideoWriter.write, []
    source = write(tmp_path / "clip.mp4")

    def full(self, image):
        calls.append(1)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", "t.mp4")
        write_frame(self, image)

    monkeypatch.setattr(VideoWriter, "write", full)
    code, out, error = demo(source, "--save_results", "--save_video", tmp_path / "t.mp4")
    assert code == 3 and "No space left" in error and error.count("\n") == 1
    assert rows(tmp_path) == 3 and not (tmp_path / "t.mp4").exists()


@pytest.mark.parametrize("box", [("nan", 1, 5, 5), (1, 1, "inf", 5), (1, 1, -5, 5), (1, 1, 5, 0)])
def test_boxes_that_are_none(command, tmp_path, capsys, box):
    words = ("--optional_box", *box, "--save_results")
    assert command("video_demo.py", "opencv", "mil", write(tmp_path / "clip.mp4"), *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("lunar: error: --optional_box: expected ") and error.count("\n") == 1


@pytest.mark.parametrize("fps", [211.222, 29.97, 0.5, 1000])
@pytest.mark.parametrize("extension", [".mp4", ".webm", ".avi"])
def test_videos_of_odd_rates_and_sizes_are_written(tmp_path, fps, extension):
    with VideoWriter(tmp_path / f"v{extension}", fps) as video:
        for frame in frames(size=(63, 95)):
            video.write(frame)
    found = VideoFrames(tmp_path / f"v{extension}")
    assert len(found) == COUNT and found.fps == pytest.approx(fps, rel=0.02) and found[0].shape == (64, 96, 3)
    assert np.abs(found[2][:63, :95].astype(int) - frames(size=(63, 95))[2]).mean() < 6
    with pytest.raises(FrameError):
        VideoFrames(tmp_path / "none.mp4")
