"""The steps of the haze diffusion: exact inverses, their physics, their range (spec enhancer.md 8)."""

import math

import pytest
import torch

from lib.models.enhancer import haze
from lib.models.enhancer.haze import brightness, dehaze, transmission
from tests.models.draws import rand


def attenuations(shape, seed=0, largest=4.0):
    """exp(-tau) for random optical depths up to `largest`, float64."""
    return torch.exp(-rand(*shape, seed=seed, high=largest, dtype=torch.float64))


IMAGE = rand(2, 3, 16, 16, seed=1, dtype=torch.float64)
VEIL = torch.tensor([0.02, 0.1, 0.05], dtype=torch.float64)[:, None, None]
FIRST, SECOND = attenuations((2, 1, 16, 16), 2), attenuations((2, 1, 16, 16), 3)


@pytest.mark.parametrize("veil", [0.0, VEIL])
def test_dehaze_undoes_haze_and_depths_add(veil):
    dark = haze.haze(haze.haze(IMAGE, FIRST, veil), SECOND, veil)
    assert (dehaze(dehaze(dark, SECOND, veil), FIRST, veil) - IMAGE).abs().max() < 1e-9
    assert (haze.haze(dehaze(IMAGE, FIRST, veil), FIRST, veil) - IMAGE).abs().max() < 1e-9
    assert (dehaze(dark, FIRST * SECOND, veil) - IMAGE).abs().max() < 1e-9
    assert (dark - IMAGE).abs().max() > 0.3
    value = brightness(dark, veil)
    both = transmission(value, SECOND) * transmission(brightness(dehaze(dark, SECOND, veil), veil), FIRST)
    assert (both - transmission(value, FIRST * SECOND)).abs().max() < 1e-9


def test_haze_is_the_scattering_model_of_the_inverted_image():
    clean = VEIL + (1 - VEIL) * IMAGE  # nothing below the veil
    dark = haze.haze(haze.haze(clean, FIRST, VEIL), SECOND, VEIL)
    through = transmission(brightness(dark, VEIL), FIRST * SECOND)
    assert ((1 - dark) - (through * (1 - clean) + (1 - through) * (1 - VEIL))).abs().max() < 1e-12


def test_a_step_moves_the_log_odds_of_brightness_by_its_depth():
    image = 1e-3 + (1 - 2e-3) * IMAGE
    moved = torch.logit(brightness(dehaze(image, FIRST))) - torch.logit(brightness(image))
    assert (moved + torch.log(FIRST)).abs().max() < 1e-9


def test_nothing_lost_nothing_changed():
    image = IMAGE.float()
    assert torch.equal(dehaze(image, torch.ones(2, 1, 16, 16)), image)
    assert torch.equal(haze.haze(image, torch.ones(2, 1, 16, 16)), image)


def test_a_step_leaves_lamps_black_and_what_is_below_the_veil():
    ends = torch.tensor([0.0, 1.0, 0.01], dtype=torch.float64).expand(3, 1, 3)
    assert (dehaze(ends, torch.tensor(0.1), torch.tensor(0.02)) - ends).abs().max() < 1e-6


@pytest.mark.parametrize("veil", [0.0, VEIL.float()])
def test_a_step_stays_in_range(veil):
    images = torch.stack([torch.zeros(3, 32, 32), torch.ones(3, 32, 32), rand(3, 32, 32), rand(3, 32, 32) ** 8])
    for depth in (torch.tensor(8.0), rand(4, 3, 32, 32, seed=5, high=8)):  # also one for each channel
        out = dehaze(images, torch.exp(-depth), veil)
        assert out.isfinite().all() and out.min() >= 0 and out.max() <= 1 + 1e-6


def test_a_deeper_step_is_brighter():
    out = dehaze(IMAGE, torch.maximum(FIRST, SECOND), VEIL), dehaze(IMAGE, torch.minimum(FIRST, SECOND), VEIL)
    assert (out[0] <= out[1] + 1e-12).all() and (out[0] < out[1] - 0.01).any()


def test_a_step_keeps_the_ratios_of_channels():
    out = dehaze(IMAGE, FIRST)
    assert (out / out.sum(dim=1, keepdim=True) - IMAGE / IMAGE.sum(dim=1, keepdim=True)).abs().max() < 1e-9


def test_residual_share_of_the_last_step_is_none():
    step = rand(100, low=0.1, high=0.9, dtype=torch.float64)
    assert haze.residual_share(step, step, least=0).max() == 0
    two = haze.residual_share(step, step * step, least=0)
    assert (two - torch.sqrt((1 - step**2) / (1 - step**4))).abs().max() < 1e-12


def test_posterior_is_that_of_simulated_haze():
    t1, t2, sigma, clean = 0.7, 0.4, 0.2, -0.5
    noise = torch.randn(2, 400_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    dim = t1 * clean + sigma * math.sqrt(1 - t1**2) * noise[0]
    dark = t2 * dim + sigma * math.sqrt(1 - t2**2) * noise[1]
    covariance = torch.cov(torch.stack([dim, dark]))
    slope = covariance[0, 1] / covariance[1, 1]
    at = 0.1
    mean, variance = haze.posterior(torch.tensor(at), torch.tensor(clean), t2, t1, sigma)
    assert mean.item() == pytest.approx((dim.mean() + slope * (at - dark.mean())).item(), rel=0.01)
    assert variance == pytest.approx((covariance[0, 0] - slope * covariance[0, 1]).item(), rel=0.01)
