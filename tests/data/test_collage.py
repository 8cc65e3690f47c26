"""Clips put together from photographs: exact boxes, a function of (seed, number, frame)."""

import dataclasses

import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.render import collage
from lib.errors import UserError


@pytest.fixture(scope="module")
def photographs():
    return collage.PhotoSource(benchmarks.load("lunar_day"))


def test_box_is_the_extent_of_what_is_drawn(photographs):
    seen = 0
    for number in range(12):
        clip = collage.CollageClip(photographs, number)
        target = clip._movers[clip._target]
        for frame in range(0, len(clip), 7):
            x, y, w, h = box = target.boxes_xywh()[frame]
            if (box[:2] < 2).any() or (box[:2] + box[2:] > np.array(collage.SIZE) - 2).any():
                continue  # what the view cuts off is in the box as well
            part, patch = target.drawn(frame)
            rows, columns = (np.flatnonzero(patch[..., 3].max(axis=axis) > 0.5) for axis in (1, 0))
            corner = part[1].start + columns[0], part[0].start + rows[0]
            end = part[1].start + columns[-1] + 1, part[0].start + rows[-1] + 1
            np.testing.assert_allclose([*corner, *end], [x, y, x + w, y + h], atol=1.6)
            seen += 1
    assert seen > 30


def test_frames_are_the_same_in_any_order(photographs):
    first, again = (collage.CollageClip(photographs, 3, seed=1) for _ in range(2))
    later = first[20]
    assert later.shape == (*collage.SIZE[::-1], 3) and later.dtype == np.uint8
    again[0], again[5]
    np.testing.assert_array_equal(again[20], later)
    assert not np.array_equal(collage.CollageClip(photographs, 3, seed=2)[20], later)


def test_the_target_moves_over_what_is_behind_it(photographs):
    clip = collage.CollageClip(photographs, 0)
    with_target = clip[4].astype(int)
    clip._movers = [mover for mover in clip._movers if mover is not clip._movers[clip._target]]
    changed = np.abs(with_target - clip[4]).max(axis=2) > 0
    rows, columns = np.nonzero(changed)
    x, y, w, h = clip.boxes_xywh[4]
    assert x - 2 <= columns.min() and columns.max() <= x + w + 2 and y - 2 <= rows.min() and rows.max() <= y + h + 2
    assert changed.sum() > 0.2 * w * h


def test_hidden_targets_are_absent(photographs):
    clips = collage.collages(photographs, "collages", 40)
    absent = np.concatenate([~clip.visible for clip in clips])
    assert 0 < absent.mean() < 0.2
    assert all(np.isnan(clip.boxes_xywh[~clip.visible]).all() for clip in clips)
    assert all(np.isfinite(clip.boxes_xywh[clip.visible]).all() for clip in clips)


def test_nothing_to_cut_out_is_an_error():
    blank = dataclasses.replace(benchmarks.load("lunar_day")[0], boxes_xywh=np.full((64, 4), np.nan), visible=None)
    with pytest.raises(UserError, match="nothing to cut out"):
        collage.PhotoSource([blank])


def test_what_moves_fast_is_blurred_and_not_transparent(photographs):
    clip = collage.CollageClip(photographs, 0)
    solid = np.ones((collage.TEXELS, collage.TEXELS, 4), np.float32) * (200, 200, 200, 1)
    corners = np.array([[-48, -48], [48, -48], [48, 48], [-48, 48]], float)
    centres = np.linspace((60, 100), (60 + 8 * 31, 100), collage.FRAMES)
    ones = np.ones(collage.FRAMES, np.float32)
    mover = collage._Mover(
        collage.Cutout((solid,), corners, 96.0), centres, np.tile(np.eye(2) / 2, (32, 1, 1)), ones, np.zeros(3), 0.8
    )
    assert len(mover.exposures(5)) > 3
    clip._world, clip._movers = (lambda i: np.zeros((*collage.SIZE[::-1], 3), np.float32)), [mover]
    row = clip[5][100, :, 0].astype(int)
    assert (row[80:120] == 200).all() and row.max() == 200
    assert 0 < row[int(100 - 24)] < 200  # its edge, 24 px from the middle, is
