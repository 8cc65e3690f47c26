"""MMFNet: what goes in, what comes out, and that every part of it takes part."""

import pytest
import torch

from lib.models.ball.mmfnet import MOTION_GAIN, MMFNet
from tests.models.draws import rand

SMALL = {"widths": (4, 6, 8, 10, 12), "depths": (1, 1, 1, 1, 1), "fused": 5}


@pytest.mark.parametrize("frames", [3, 5])
@pytest.mark.parametrize(("motion", "background"), [(False, False), (True, True)])
def test_a_map_for_each_frame_at_full_size(frames, motion, background):
    network = MMFNet(frames, motion=motion, background=background, **SMALL)
    back = rand(2, 3, 32, 48) if background else None
    maps = network(rand(2, frames, 3, 32, 48), back)
    assert maps.fused.shape == (2, frames, 32, 48) and maps.sides.shape == (2, 4, frames, 32, 48)
    (maps.fused.square().sum() + maps.sides.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_full_network_has_the_size_of_the_description():
    with torch.device("meta"):
        number = sum(parameter.numel() for parameter in MMFNet().parameters())
    assert 14e6 < number < 19e6


def test_at_first_maps_are_dark_and_the_fused_one_is_the_mean_of_the_sides():
    torch.manual_seed(0)
    maps = MMFNet(**SMALL).eval()(rand(1, 3, 3, 32, 32))
    assert maps.fused.sigmoid().mean() < 0.1
    assert torch.allclose(maps.fused, maps.sides.mean(dim=1), atol=1e-6)


def test_motion_sees_which_way_the_brightness_changed():
    network = MMFNet(motion=True, **SMALL)
    frames = torch.zeros(1, 3, 3, 16, 16)
    frames[:, 1] = 0.5
    brighter, darker = network._inputs(frames, None)[0, 9:].reshape(2, 2, 16, 16)
    assert brighter[0].unique().tolist() == pytest.approx([0.5 * MOTION_GAIN]) and not brighter[1].any()
    assert darker[1].unique().tolist() == pytest.approx([0.5 * MOTION_GAIN]) and not darker[0].any()


@pytest.mark.parametrize("shape", [(1, 4, 3, 32, 32), (1, 3, 3, 30, 32), (1, 3, 3, 32, 40)])
def test_refuses_windows_it_was_not_built_for(shape):
    with pytest.raises(ValueError, match="multiples of 16"):
        MMFNet(**SMALL)(torch.zeros(shape))


def test_refuses_a_background_too_many_or_too_few():
    with pytest.raises(ValueError, match="expected no background"):
        MMFNet(**SMALL)(torch.zeros(1, 3, 3, 16, 16), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match="expected a background"):
        MMFNet(background=True, **SMALL)(torch.zeros(1, 3, 3, 16, 16))
