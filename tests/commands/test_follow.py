"""Following one video: several targets, first boxes from a file, going on after an interruption, and the page."""

import io
import json
import sys
import threading
import urllib.error
import urllib.request
from types import SimpleNamespace

import numpy as np
import pytest

from lib.data.frames import VideoFrames, open_frames
from lib.errors import UserError
from lib.test.evaluation import results
from lib.test.follow import first_boxes, video
from lib.test.follow.page import Page
from lib.test.follow.saved import Saved
from lib.test.follow.targets import Targets
from tests.data.test_video import COUNT, record

BOXES = ((40, 20, 20, 20), (10, 30, 16, 12))


def options(**flags):
    plain = {"videofile": "a.mp4", "save_video": None, "max_frames": None, "first_frame": 0, "absent_thr": 0.0}
    return SimpleNamespace(**{**plain, **flags})


def saved(tmp_path, targets=("1",)):
    made = {"tracker": "x", "code": "1", "weights": None, "enhancer": None, "settings": {}, "source": "a", "box": None}
    made["frames"] = None
    return Saved(results.Run(tmp_path / "out", "lunar", "small"), "a.mp4", made, targets)


def test_several_targets_are_as_each_alone(tmp_path, command, capsys):
    source = record(tmp_path / "a.mp4")
    words = [source, "--tracker", "opencv:mil", "--save_results", "--no_display"]
    flags = [["--box", *box] for box in BOXES]
    assert command("track.py", *words, *flags[0], *flags[1], "--save_dir", tmp_path / "both") == 0
    rows = np.loadtxt(tmp_path / "both/test/video_demo/opencv/mil/video_a_mot.txt", delimiter=",")
    assert rows.shape == (2 * COUNT, 10) and np.array_equal(rows[:, 0], np.repeat(np.arange(1, COUNT + 1), 2))
    for number, flag in enumerate(flags, 1):
        assert command("track.py", *words, *flag, "--save_dir", tmp_path / str(number)) == 0
        alone = np.loadtxt(tmp_path / f"{number}/test/video_demo/opencv/mil/video_a.txt")
        assert np.array_equal(rows[rows[:, 1] == number][:, 2:6], alone)
    capsys.readouterr()
    assert command("track.py", *words, *flags[0], "--box", "web") == 2
    assert "numbers, a file or web" in capsys.readouterr().err


def test_several_targets_are_drawn(tmp_path, command):
    source = record(tmp_path / "a.mp4")
    words = [source, "--tracker", "identity:baseline", "--save_video", tmp_path / "out.mp4", "--no_display"]
    assert command("track.py", *words, "--box", *BOXES[0], "--box", *BOXES[1], "--first_frame", 3) == 0
    plain, drawn = (VideoFrames(path) for path in (source, tmp_path / "out.mp4"))
    assert len(drawn) == COUNT
    changed = [np.abs(drawn[index].astype(int) - plain[index]).max(axis=2) > 60 for index in (0, 3)]
    assert not changed[0].any(), "nothing is drawn before the first box"
    for x, y, w, h in BOXES:
        assert changed[1][y - 1 : y + 2, x : x + w].any() and changed[1][y + h - 1 : y + h + 2, x : x + w].any()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,3,4\n5,6,7,8\nnan,nan,nan,nan\n", {"1": (1, 2, 3, 4)}),
        ("7 1 2 3 4\n9 5 6 7 8.5\n", {"7": (1, 2, 3, 4), "9": (5, 6, 7, 8.5)}),
        ("7 1 2 3 4\n7 5 6 7 8\n", "first.txt:2: .*target 7 is there twice"),
        ("7 1 2 3 4\n8 5 6 7 8 9\n", "first.txt:2: .*found 6 numbers"),
        ("1 2 3\n", "first.txt:1: expected 4 numbers, found 3"),
        ("\n", "first.txt"),
    ],
)
def test_first_boxes_of_a_text(tmp_path, text, expected):
    (tmp_path / "first.txt").write_text(text)
    if isinstance(expected, dict):
        assert first_boxes.read(str(tmp_path / "first.txt"), 0) == expected
        return
    with pytest.raises(UserError, match=expected):
        first_boxes.read(str(tmp_path / "first.txt"), 0)


def test_first_boxes_of_annotations(tmp_path, command):
    """Of a MOT file those targets are taken that begin in the first frame."""
    source = record(tmp_path / "a.mp4")
    words = [source, "--tracker", "identity:baseline", "--save_results", "--no_display", "--save_dir", tmp_path / "out"]
    assert command("track.py", *words, "--box", *BOXES[0], "--box", *BOXES[1]) == 0
    place = tmp_path / "mot"
    (place / "gt").mkdir(parents=True)
    (place / "img1").mkdir()
    frames = VideoFrames(source)
    from lib.data.image import encode_jpeg

    for number in range(3):
        (place / f"img1/{number + 1:06d}.jpg").write_bytes(encode_jpeg(frames[number]))
    lines = (tmp_path / "out/test/video_demo/identity/baseline/video_a_mot.txt").read_text().splitlines()
    (place / "gt/gt.txt").write_text("\n".join([line for line in lines[:6] if line[:3] != "1,2"]) + "\n")
    assert list(first_boxes.read(str(place), 0).values()) == [BOXES[0]]
    assert list(first_boxes.read(str(place), 1).values()) == [BOXES[1]]
    with pytest.raises(UserError, match="no target begins in frame 2; they begin in 0, 1"):
        first_boxes.read(str(place), 2)


def test_an_interrupted_video_goes_on_exactly(tmp_path, small_tracker, capsys):
    """Boxes after an interruption are those of an unbroken run, bit for bit, and frames are not tracked twice."""
    frames = open_frames(record(tmp_path / "a.mp4"))
    targets = Targets(small_tracker)
    whole, broken = saved(tmp_path / "whole", ("1", "2")), saved(tmp_path / "broken", ("1", "2"))
    boxes = first_boxes.numbered(BOXES)
    video.follow(targets, frames, boxes, options(), whole)

    def stop(done, total):
        assert total == COUNT
        if done == 4:
            raise KeyboardInterrupt

    video.follow(targets, frames, boxes, options(), broken, watch=stop)
    assert not broken.complete() and len(broken.path.read_text().splitlines()) == 2 * 4
    other = saved(tmp_path / "broken", ("1", "2"))
    other.made["box"] = [1, 2, 3, 4]
    assert other.partial() is None and broken.partial() is not None, "the state of another run is not taken"
    seen = []
    video.follow(Targets(small_tracker), frames, boxes, options(), broken, watch=lambda done, total: seen.append(done))
    assert seen == list(range(5, COUNT + 1)) and "going on after 4 frames" in capsys.readouterr().out
    assert broken.complete() and broken.path.read_bytes() == whole.path.read_bytes()
    assert not list((tmp_path / "broken").rglob("*.state"))


def test_a_damaged_or_foreign_state_is_one_line(tmp_path, small_tracker):
    import torch

    frames = open_frames(record(tmp_path / "a.mp4"))
    place = saved(tmp_path)
    place.path.parent.mkdir(parents=True)
    for harm in (b"nothing", {"found": io.BytesIO}):
        if isinstance(harm, bytes):
            place.path.with_suffix(".state").write_bytes(harm)
        else:
            torch.save(harm, place.path.with_suffix(".state"))
        with pytest.raises(UserError, match=r"video_a.state: damaged"):
            video.follow(Targets(small_tracker), frames, {"1": BOXES[0]}, options(), place)


def test_the_standard_input_is_a_video(tmp_path, command, monkeypatch):
    data = record(tmp_path / "a.ts").read_bytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))
    words = ["--tracker", "identity:baseline", "--box", *BOXES[0], "--save_results", "--save_dir", tmp_path]
    assert command("track.py", "-", *words, "--no_display") == 0
    assert len((tmp_path / "test/video_demo/identity/baseline/video_stdin.txt").read_text().splitlines()) == COUNT


def ask(url, data=None, **headers):
    asked = urllib.request.Request(url, data=None if data is None else json.dumps(data).encode(), headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_page_takes_boxes_and_shows_the_video(tmp_path, monkeypatch):
    monkeypatch.setattr("lib.test.follow.page.GONE", 0.5)
    source = record(tmp_path / "a.mp4")
    with Page(open_frames(source), "a.mp4") as page:
        status, text = ask(page.url)
        assert status == 200 and b"<canvas" in text
        assert json.loads(ask(page.url + "info")[1]) == {"state": "choose", "name": "a.mp4", "count": COUNT}
        assert ask(page.url + "frame?n=2")[1][:2] == b"\xff\xd8"
        assert ask(page.url + "frame?n=99")[0] == ask(page.url + "frame?n=x")[0] == ask(page.url + "none")[0] == 404
        assert ask(page.url, Host="elsewhere.example:80")[0] == 403, "a page of another site"
        for wrong, message in (
            ({"frame": 0, "boxes": []}, "draw a box first"),
            ({"frame": 0, "boxes": [[900, 0, 5, 5]]}, "off the frame"),
            ({"frame": 0, "boxes": [[1, 2, 0, 5]]}, "above 0"),
            ({"boxes": []}, "expected frame and boxes"),
        ):
            status, text = ask(page.url + "choose", wrong)
            assert status == 400 and message in json.loads(text)["wrong"]
        assert ask(page.url + "choose", {"frame": 2, "boxes": [BOXES[0]]}) == (200, b'{"wrong": ""}')
        assert page.ask() == (2, {"1": BOXES[0]})
        page.watch(3, None)
        assert json.loads(ask(page.url + "info")[1])["done"] == 3
        shown = threading.Thread(target=page.show, args=(source,))
        shown.start()
        assert ask(page.url + "video")[1] == source.read_bytes()
        status, part = ask(page.url + "video", Range="bytes=2-5")
        assert status == 206 and part == source.read_bytes()[2:6]
        shown.join(10)
        assert not shown.is_alive(), "it ends when nobody has asked for a while"


def test_the_page_is_for_files(tmp_path, command, capsys):
    assert command("track.py", record(tmp_path / "a.mp4"), "--box", "web", "--save_video", tmp_path / "a.avi") == 2
    assert "needs a name ending in .mp4" in capsys.readouterr().err
