"""A ball that is drawn over other pictures lies where its label says."""

import numpy as np
import pytest

from lib.data.render.throw import throw


def grey(value=90, frames=3):
    return np.full((frames, 96, 160, 3), value, np.uint8)


def test_the_drawn_ball_lies_at_its_label():
    seen = 0
    for seed in range(60):
        frames = grey()
        points = throw(np.random.default_rng(seed), frames, still=0)
        for image, point in zip(frames, points, strict=True):
            light = np.abs(image.astype(float) - 90).sum(axis=2)
            if np.isfinite(point).all() and (point > 25).all() and (point < (135, 71)).all():
                rows, columns = np.indices(light.shape) + 0.5
                middle = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()
                assert middle == pytest.approx(point, abs=3.0)
                seen += 1
    assert seen > 20


def test_a_window_is_a_function_of_its_generator():
    one, two = grey(), grey()
    points = [throw(np.random.default_rng(5), frames, 2) for frames in (one, two)]
    assert np.array_equal(one, two) and np.array_equal(*points, equal_nan=True)


def test_a_ball_that_changes_nothing_has_no_label():
    frames = grey()
    points = np.concatenate([throw(np.random.default_rng(seed), frames) for seed in range(40)])
    assert 0.5 < np.isfinite(points[:, 0]).mean() < 1
    flat = points[np.isfinite(points).all(axis=1)]
    assert (flat >= 0).all() and (flat < (160, 96)).all()
