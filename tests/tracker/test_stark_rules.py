"""Rules of STARK's online loop: equal to the released ones with `faithful`, exact to the sub-pixel without."""

import math

import numpy as np
import pytest
import torch

from lib.data.crop import Crop
from lib.test.tracker.stark_rules import (
    clip_released,
    extract,
    next_box,
    replaces_template,
    window,
)
from tests.models.recipe import hash_unit


def image_of(name, height, width):
    values = hash_unit(name, height * width * 3) / math.sqrt(12) + 0.5
    return np.floor(values * 256).astype(np.uint8).reshape(height, width, 3)


@pytest.fixture(scope="module")
def online(shared_data):
    path = shared_data / "parity" / "stark_online.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    return torch.load(path, weights_only=True)


def corners(cxcywh):
    cx, cy, w, h = cxcywh
    return [cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2]


def test_released_crops_to_the_last_bit(online):
    image = image_of("stark/crop/image", 60, 80)
    assert np.array_equal(image, online["crop"]["image"].numpy())
    for case in online["crop"]["cases"]:
        crop = window(case["box"], case["factor"], case["out"], 0, (80, 60), faithful=True)
        patch, padding = extract(crop, image, faithful=True)
        assert crop.side == case["crop_sz"] and crop.size / crop.side == case["resize_factor"]
        assert np.array_equal(patch, case["patch"].numpy())
        assert np.array_equal(padding, case["mask"].numpy())


def test_the_released_loop_frame_by_frame(online):
    loop = online["online"]
    image = image_of("stark/online/image", 240, 320)
    box, mean, std = loop["init"], np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
    for i, found in enumerate(loop["pred"].double().tolist()):
        crop = window(box, 5, 320, 0, (320, 240), faithful=True)
        patch, padding = extract(crop, image, faithful=True)
        assert ((patch / np.float32(255) - mean) / std).mean(dtype=np.float64) == pytest.approx(
            loop["search_stats"][i, 0].item(), abs=1e-6
        )
        assert padding.sum() == loop["search_stats"][i, 1]
        box = next_box(crop, corners(found), (320, 240), 1, faithful=True)
        assert np.abs(box - loop["states"][i].numpy()).max() < 1e-4
        assert replaces_template(i + 1, loop["conf"][i], interval=2, threshold=0.5) == loop["updated"][i]


def test_released_clipping(shared_data):
    path = shared_data / "parity" / "stark_small.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    cases = torch.load(path, weights_only=True)["clip_box"]
    for margin in (10, 0):
        clipped = [clip_released(box, 640, 480, margin) for box in cases["xywh"].numpy()]
        assert np.abs(clipped - cases[f"margin{margin}"].numpy()).max() < 1e-6


def test_training_labels_of_the_release_are_half_a_crop_pixel_off(online):
    for case in online["train_box"]:
        x, y, w, h = case["crop_box"]
        crop = Crop(x + w / 2, y + h / 2, case["out"] / case["resize_factor"], case["out"])
        apart = crop.to_patch(case["box"]) - case["in_crop_px"].numpy()
        assert apart == pytest.approx([0.5, 0.5, 0, 0], abs=1e-4)


@pytest.mark.parametrize("faithful", [False, True])
def test_a_large_target_found_where_it_is_stays_there(faithful):
    box = [100.3, 70.6, 22.5, 14.25]
    crop = window(box, 5, 320, 1, (320, 240), faithful)
    seen = crop.to_patch(box) / 320
    found = [seen[0], seen[1], seen[0] + seen[2], seen[1] + seen[3]]
    assert next_box(crop, found, (320, 240), 1, faithful) == pytest.approx(box)


def test_a_tiny_target_keeps_its_size_but_for_the_release():
    box = [100.3, 70.6, 4, 4]
    crop = window(box, 5, 320, 1, (320, 240))
    assert crop.side == 20, "not rounded"
    found = corners([0.5, 0.5, 0.2, 0.2])
    assert next_box(crop, found, (320, 240), 1) == pytest.approx(box)
    assert next_box(crop, found, (320, 240), 1, faithful=True) == pytest.approx([100.3, 70.6, 10, 10])
    assert window(box, 5, 320, 64, (320, 240)).side == 64, "the least side of a window"
    assert window([0, 0, 0, 0], 5, 320, 1, (320, 240), faithful=True).side == 1, "a box without area has a window"


def test_patches_show_the_same_shift_as_the_window():
    """Two windows half a pixel apart differ by default, and may be the same in the release."""
    image = image_of("rules", 60, 80)
    windows = [window([30 + shift, 20, 8, 8], 4, 32, 1, (80, 60)) for shift in (0.0, 0.4)]
    (plain, _), (moved, _) = (extract(crop, image) for crop in windows)
    assert np.array_equal(plain, image[8:40, 18:50]) and not np.array_equal(plain, moved)
    released = [extract(crop, image, faithful=True)[0] for crop in windows]
    assert np.array_equal(*released)


def test_padding_is_what_lies_beyond_the_image():
    image = np.full((60, 80, 3), 255, np.uint8)
    crop = window([-4, 26, 8, 8], 4, 32, 1, (80, 60))
    patch, padding = extract(crop, image)
    assert padding[:, :16].all() and not padding[:, 16:].any()
    assert not patch[:, :15].any() and patch[:, 17:].all()
    crop = window([76, 56, 8, 8], 4, 32, 1, (80, 60))
    _, padding = extract(crop, image)
    assert padding[16:].all() and padding[:, 16:].all() and not padding[:16, :16].any()
    _, released = extract(crop, image, faithful=True)
    assert released[15].all() and released[:, 15].all(), "the last row and column of the image are never shown"


def test_when_a_template_is_replaced():
    assert replaces_template(200, 0.51, 200, 0.5)
    assert not replaces_template(200, 0.5, 200, 0.5), "strictly above the threshold"
    assert not replaces_template(199, 0.9, 200, 0.5)
