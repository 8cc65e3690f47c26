"""Crop and boxes: right to a thousandth of a pixel, wherever the target is."""

import cv2
import numpy as np
import pytest

from lib.data import boxes
from lib.data.crop import Crop, window_side


def random_boxes(count, seed=0):
    """Boxes of 1 to 500 px, in and around an image of 1280 x 720, some fully off it."""
    rng = np.random.default_rng(seed)
    sides = np.exp(rng.uniform(np.log(1), np.log(500), (count, 2)))
    corners = rng.uniform((-800, -800), (2000, 1500), (count, 2))
    return np.concatenate([corners, sides], axis=1)


def test_crop_and_back():
    """T1 of the spec: box -> patch -> box under 1e-3 px for 10,000 boxes, and the patch coordinates are as defined."""
    rng = np.random.default_rng(1)
    worst = 0.0
    for box in random_boxes(10_000):
        cx, cy, w, h = boxes.xywh_to_cxcywh(box)
        side, stretch = window_side(w, h, 4, 64, (1280, 720)), float(np.exp(rng.normal(0, 0.2)))
        crop = Crop(cx + rng.normal() * w, cy + rng.normal() * h, side, 256, stretch)
        patch_box = crop.to_patch(box)
        expected = (box[0] - crop.cx) * 256 / side / stretch + 128
        assert abs(patch_box[0] - expected) < 1e-9
        worst = max(worst, np.abs(crop.to_image(patch_box) - box).max())
    assert worst < 1e-3
    print(f"largest error {worst:.1e} px")


def blob(width, height, cx, cy, sigma):
    """A Gaussian spot at a sub-pixel place, each pixel its value at the pixel's centre."""
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    spot = np.exp(-((x - cx) ** 2)[None] / (2 * sigma**2) - ((y - cy) ** 2)[:, None] / (2 * sigma**2))
    return np.repeat((spot * 250).astype(np.float32)[..., None], 3, axis=2)


def centroid(patch):
    """(x, y) of the brightness, continuous px."""
    weight = patch[..., 0].astype(np.float64)
    x, y = np.arange(weight.shape[1]) + 0.5, np.arange(weight.shape[0]) + 0.5
    return np.array([(weight.sum(0) * x).sum(), (weight.sum(1) * y).sum()]) / weight.sum()


@pytest.mark.parametrize("stretch", [1.0, 1.3, 0.8])
@pytest.mark.parametrize("side", [40.0, 63.7, 128.0, 333.3, 700.0, 1100.0])
def test_pixels_go_where_boxes_go(side, stretch):
    """What is seen at a place of the image is seen at that place of the patch: to 0.02 image px or 0.01 patch px."""
    rng = np.random.default_rng(2)
    for _ in range(10):
        place = rng.uniform((300, 200), (340, 240))
        image = blob(640, 480, *place, sigma=max(2.0, side / 60))
        crop = Crop(*(place + rng.uniform(-5, 5, 2)), side, 256, stretch)
        seen = centroid(crop.extract(image))
        expected = crop.to_patch([*place, 0, 0])[:2]
        assert np.abs(seen - expected).max() < max(0.02 * 256 / side, 0.01)


def test_beyond_the_image_is_black_and_the_image_stays_in_place():
    image = np.full((100, 100, 3), 200, np.uint8)
    for side in (64.0, 600.0, 1300.0):
        patch = Crop(0.0, 50.0, side, 64).extract(image)
        share = min(100, side / 2) * min(100, side) / side**2
        assert abs((patch[..., 0].astype(float) / 200).mean() - share) < 0.01
    for side in (64.0, 600.0):
        assert not Crop(-2000.0, 50.0, side, 64).extract(image).any()


def test_a_shrunk_patch_does_not_alias():
    """A one-pixel checkerboard, seen 8 times smaller, is grey; plain bilinear sampling would show stripes."""
    board = (np.indices((800, 800)).sum(0) % 2 * 255).astype(np.uint8)
    patch = Crop(400.3, 400.7, 600.0, 75).extract(np.repeat(board[..., None], 3, axis=2))
    assert patch.std() < 2


def test_extract_is_bilinear_at_exact_places():
    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.integers(0, 255, (60, 80, 3), np.uint8), (0, 0), 1.5)
    crop = Crop(41.37, 29.81, 25.3, 32)
    patch = crop.extract(image)
    for row, column in rng.integers(0, 32, (200, 2)):
        x = crop.cx + (column + 0.5 - 16) * crop.side / 32 - 0.5
        y = crop.cy + (row + 0.5 - 16) * crop.side / 32 - 0.5
        x0, y0 = int(x), int(y)
        fx, fy = x - x0, y - y0
        corner = image[y0 : y0 + 2, x0 : x0 + 2].astype(float)
        value = (corner[0, 0] * (1 - fx) + corner[0, 1] * fx) * (1 - fy) + (
            corner[1, 0] * (1 - fx) + corner[1, 1] * fx
        ) * fy
        assert np.abs(patch[row, column] - value).max() < 1.1  # OpenCV 4 samples at 1/32 px


def test_window_side_has_a_floor_and_a_ceiling():
    assert window_side(4, 4, 4, 64, (640, 480)) == 64
    assert window_side(30, 30, 4, 64, (640, 480)) == 120
    assert window_side(500, 500, 4, 64, (640, 480)) == 960
    assert window_side(0, 5, 4, 0, (640, 480)) == 1


def test_clip_stays_inside_and_hardly_grows():
    """T3 of the spec: a box never grows by more than the least side, and what is inside is untouched."""
    given = random_boxes(5000, seed=4)
    cut = boxes.clip(given, 1280, 720)
    assert (cut[:, :2] >= 0).all() and (cut[:, :2] + cut[:, 2:] <= (1280 + 1e-9, 720 + 1e-9)).all()
    assert (cut[:, 2:] >= 1 - 1e-9).all() and (cut[:, 2:] - given[:, 2:] <= 1).all()
    inside = (
        (given[:, :2] >= 0).all(1) & (given[:, :2] + given[:, 2:] <= (1280, 720)).all(1) & (given[:, 2:] >= 1).all(1)
    )
    assert inside.any() and np.abs(cut[inside] - given[inside]).max() < 1e-9
    assert np.allclose(boxes.clip([10.2, 10.2, 0.2, 0.4], 640, 480), [9.8, 9.9, 1, 1]), "grows about its centre"
    assert np.isfinite(boxes.clip([1e8, -1e8, 5, 5], 640, 480)).all()


def test_iou():
    assert boxes.iou([0, 0, 2, 2], [1, 1, 2, 2]) == pytest.approx(1 / 7)
    assert boxes.iou([0, 0, 2, 2], [0, 0, 2, 2]) == 1
    assert boxes.iou([0, 0, 2, 2], [5, 5, 2, 2]) == 0
    assert boxes.iou([0, 0, 0, 0], [0, 0, 0, 0]) == 0
    assert np.isnan(boxes.iou([np.nan] * 4, [0, 0, 1, 1]))


def test_centre_form_and_back():
    given = random_boxes(100)
    assert np.allclose(boxes.cxcywh_to_xywh(boxes.xywh_to_cxcywh(given)), given, atol=1e-9)
