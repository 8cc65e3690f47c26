"""The tracker of balls: every frame answered once and when declared, at its sub-pixel place, in any shape of frame."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from lib import config
from lib.config.ball import multiple
from lib.data.heatmap import gaussian
from lib.errors import UserError
from lib.models.ball import trajectory
from lib.models.ball.build import build_network
from lib.models.ball.tracknet import InpaintNet
from lib.models.parts.weights import save_weights
from lib.test.tracker.ball import BallTracker, inpaint, scaling

SIZE = (64, 48)


class Brightness(nn.Module):
    """A perfect network: the brightness of each frame is its heat map."""

    def forward(self, x):
        return x.unflatten(1, (-1, 3)).mean(dim=2)


def frame(point, size=SIZE, sigma=2.5):
    heat = gaussian(point, size, sigma)
    return np.repeat(np.round(255 * heat).astype(np.uint8)[..., None], 3, axis=2)


def make(*overrides, family="mmfnet", name="baseline", network=None):
    settings = config.load(family, name, [f"DATA.SIZE={list(SIZE)}", "DATA.CROP=[64,48]", *overrides])
    return BallTracker(settings, network=network or Brightness())


def follow(tracker, frames, at_once=1):
    """Results, and how many there were after each call."""
    state, found, counts = tracker.start(), [], []
    for first in range(0, len(frames), at_once):
        last = first + at_once >= len(frames)
        state, more = tracker.track_clip(state, frames[first : first + at_once], last)
        found += more
        counts.append(len(found))
    return found, counts


@pytest.mark.parametrize("step", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 8])
def test_every_frame_is_answered_once_and_at_its_place(step, count):
    points = [(10.3 + 4 * k, 20.7 + k) if k != 4 else None for k in range(count)]
    tracker = make(f"TEST.STEP={step}")
    found, counts = follow(tracker, [frame(point) for point in points])
    assert len(found) == count and tracker.look_ahead == 2
    assert all(counts[k] >= min(k + 1 - 2, count) for k in range(count)), "no later than declared"
    for one, point in zip(found, points, strict=True):
        assert one.present == (point is not None) and 0 <= one.score <= 1
        if point:
            assert one.point == pytest.approx(point, abs=0.03)
        else:
            assert math.isnan(one.point[0])


def test_calls_of_any_length_give_the_same():
    frames = [frame((10 + 3 * k, 20)) for k in range(9)]
    one, *others = (follow(make(), frames, at_once)[0] for at_once in (1, 2, 4, 9))
    assert all(other == one for other in others)


def test_an_old_state_may_be_gone_on_from_again():
    tracker, frames = make(), [frame((10 + 3 * k, 20)) for k in range(6)]
    state, _ = tracker.track_clip(tracker.start(), frames[:4], False)
    first, second = (tracker.track_clip(state, frames[4:], True)[1] for _ in range(2))
    assert first == second and len(first) == 4


def test_maps_of_overlapping_windows_are_averaged_as_tracknetv3_does():
    class Noise(nn.Module):
        def __init__(self):
            super().__init__()
            self.drawn = []

        def forward(self, x):
            torch.manual_seed(len(self.drawn))
            self.drawn.append(torch.rand(1, 3, 48, 64))
            return self.drawn[-1]

    network = Noise()
    tracker = make("TEST.THRESHOLD=1", network=network)  # nothing is seen: the score is the map's largest value
    found, _ = follow(tracker, [frame(None) for _ in range(6)])
    expected = trajectory.average_windows(torch.cat(network.drawn).numpy())
    assert [one.score for one in found] == pytest.approx([heat.max() for heat in expected], abs=1e-5)


@pytest.mark.parametrize(
    ("family", "name", "size"), [("mmfnet", "baseline", (96, 64)), ("tracknetv3", "baseline", (80, 40)),
                                 ("wasb", "baseline", (96, 64)), ("mmfnet", "lite", (160, 160))]
)  # fmt: skip
def test_points_are_px_of_the_frame_however_it_is_scaled(family, name, size):
    settings = config.load(family, name, ["DATA.SIZE=[64,64]", "DATA.CROP=[64,64]"])
    how = scaling(size, settings)
    unit = multiple(settings.MODEL)
    assert not how.size[0] % unit and not how.size[1] % unit
    point = np.array([0.6 * size[0] + 0.3, 0.4 * size[1] + 0.2])
    scaled = how.scale(frame(point, size, 6.0)).astype(float).sum(axis=2)
    rows, columns = np.indices(scaled.shape) + 0.5
    middle = np.array([(columns * scaled).sum(), (rows * scaled).sum(), scaled.sum()]) / scaled.sum()
    assert how.to_image @ middle == pytest.approx(point, abs=0.1)


def test_a_ball_far_from_the_last_one_is_refused():
    frames = [frame((10, 20)), frame((10, 20)), frame((50, 20)), frame((12, 20))]
    assert [one.present for one in follow(make(), frames)[0]] == [True] * 4
    assert [one.present for one in follow(make("TEST.GATE=20"), frames)[0]] == [True, True, False, True]


def test_gaps_are_filled_when_the_video_has_ended_but_not_above_the_image():
    points = [(10, 20), None, (16, 22), (20, 1.0), None, (28, 20)]
    tracker = make("TEST.FILL=linear")
    found, counts = follow(tracker, [frame(point) for point in points])
    assert tracker.look_ahead == math.inf and counts[:-1] == [0] * 5
    assert [one.present for one in found] == [True, True, True, True, False, True]
    assert found[1].point == pytest.approx((13, 21), abs=0.05) and found[1].score == 0


def test_inpaintnet_is_asked_for_the_gaps_alone(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = InpaintNet().eval()
    save_weights(tmp_path / "fill.safetensors", network.state_dict())
    monkeypatch.setenv("LUNAR_PRETRAINED", str(tmp_path))
    tracker = make("TEST.FILL=network", "TEST.FILL_WEIGHTS=fill.safetensors")
    points = [(10 + k, 20) if k % 5 else None for k in range(1, 21)]
    found, _ = follow(tracker, [frame(point) for point in points])
    truth = np.array([point or (np.nan, np.nan) for point in points])
    visible = np.isfinite(truth[:, 0])
    for k in np.flatnonzero(visible):
        assert found[k].point == pytest.approx(points[k], abs=0.05)
    marked = trajectory.gaps(visible, truth[:, 1], 0)
    located = np.array([one.point for one in found]) / SIZE
    wanted = inpaint(network, np.where(visible[:, None], located, np.nan), visible, marked)
    assert located[marked] == pytest.approx(wanted[marked], abs=1e-6)
    assert inpaint(network, located[:5], visible[:5], marked[:5]).shape == (5, 2), "shorter than a window"


@pytest.mark.parametrize(("frames", "first"), [(0, 6), (4, 4)])
def test_the_background_is_a_median_known_before_the_first_answer(frames, first):
    class Moving(nn.Module):
        def forward(self, x):
            return (x[:, 3:].unflatten(1, (-1, 3)) - x[:, None, :3]).mean(dim=2).clamp(0, 1)

    settings = ("MODEL.TYPE=unet", "MODEL.BACKGROUND=true", f"TEST.BACKGROUND_FRAMES={frames}")
    tracker = make(*settings, network=Moving())
    moving = [np.maximum(frame((8 + 8 * k, 20)), frame((50.0, 40.0))) for k in range(6)]
    found, counts = follow(tracker, moving)
    assert counts[first - 2] == 0 and counts[-1] == 6 and tracker.look_ahead == (math.inf if not frames else 3)
    assert [one.point for one in found] == [pytest.approx((8 + 8 * k, 20), abs=0.1) for k in range(6)]


def test_frames_of_two_sizes_are_one_line():
    tracker = make()
    state, _ = tracker.track_clip(tracker.start(), [frame((10, 20))], False)
    with pytest.raises(UserError, match="a frame of 32x48 px after frames of 64x48"):
        tracker.track_clip(state, [frame((10, 20), (32, 48))], False)


def small(tmp_path, monkeypatch, family, name, *more):
    """Configuration and weights of a small random network; engines write below tmp_path."""
    monkeypatch.setenv("LUNAR_SAVE", str(tmp_path))
    overrides = ["DATA.SIZE=[64,64]", "DATA.CROP=[64,64]", "TEST.THRESHOLD=0.02", *more]
    if family == "mmfnet":
        overrides += ["MODEL.WIDTHS=[4,4,4,4,4]", "MODEL.DEPTHS=[1,1,1,1,1]", "MODEL.FUSED=4"]
    settings = config.load(family, name, overrides)
    torch.manual_seed(0)
    save_weights(tmp_path / "w.safetensors", build_network(settings).state_dict())
    return settings, tmp_path / "w.safetensors"


FOUR = [frame((10 + k, 20), (64, 64)) for k in range(4)]


@pytest.mark.parametrize(("family", "name"), [("mmfnet", "lite"), ("mmfnet", "background"), ("wasb", "baseline")])
def test_networks_with_weights_track_by_any_engine(tmp_path, monkeypatch, family, name):
    tracker = BallTracker(*small(tmp_path, monkeypatch, family, name))
    found, _ = follow(tracker, FOUR)
    (stage,) = tracker.stages()
    tracker.use({stage.name: lambda tensors: stage.module(*tensors)})
    again, _ = follow(tracker, FOUR)
    assert [one.score for one in again] == [one.score for one in found]
    if family == "wasb":  # fits any frame
        return
    with pytest.raises(UserError, match=r"become \d+x32, .* takes 64x64: --set DATA.SIZE=\[\d+,32\]"):
        tracker.track_clip(tracker.start(), [frame((10, 20), (160, 32))], False)


@pytest.mark.soak
def test_onnx_finds_what_torch_finds(tmp_path, monkeypatch):
    pytest.importorskip("onnxruntime")
    settings, weights = small(tmp_path, monkeypatch, "mmfnet", "lite")
    found, _ = follow(BallTracker(settings, weights), FOUR)
    settings, weights = small(tmp_path, monkeypatch, "mmfnet", "lite", "TEST.BACKEND=onnx")
    again, _ = follow(BallTracker(settings, weights), FOUR)
    assert [one.score for one in again] == pytest.approx([one.score for one in found], abs=1e-4)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["DATA.SIZE=[500,288]"], r"DATA.SIZE \[500, 288\]: expected multiples of 16"),
        (["TEST.STEP=4"], "TEST.STEP 4 skips frames: expected at most MODEL.FRAMES 3"),
        (["TEST.FILL=network"], "FILL network and FILL_WEIGHTS must be set together"),
        (["MODEL.FRAMES=2"], "fusion needs at least 3"),
        (["DATA.ZOOM=[2,1]"], "expected two numbers, the smaller one first"),
        (["MODEL.TYPE=hrnet", "MODEL.BACKGROUND=true"], "hrnet takes no background"),
    ],
)
def test_impossible_settings_are_one_line(overrides, message):
    with pytest.raises(UserError, match=message):
        config.load("mmfnet", "baseline", overrides)
