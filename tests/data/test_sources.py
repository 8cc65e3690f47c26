"""Patterns of images and streams of a network as sources, and the first frame with a grid."""

import functools
import http.server
import threading

import cv2
import numpy as np
import pytest

from lib.data.frames import StreamFrames, expected_length, open_frames
from lib.errors import FrameError, UserError
from tests.data.test_video import COUNT, number_of, picture, record


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("img_%04d.png", [0, 1, 2]),
        ("img_%d.png", [0, 1, 2]),
        ("img_*.png", [0, 1, 2, 9]),
        ("img_000[12].png", [1, 2]),
        ("img_000?.png", [0, 1, 2]),
    ],
)
def test_images_by_a_pattern(tmp_path, pattern, expected):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"img_{number:04d}.png"), picture(number))
    cv2.imwrite(str(tmp_path / "img_x.png"), picture(9))
    cv2.imwrite(str(tmp_path / "other_0001.png"), picture(5))
    assert [number_of(frame) for frame in open_frames(tmp_path / pattern)] == expected
    with pytest.raises(UserError, match="no such video"):
        open_frames(tmp_path / "none_%04d.png")


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; of a file whose name begins with `lost` only the first half of what it promises."""

    def log_message(self, *words):
        pass

    def copyfile(self, source, outputfile):
        data = source.read()
        outputfile.write(data[: len(data) // 2] if "lost" in self.path else data)


@pytest.fixture
def server(tmp_path):
    handler = functools.partial(Server, directory=str(tmp_path))
    serving = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_address[1]}"
    serving.shutdown()
    serving.server_close()


def test_a_stream_of_the_network(tmp_path, server):
    record(tmp_path / "a.ts")
    frames = open_frames(f"{server}/a.ts")
    assert isinstance(frames, StreamFrames) and expected_length(frames) is None and frames.fps == 25
    assert [number_of(frame) for frame in frames] == list(range(COUNT))
    with pytest.raises(FrameError, match="gone.ts: cannot be opened: .*404|Not Found"):
        open_frames(f"{server}/gone.ts")


def test_a_lost_stream_ends_with_what_was_tracked(tmp_path, server, command, capsys):
    record(tmp_path / "lost.ts", options={"bf": "0"})
    words = ["--optional_box", 40, 20, 20, 20, "--save_results", "--save_dir", tmp_path / "out"]
    code = command("video_demo.py", "opencv", "mil", f"{server}/lost.ts", *words)
    assert code in (0, 2), "FFmpeg tells some losses from an end, and not others"
    rows = (tmp_path / "out" / "test" / "video_demo" / "opencv" / "mil" / "video_lost.txt").read_text().splitlines()
    assert 4 < len(rows) < COUNT and "wrote" in capsys.readouterr().out


def test_the_first_frame_with_a_grid(tmp_path, command, capsys):
    source = record(tmp_path / "a.mp4")
    assert command("video_demo.py", "opencv", "mil", source, "--show_first", tmp_path / "first.png") == 0
    assert "96 x 64 px" in capsys.readouterr().out
    drawn = cv2.imread(str(tmp_path / "first.png"))[:, :, ::-1].astype(int)
    assert drawn.shape == (64, 96, 3) and np.abs(drawn[55, 50] - (255, 220, 40)).max() <= 2
    assert np.abs(drawn[55, 55] - picture(0)[55, 55]).max() < 6
    assert command("video_demo.py", "opencv", "mil", source, "--show_first", tmp_path / "first.txt") == 2


class Flaky:
    """A stream that is lost after two frames, and cannot be opened the first time after that."""

    opened, sizes = 0, ((4, 6), (4, 6), (4, 6))
    fps = 25.0

    def __init__(self, url):
        Flaky.opened += 1
        self.number, self.url = Flaky.opened, url
        if self.number == 2:
            raise FrameError("cannot be opened", url)

    def __iter__(self):
        for _ in range(2):
            yield np.full((*self.sizes[self.number - 1], 3), self.number, np.uint8)
        if self.number == 1:
            raise FrameError("the stream was lost after 2 frames", self.url)


def test_a_lost_live_stream_is_opened_again(monkeypatch, caplog):
    monkeypatch.setattr("lib.data.frames.VideoStream", Flaky)
    monkeypatch.setattr("lib.data.frames.PAUSE", 0.0)
    monkeypatch.setattr(Flaky, "opened", 0)
    assert [frame[0, 0, 0] for frame in open_frames("rtsp://camera/1")] == [1, 1, 3, 3]
    assert "lost after 2 frames; opening it again, try 2 of 5" in caplog.text
    monkeypatch.setattr(Flaky, "opened", 0)
    with pytest.raises(FrameError, match="lost after 2 frames"):  # a file of the web would begin again
        list(open_frames("http://server/a.ts"))
    monkeypatch.setattr(Flaky, "opened", 0)
    monkeypatch.setattr(Flaky, "sizes", ((4, 6), (4, 6), (8, 6)))
    with pytest.raises(FrameError, match="came back with 6 x 8 px"):
        list(open_frames("rtsp://camera/1"))
    monkeypatch.setattr(Flaky, "opened", 0)
    monkeypatch.setattr("lib.data.frames.TRIES", 1)
    with pytest.raises(FrameError, match="lost after 2 frames"):
        list(open_frames("udp://camera:1"))
