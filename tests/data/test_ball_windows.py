"""Windows of frames for ball finders: those of TrackNetV3 and WASB to the last bit, ours with all of a ball's light."""

import numpy as np
import pytest
import torch

from lib.data.ball_windows import median_background, released_window_tracknetv3, released_window_wasb, window
from lib.models.ball.decode import released_similarity


def load(shared_data, name):
    path = shared_data / "parity" / name
    if not path.is_file():
        pytest.skip(f"needs {path}, which is not here")
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("mode", ["", "subtract", "subtract_concat", "concat"])
def test_windows_of_tracknetv3(shared_data, mode):
    data = load(shared_data, "tracknetv3.pt")["input"]
    frames = data["frames"].numpy()
    found = released_window_tracknetv3(frames[1:4], median_background(frames), mode, (48, 27))
    assert np.array_equal(found, data["modes"][mode or "rgb"].numpy())


def test_windows_of_wasb(shared_data):
    data = load(shared_data, "wasb.pt")["preprocess"]
    frames = data["frames"].numpy()
    found = released_window_wasb(frames, released_similarity((160, 90), (64, 36)), (64, 36))
    assert np.abs(found - data["input"].numpy()).max() < 1e-5


def test_our_window_keeps_the_light_of_a_ball_wherever_it_lies():
    light = []
    for x in range(100, 116):
        frame = np.zeros((1080, 1920, 3), np.uint8)
        frame[500:504, x : x + 4] = 255
        found = window([frame] * 3, (480, 270))
        assert found.shape == (3, 3, 270, 480)
        light.append(found[0, 0].sum() * 16)
    assert light == pytest.approx([16] * 16, rel=0.02)


def test_the_median_forgets_what_passes():
    frames = np.full((5, 4, 6, 3), 90, np.uint8)
    frames[2, 1, 1] = 255
    assert (median_background(frames) == 90).all()
