import numpy as np
import pytest

from lib.vis.draw import draw_box

RED = (255, 0, 0)


def blank(size=40):
    return np.zeros((size, size, 3), np.uint8)


def test_box_is_drawn_where_it_is_and_the_image_kept():
    image = blank()
    drawn = draw_box(image, [10, 12, 16, 8], RED)
    assert not image.any() and drawn.dtype == np.uint8 and not drawn[..., 1:].any()
    rows, columns = np.nonzero(drawn[..., 0])
    weights = drawn[rows, columns, 0].astype(float)
    # the centre of the ink, in coordinates where pixel i spans [i, i + 1), is that of the box
    centre = np.array([(columns + 0.5) @ weights, (rows + 0.5) @ weights]) / weights.sum()
    np.testing.assert_allclose(centre, [18, 16], atol=0.05)


def test_position_is_sub_pixel():
    ink = [draw_box(blank(), [10 + shift, 10, 12, 12], RED).astype(int) for shift in (0, 0.25, 0.5)]
    assert (ink[0] != ink[1]).any() and (ink[1] != ink[2]).any()


@pytest.mark.parametrize("box", [[np.nan] * 4, [1e12, 1e12, 5, 5], [-1e12, -1e12, 3, 3], [0, 0, 0, 0], [5, 5, -3, -3]])
def test_any_box_is_drawn_or_left_out(box):
    assert draw_box(blank(), box, RED, 2, "far").shape == (40, 40, 3)


def test_read_only_frames_and_labels():
    image = blank(80)
    image.flags.writeable = False
    assert draw_box(image, [10, 2, 20, 20], RED, label="0.93")[24:].any()  # no room above, so below
    assert draw_box(image, [10, 50, 20, 20], RED, label="0.93")[30:49].any()
