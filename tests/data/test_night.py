"""The night model: its physics against plain formulas, its repeatability, its strengths."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lib.data.night import STRENGTHS, Lamp, NightParams, darken, expose, illumination, night_strength, sample_night
from lib.errors import UserError


@pytest.fixture
def day():
    """(120, 160, 3) uint8: smooth colours over the whole range."""
    y, x = np.mgrid[:120, :160]
    return np.stack([x * 255 / 159, y * 255 / 119, (x + y) * 255 / 278], axis=2).astype(np.uint8)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_without_noise_it_is_the_plain_formula(day):
    balance = np.array([1.0, 0.8, 0.5])
    params = NightParams(3.0, white_balance=tuple(balance), gamma=2.1, veil=0.03)
    expected = 255 * (0.03 + 0.97 * ((day / 255) ** 2.2 * 2**-3 * balance) ** (1 / 2.1))
    assert np.abs(darken(day, params, rng()) - expected).max() <= 0.75


@pytest.mark.parametrize(("light", "shot", "read"), [(0.1, 1e-3, 1e-5), (0.02, 2e-5, 1e-6), (0.3, 5e-4, 1e-8)])
def test_noise_has_the_variance_it_says(light, shot, read):
    image = expose(np.full((200, 300, 3), light, np.float32), NightParams(0, shot=shot, read=read), rng())
    linear = (image / 255) ** 2.2
    rounding = (2.2 * light / (255 * light ** (1 / 2.2))) ** 2 / 12
    assert linear.mean() == pytest.approx(light, rel=0.01)
    assert linear.var() == pytest.approx(shot * light + read + rounding, rel=0.05)


def test_same_seed_same_bytes_and_only_noise_is_fresh(day):
    params = sample_night(rng(3))
    assert params == sample_night(rng(3)) != sample_night(rng(4))
    first, again, other = (darken(day, params, rng(s)) for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    quiet = replace(params, shot=0.0, read=0.0)
    assert np.array_equal(darken(day, quiet, rng(1)), darken(day, quiet, rng(2)))


def test_noise_is_independent_between_pixels_and_channels():
    image = expose(np.full((256, 256, 3), 0.1, np.float32), NightParams(0, shot=1e-3, read=1e-5), rng())
    noise = image - image.mean()
    for a, b in ((noise[1:], noise[:-1]), (noise[:, 1:], noise[:, :-1]), (noise[..., 0], noise[..., 1])):
        assert abs((a * b).mean()) < 0.02 * noise.var()


def test_input_is_kept(day):
    before = day.copy()
    darken(day, sample_night(rng()), rng())
    assert np.array_equal(day, before)
    linear = np.full((8, 8, 3), 0.2, np.float32)
    expose(linear, NightParams(2, shot=1e-3), rng())
    assert (linear == np.float32(0.2)).all()


def test_strengths_are_ordered(day):
    means = [darken(day, night_strength(name), rng()).max(axis=2).mean() / 255 for name in STRENGTHS]
    assert list(STRENGTHS) == ["mild", "moderate", "heavy"]
    assert means[0] > 1.5 * means[1] > 1.5**2 * means[2]


def test_strengths_on_real_video(shared_data):
    """The brightness written beside STRENGTHS, on the first frame of each sequence."""
    means = []
    for path in sorted((shared_data / "dev").glob("*.mp4")):
        ok, frame = cv2.VideoCapture(str(path)).read()
        assert ok, path
        means.append([darken(frame, params, rng()).max(axis=2).mean() / 255 for params in STRENGTHS.values()])
    assert np.mean(means, axis=0) == pytest.approx([0.25, 0.14, 0.09], abs=0.03)


def test_unknown_strength():
    with pytest.raises(UserError, match="mild, moderate, heavy"):
        night_strength("pitch")


def test_a_lamp_lights_its_place_in_its_colour():
    lamp = Lamp(0.75, 0.5, 0.05, (1.0, 0.7, 0.4))
    light = illumination(NightParams(5.0, lamps=(lamp,)), 200, 400)
    assert light.shape == (200, 400, 3)
    assert light[100, 300] == pytest.approx(2**-5 + 0.8 * np.array([1.0, 0.7, 0.4]), rel=0.03)
    assert light[100, 50] == pytest.approx(2**-5, rel=0.01)
    one_radius = light[100, 320, 0] - 2**-5  # 5 % of the width, across as well as down
    assert one_radius == pytest.approx(0.8 * np.exp(-0.5), rel=0.05)
    assert light[120, 300, 0] - 2**-5 == pytest.approx(one_radius, rel=0.05)


def test_never_brighter_than_day_without_lamps():
    assert illumination(NightParams(0.5, field=(-3.0,) * 9), 50, 60).max() == 1


def test_sampled_ranges():
    nights = [sample_night(rng(s)) for s in range(300)]
    assert all(1.5 <= n.ev <= 6 and max(n.white_balance) == 1 and 0 <= n.veil <= 0.04 for n in nights)
    assert all(2e-5 <= n.shot <= 1e-3 and 1e-8 <= n.read <= 1e-5 and 2.0 <= n.gamma <= 2.4 for n in nights)
    assert {len(n.lamps) for n in nights} == {0, 1, 2}
    assert 0.4 < np.mean([n.jpeg is not None for n in nights]) < 0.6
    assert all(n.jpeg is None or 40 <= n.jpeg <= 95 for n in nights)


def test_processed_nights_are_others_and_asking_for_none_changes_nothing():
    plain, processed = ([sample_night(rng(s), processed=share) for s in range(300)] for share in (0.0, 1.0))
    assert plain == [sample_night(rng(s)) for s in range(300)]
    assert all(1e-4 <= b.shot / a.shot <= 0.1 and b.ev == a.ev for a, b in zip(plain, processed, strict=True))
    assert {len(n.lamps) for n in processed} == set(range(6))
    assert 1.5 < max(lamp.exposure for n in processed for lamp in n.lamps) <= 2.5
    some = [sample_night(rng(s), processed=0.5) for s in range(300)]
    assert 0.4 < np.mean([a == b for a, b in zip(plain, some, strict=True)]) < 0.6


def test_jpeg_keeps_colours_in_order():
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 220
    night = darken(red, NightParams(1.0, jpeg=60), rng())
    assert night[..., 0].mean() > 100 > 20 > night[..., 2].mean()


@pytest.mark.parametrize("bad", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8)])
def test_wrong_kind_of_image(bad):
    with pytest.raises(ValueError, match="uint8"):
        darken(bad, NightParams(2.0), rng())


@pytest.mark.parametrize("size", [(1, 1), (2, 7), (33, 5)])
def test_small_images(size):
    assert darken(np.full((*size, 3), 200, np.uint8), sample_night(rng(5)), rng()).shape == (*size, 3)
