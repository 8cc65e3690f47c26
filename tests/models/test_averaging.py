"""Averaging over time: noise falls as it should, what moves is neither smeared nor trailed, the memory is a value."""

import cv2
import numpy as np
import pytest

from lib.models.enhancer.averaging import FRAMES, average

SIGMA = 6.0


def scene(height=96, width=128, seed=0):
    """(H, W, 3) float32: soft texture, dark, with a few sharp edges."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.uniform(0, 255, (height, width, 3)).astype(np.float32), (0, 0), 4) * 2 - 215
    image[20:60, 30:34] = 90
    return np.clip(image, 20, 200)


def noisy(image, seed):
    values = image + np.random.default_rng(seed).normal(0, SIGMA, image.shape)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


def film(images, corner=(0, 0)):
    """The last averaged frame of [(H, W, 3)] with fresh noise, and the memory."""
    memory = None
    for number, image in enumerate(images):
        out, memory = average(noisy(image, number), corner, memory)
    return out, memory


def test_a_still_scene_loses_the_noise_that_a_mean_of_so_many_frames_loses():
    out, memory = film([scene()] * 30)
    left = (out - scene()).var() / SIGMA**2
    assert left < 2 / (2 * FRAMES - 1), "a recursive mean with the weight 1 / N leaves 1 / (2 N - 1)"
    assert memory.variance.min() >= 1 / FRAMES - 1e-6 and memory.variance.mean() < 2 / FRAMES


@pytest.mark.parametrize("motion", [(1.0, 0.0), (2.5, -1.5)])
def test_a_moving_camera_is_followed(motion):
    large = scene(300, 320, seed=1)
    views = []
    for number in range(20):
        place = np.float32([[1, 0, 60 + number * motion[0]], [0, 1, 60 + number * motion[1]]])
        views.append(cv2.warpAffine(large, place, (160, 128), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP))
    out, _ = film(views)
    assert (out - views[-1])[16:-16, 16:-16].var() < 0.4 * SIGMA**2


def test_a_small_target_that_moves_keeps_its_contrast_and_leaves_no_trail():
    views = []
    for number in range(24):
        view = scene()
        view[70:74, 10 + 3 * number : 14 + 3 * number] += 6 * SIGMA
        views.append(view)
    out, _ = film(views)
    change = (out - scene()).mean(axis=2)
    x = 10 + 3 * 23
    assert change[70:74, x : x + 4].mean() > 0.8 * 6 * SIGMA
    assert np.abs(change[70:74, x - 18 : x - 4]).mean() < SIGMA / 2


def test_a_cut_shows_the_new_scene_at_once():
    views = [scene()] * 12 + [scene(seed=5)[::-1] + 40]
    out, _ = film(views)
    assert (out - views[-1]).std() < 1.5 * SIGMA


def test_the_first_frame_and_the_input_stay_as_they_are_and_the_memory_is_a_value():
    image = noisy(scene(), 0)
    image.setflags(write=False)
    first, memory = average(image, (4, 6))
    assert np.array_equal(first, image)
    kept = [np.copy(value) for value in memory]
    results = [average(image, (4, 6), memory) for _ in range(2)]
    assert np.array_equal(results[0][0], results[1][0])
    assert all(np.array_equal(before, now) for before, now in zip(kept, memory, strict=True))


def test_a_window_that_moves_over_the_frame_remembers_what_it_keeps():
    frames = [noisy(scene(), number) for number in range(12)]
    memory = None
    for number, frame in enumerate(frames):
        x0 = 16 * (number % 2)
        out, memory = average(frame[16:80, x0 : x0 + 96], (x0, 16), memory)
    known, new = (out - scene()[16:80, 16:112])[:, :80], (out - scene()[16:80, 16:112])[:, 88:]
    assert known.var() < 0.3 * SIGMA**2 < 0.5 * SIGMA**2 < new.var()


def test_windows_without_anything_in_common_start_anew():
    _, memory = average(noisy(scene(), 0), (0, 0))
    image = noisy(scene(), 1)
    out, memory = average(image, (1000, 0), memory)
    assert np.array_equal(out, image) and memory.x == 1000 and (memory.variance == 1).all()


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (33, 47), (1, 90), (64, 65)])
@pytest.mark.parametrize("value", [0, 255])
def test_odd_and_constant_windows(size, value):
    image, memory = np.full((*size, 3), value, np.uint8), None
    for _ in range(3):
        out, memory = average(image, (0, 0), memory)
        assert np.array_equal(out, image)


def test_noise_that_a_camera_has_averaged_already_is_not_averaged_again():
    """Its noise stays: nine tenths of it are those of the frame before. So the mean of frames would only lag behind."""
    rng, noise, memory = np.random.default_rng(0), 0.0, None
    for _ in range(30):
        noise = 0.95 * noise + np.sqrt(1 - 0.95**2) * rng.normal(0, SIGMA, scene().shape)
        frame = np.clip(np.round(scene() + noise), 0, 255).astype(np.uint8)
        out, memory = average(frame, (0, 0), memory)
    assert memory.variance.min() > 0.6
    assert np.abs(out.astype(int) - frame).mean() < 0.1 * SIGMA


def test_blotches_are_averaged_and_not_taken_for_motion():
    memory, rng = None, np.random.default_rng(0)
    for _ in range(30):
        blotches = cv2.GaussianBlur(rng.normal(0, 1, scene().shape), (0, 0), 1.2)
        frame = scene() + SIGMA * blotches / blotches.std()
        frame = np.clip(np.round(frame), 0, 255).astype(np.uint8)
        out, memory = average(frame, (0, 0), memory)
    left = (out - scene()).var() / (frame - scene()).var()
    assert left < 0.75, "as motion they would keep .99"
