"""Noise measured in the image itself, band by band, and removed; what is no noise stays."""

import cv2
import numpy as np
import pytest

from lib.models.enhancer import noise

RNG = np.random.default_rng(0)


def scene(height=160, width=176, sigma=4.0, blur=0.0):
    """(noisy, clean) (H, W, 3) float32: a dark field with a bright target, and noise white or of blotches."""
    clean = np.full((height, width, 3), 30.0, np.float32)
    clean[height // 2 : height // 2 + 6, width // 2 : width // 2 + 6] = 120
    field = np.random.default_rng(1).normal(0, 1, clean.shape).astype(np.float32)
    field = cv2.GaussianBlur(field, (0, 0), blur) if blur else field
    return clean + sigma * field / field.std(), clean


def test_white_noise_is_finest_and_blotches_are_coarser():
    white, blotchy = noise.measure(scene()[0]), noise.measure(scene(blur=1.5)[0])
    assert white[0] > 2 * white[1] > 4 * white[2] and white[0] == pytest.approx(0.7 * 16, rel=0.25)
    assert blotchy[1] > 2 * blotchy[0] and blotchy[2] > 2 * blotchy[0]
    assert max(noise.measure(scene(sigma=0.0)[0])) < 0.1, "a clean image with a target"


@pytest.mark.parametrize(("blur", "left"), [(0.0, 0.35), (1.5, 0.6)])
def test_noise_goes_and_a_small_target_stays(blur, left):
    noisy, clean = scene(blur=blur)
    out = noise.remove(noisy, noise.measure(noisy), 1.5)
    around = np.abs(clean - 30).max(axis=2) == 0
    assert (out - clean)[around].std() < left * (noisy - clean)[around].std()
    target = clean.max(axis=2) > 60
    assert out[target].mean() > 0.95 * 120
    white = noise.remove(noisy, noise.measure(noisy)[:1] + (0.02, 0.02), 1.5)
    assert blur == 0 or (white - clean)[around].std() > 1.3 * (out - clean)[around].std(), "blotches need their bands"


def test_strength_and_a_clean_image():
    noisy, clean = scene()
    assert np.abs(noise.remove(noisy, noise.measure(noisy), 0) - noisy).max() < 1e-3
    assert np.abs(noise.remove(clean, noise.measure(clean), 1) - clean).max() < 1
    spread = [(noise.remove(noisy, noise.measure(noisy), s) - clean).std() for s in (0, 0.5, 1, 2)]
    assert spread == sorted(spread, reverse=True)


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (37, 53), (8, 200)])
def test_every_size(size):
    image = RNG.integers(0, 60, (*size, 3), np.uint8)
    out, levels = noise.clean(image, 1.0)
    assert out.shape == image.shape and np.isfinite(out).all() and len(levels) == noise.BANDS


def test_strips_give_the_same(monkeypatch):
    image = RNG.integers(0, 60, (700, 96, 3), np.uint8)
    levels = noise.measure(image)
    whole = noise.remove(image[:500], levels)
    monkeypatch.setattr(noise, "STRIP", 128)
    assert np.abs(noise.remove(image[:500], levels) - whole).max() < 1e-3
    assert noise.clean(image, 1.0)[0].shape == image.shape


def test_levels_of_a_video_change_slowly():
    quiet, loud = (np.uint8(np.clip(30 + RNG.normal(0, sigma, (64, 64, 3)), 0, 255)) for sigma in (1, 6))
    _, first = noise.clean(quiet, 1.0)
    _, second = noise.clean(loud, 1.0, first)
    expected = [noise.KEPT * a + (1 - noise.KEPT) * b for a, b in zip(first, noise.clean(loud, 1.0)[1], strict=True)]
    assert second == pytest.approx(expected)


def test_blur_is_for_blotches_alone():
    white, blotchy = (noise.measure(scene(blur=blur)[0]) for blur in (0.0, 1.5))
    assert noise.blotches(white) == 0 and noise.blotches(blotchy) == 1
    assert noise.blotches((1.0, 1.0, 1.0)) == pytest.approx(0.5)
    image = scene(blur=1.5)[0]
    assert noise.blurred(image, 0.0) is image and noise.blurred(image, 1.0).std() < image.std()
