"""The lift of an image's light: found on a thumbnail, exposed as wanted, applied as one step of the haze diffusion."""

import numpy as np
import pytest
import torch

from lib.models.enhancer import build_enhancer, light
from lib.models.enhancer.haze import dehaze

RNG = np.random.default_rng(0)


def night(height=90, width=120):
    image = RNG.integers(5, 40, (height // 6, width // 6, 3), np.uint8).repeat(6, axis=0).repeat(6, axis=1)
    image[:12, :12] = 255  # a lamp
    image[-12:, -12:] = 0
    return image


def test_thumbnails_shrink_by_whole_factors():
    for side, expected in ((200, (90, 120)), (64, (45, 60)), (30, (22, 30))):
        assert light.thumbnail(night(), side).shape[:2] == expected
    assert light.thumbnail(np.zeros((1, 500, 3), np.uint8), 64).shape[:2] == (1, 62)


def test_lifts_are_those_of_the_steps():
    enhancer = build_enhancer("haze_diffusion").eval()
    enhancer.trunk.values.bias.data[:3] = -50  # no veil: the depth is the same everywhere
    small = np.full((48, 64, 3), 30, np.uint8)
    first, second = light.lifts(enhancer, small, 1.0, torch.device("cpu"))
    assert first.shape == (48, 64) and np.ptp(first) < 1e-4
    assert first.mean() > 0.2 and second.mean() == pytest.approx(2 * first.mean(), rel=0.1)
    assert not light.lifts(enhancer, small, 0.0, torch.device("cpu"))[-1].any()


@pytest.mark.parametrize("wanted", [0.2, 0.35, 0.5])
def test_an_image_is_exposed_as_wanted(wanted):
    image = night()
    lift = light.exposed(image, RNG.random(image.shape[:2]).astype(np.float32), wanted, 0.5)
    out = light.brighten(np.float32(image), lift)
    assert out.max(axis=2).mean() / 255 == pytest.approx(wanted, abs=0.01)
    assert (out >= image).all() and (out[:12, :12] == 255).all() and (out[-12:, -12:] == 0).all(), (
        "lamps and black stay"
    )


def test_spread_is_of_the_differences_between_places():
    image, lift = np.full((40, 40, 3), 20, np.uint8), np.ones((40, 40), np.float32)
    lift[:20] = 2
    found = [light.exposed(image, lift, 0.3, spread) for spread in (0.0, 0.5, 1.0)]
    assert [float(each[0, 0] - each[-1, 0]) for each in found] == pytest.approx([0, 0.5, 1], abs=1e-5)


def test_what_is_bright_enough_stays():
    image = night() // 2 + 120
    lift = light.exposed(image, np.ones(image.shape[:2], np.float32), 0.3, 0.5)
    assert not lift.any() and np.array_equal(light.brighten(np.float32(image), lift), image)


def test_tones_keep_their_order_and_colours_their_ratios():
    ramp = np.arange(256, dtype=np.float32)[None, :, None].repeat(4, axis=0).repeat(3, axis=2)
    for lift in (1.0, light.LARGEST):
        out = light.brighten(ramp, np.full((4, 256), lift, np.float32)).astype(int)
        assert (np.diff(out[0, :, 0]) >= 0).all() and out[0, 255, 0] == 255
    colours = np.float32([[[20, 10, 5], [4, 40, 8]]])
    out = light.brighten(colours, np.full((1, 2), 1.0, np.float32))
    assert np.abs(out / out.max(axis=2, keepdims=True) - colours / colours.max(axis=2, keepdims=True)).max() < 0.02


def test_a_lift_is_one_step_of_the_haze_diffusion(monkeypatch):
    monkeypatch.setattr(light, "GUARD", 0.0)
    image = RNG.integers(0, 256, (16, 16, 3), np.uint8)
    lift = np.full((16, 16), 1.3, np.float32)
    step = dehaze(torch.from_numpy(image.transpose(2, 0, 1).copy()).double() / 255, torch.tensor(-1.3).exp())
    assert np.abs(light.brighten(np.float32(image), lift) - 255 * step.permute(1, 2, 0).numpy()).max() <= 0.51
