"""tracking/video_demo.py with a tracker that finds a ball: no first box, ball and tail drawn, points written."""

import av
import numpy as np
import pytest
import torch

from lib import config
from lib.data.heatmap import gaussian
from lib.models.ball.build import build_network
from lib.models.parts.weights import save_weights
from lib.vis.draw import draw_ball
from lib.vis.video import VideoWriter

SMALL = ("DATA.SIZE=[64,32]", "DATA.CROP=[64,32]", "MODEL.WIDTHS=[4,4,4,4,4]", "MODEL.DEPTHS=[1,1,1,1,1]",
         "MODEL.FUSED=4", "TEST.THRESHOLD=0.01")  # fmt: skip
COUNT = 7


@pytest.fixture
def demo(tmp_path, command):
    """video_demo.py on a video of a bright ball: demo(*flags) -> exit code."""
    with VideoWriter(tmp_path / "rally.mp4") as video:
        for k in range(COUNT):
            heat = 40 + 200 * gaussian((20.0 + 8 * k, 30.0), (128, 64), 3.0)
            video.write(np.repeat(heat.astype(np.uint8)[..., None], 3, axis=2))
    torch.manual_seed(0)
    save_weights(tmp_path / "w.safetensors", build_network(config.load("mmfnet", "baseline", SMALL)).state_dict())
    words = [word for text in SMALL for word in ("--set", text)]
    words += ["--checkpoint", tmp_path / "w.safetensors", "--device", "cpu", "--no_display", "--save_dir", tmp_path]
    return lambda *flags: command("video_demo.py", "mmfnet", "baseline", tmp_path / "rally.mp4", *words, *flags)


def test_a_video_with_the_ball_and_its_points(demo, tmp_path, capsys):
    assert demo("--save_video", tmp_path / "ball.mp4", "--save_results") == 0
    with av.open(str(tmp_path / "ball.mp4")) as video:
        assert sum(1 for _ in video.decode(video=0)) == COUNT, "frames that waited for an answer are drawn too"
    (table,) = (tmp_path / "test/video_demo/mmfnet/baseline").glob("*.csv")
    assert len(table.read_text().splitlines()) == 1 + COUNT
    assert "7 frames" in capsys.readouterr().out
    assert demo("--save_results") == 0 and "these results are there already" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--save_results", "--box", "1", "2", "3", "4"), "this tracker finds the ball itself and takes no first box"),
        (("--save_video", "x.mp4", "--set", "TEST.FILL=linear"), "answers when it has seen the whole video"),
    ],
)
def test_what_cannot_be_done_is_one_line(demo, capsys, flags, message):
    assert demo(*flags) == 2 and message in capsys.readouterr().err


def test_the_whole_video_first_is_possible_for_results_alone(demo, tmp_path):
    assert demo("--save_results", "--set", "TEST.FILL=linear", "--max_frames", "4") == 0
    (table,) = tmp_path.rglob("*.csv")
    assert len(table.read_text().splitlines()) == 5


def test_the_tail_fades_and_breaks_where_no_ball_is_seen():
    image = np.zeros((100, 160, 3), np.uint8)
    nan = (np.nan, np.nan)
    drawn = draw_ball(image, [(10, 20), (30, 20), (50, 20), nan, (90, 20), (110, 20)], (255, 255, 255))
    light = drawn[20, :, 0].astype(int)
    assert not image.any() and 0 < light[20] < light[40] < light[100] and not light[60:80].any()
    assert drawn[20, 115].any() or drawn[20, 114].any(), "a ring about the last point"
    assert not draw_ball(image, [(10, 20), nan])[:, 15:].any() and not draw_ball(image, []).any()
