"""Squares that cover the image, looked at one by one for a lost target."""

import math

import numpy as np
import pytest

from lib.test.tracker.redetect import tile, windows

SHAPES = [
    (640, 480, 128, 0.25),
    (1920, 1080, 384, 0.25),
    (100, 300, 128, 0.25),
    (129, 128, 128, 0.5),
    (640, 480, 99.5, 0),
]


@pytest.mark.parametrize(("width", "height", "side", "overlap"), SHAPES)
def test_every_pixel_is_covered_and_nothing_beyond(width, height, side, overlap):
    seen = np.zeros((height, width), bool)
    for cx, cy in windows((width, height), side, overlap):
        x0, y0 = max(math.ceil(cx - side / 2 - 1e-6), 0), max(math.ceil(cy - side / 2 - 1e-6), 0)
        # The pixel that two squares share counts as seen: its parts are.
        x1, y1 = math.ceil(cx + side / 2 - 1e-6), math.ceil(cy + side / 2 - 1e-6)
        seen[y0:y1, x0:x1] = True
        assert width < side or side / 2 - 1e-6 <= cx <= width - side / 2 + 1e-6
        assert height < side or side / 2 - 1e-6 <= cy <= height - side / 2 + 1e-6
    assert seen.all()


@pytest.mark.parametrize(("width", "height", "side", "overlap"), SHAPES)
def test_neighbours_overlap(width, height, side, overlap):
    for line in np.transpose(windows((width, height), side, overlap)):
        assert (np.diff(np.unique(line)) <= side * (1 - overlap) + 1e-6).all()


def test_an_image_smaller_than_a_square_gives_its_centre():
    assert windows((100, 60), 128) == [(50, 30)]
    assert [tile((100, 60), 128, (3, 4), turn) for turn in range(3)] == [(50, 30)] * 3


def test_nearest_first_and_round_again():
    size, side, place = (640, 480), 128, (500.3, 77.0)
    every = windows(size, side)
    order = [tile(size, side, place, turn) for turn in range(len(every))]
    distances = [math.dist(centre, place) for centre in order]
    assert distances == sorted(distances) and sorted(order) == sorted(every)
    assert tile(size, side, place, len(every)) == order[0] and tile(size, side, place, 2 * len(every) + 3) == order[3]
    assert max(abs(order[0][0] - place[0]), abs(order[0][1] - place[1])) <= side / 2


def test_a_place_off_the_image_will_do():
    assert tile((640, 480), 128, (-900, -900), 0) == (64, 64)
