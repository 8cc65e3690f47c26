"""Videos of several trackers' results, from the command line and picture by picture."""

import numpy as np
import pytest

from lib.data.frames import VideoFrames
from lib.data.image import encode_jpeg
from lib.test.analysis import plots
from lib.test.evaluation import results
from lib.test.evaluation.results import Run
from lib.vis import compare
from lib.vis.compare import Answer

COUNT = 6


@pytest.fixture
def root(tmp_path):
    """A user's folder of two short sequences, and results of two trackers; one of them lacks the second sequence."""
    data, root = tmp_path / "my night", tmp_path / "out"
    boxes = np.array([[30.0 + 2 * index, 20, 6, 6] for index in range(COUNT)])
    for name in ("bird", "car"):
        (data / name / "img").mkdir(parents=True)
        np.savetxt(data / name / "groundtruth.txt", boxes, "%.2f", ",")
        for index in range(COUNT):
            (data / name / "img" / f"{index + 1:08d}.jpg").write_bytes(encode_jpeg(np.full((81, 121, 3), 12, "u1"), 95))
    for config, names in (("one", ("bird", "car")), ("two", ("bird",))):
        run = Run(results.results_root(root), "t", config)
        for name in names:
            results.write(run, data.name, name, boxes)
        results.write_source(run, data.name, data)
    return tmp_path


def test_a_folder_of_videos(command, root, capsys):
    words = ["--results", root / "out", "--save_video", root / "videos", "--zoom", "--gain", 3]
    assert command("vis_results.py", *words) == 0
    videos = sorted((root / "videos").rglob("*.mp4"))
    assert [path.relative_to(root / "videos").as_posix() for path in videos] == [
        "my night/bird.mp4",
        "my night/car.mp4",
    ]
    frames = VideoFrames(videos[0])
    assert len(frames) == COUNT and not any(size % 2 for size in frames[0].shape[:2])
    assert capsys.readouterr().out.count("wrote ") == 2


def test_one_file_of_one_sequence(command, root):
    words = ["--results", root / "out", "--dataset", root / "my night", "--trackers", "t:one:ours", "t:two"]
    assert command("vis_results.py", *words, "--sequence", "0", "--save_video", root / "bird.webm") == 0
    assert len(VideoFrames(root / "bird.webm")) == COUNT


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--save_video", "all.mp4"], "one file for 2 sequences"),
        (["--sequence", "cat"], "--sequence cat: no such name, and no such number from 0, in my night"),
        (["--sequence", "2"], "--sequence 2: no such name"),
        (["--gain", "0"], "--gain 0: expected a factor above 0"),
        (["--trackers", "t:two", "--sequence", "car"], "no results of car by t two"),
        (["--sequence", "car", "--save_video", "car.gif/x"], ""),
    ],
)
def test_mistakes_are_one_line(command, root, flags, message, capsys, monkeypatch):
    monkeypatch.chdir(root)
    if message == "":  # a suffix that is no video's names a folder
        assert command("vis_results.py", "--results", "out", *flags) == 0
        assert (root / "car.gif" / "x" / "my night" / "car.mp4").is_file()
        return
    assert command("vis_results.py", "--results", "out", *flags) == 2
    err = capsys.readouterr().err
    assert err.startswith("lunar: error: ") and message in err and err.count("\n") == 1


def test_a_sequence_that_fails_costs_no_other(command, root, capsys):
    (root / "my night" / "bird" / "img" / "00000003.jpg").write_bytes(b"no image")
    words = ["--results", root / "out", "--save_video", root / "videos"]
    assert command("vis_results.py", *words) == 4
    assert [path.name for path in (root / "videos").rglob("*.mp4")] == ["car.mp4"]
    err = capsys.readouterr().err
    assert "my night bird: " in err and "00000003.jpg" in err


def answers(frames):
    """The truth, absent in the last frame, a tracker that is 2 px off, and one that says absent."""
    boxes = np.array([[60.0, 40, 10, 10]] * frames)
    truth = boxes.copy()
    truth[-1] = np.nan
    known = np.where(np.arange(frames) < frames - 1, 1.0, np.nan)
    return Answer("truth", compare.rgb(plots.TRUTH), truth), [
        Answer("off", compare.rgb(plots.style(0)[0]), boxes + [2, 0, 0, 0], 0.67 * known),
        Answer("none", compare.rgb(plots.style(1)[0]), np.full_like(boxes, np.nan), 0 * known),
    ]


def test_pictures():
    frames = [np.full((120, 640, 3), 20, np.uint8)] * 3
    truth, others = answers(3)
    drawn = list(compare.pictures(frames, truth, others, zoom=True, gain=2))
    assert len({picture.shape for picture in drawn}) == 1
    assert drawn[0].shape[1] == 640 + 2 + 120 and drawn[0].shape[0] > 120
    assert (drawn[0][5, 5] == 40).all()  # brightened
    blue = np.array(compare.rgb(plots.style(0)[0]))
    reach = np.argwhere(np.abs(drawn[0][:120, :640].astype(int) - blue).max(axis=2) < 60)
    np.testing.assert_allclose([reach[:, 1].min(), reach[:, 1].max()], [62, 71], atol=1)  # where its box is
    yellow = np.array(compare.rgb(plots.TRUTH))
    assert (np.abs(drawn[0][:120].astype(int) - yellow).max(axis=2) < 60).any()
    assert not (np.abs(drawn[2][:120].astype(int) - yellow).max(axis=2) < 60).any()  # absent: not drawn
    assert (drawn[0][120:] != drawn[2][120:]).any()


def test_small_frames_are_enlarged_and_long_legends_wrap():
    truth, others = answers(2)
    many = [one._replace(label=f"a tracker with a long name {index}") for index, one in enumerate(others * 4)]
    few = next(compare.pictures([np.zeros((60, 80, 3), np.uint8)] * 2, truth, others))
    more = next(compare.pictures([np.zeros((60, 80, 3), np.uint8)] * 2, truth, many))
    assert few.shape[1] == more.shape[1] == compare.MIN_WIDTH and more.shape[0] > few.shape[0] >= 480
