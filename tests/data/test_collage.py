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


LIVELY = collage.Style((480, 360), lively=True)


@pytest.fixture(scope="module")
def lively_clips(photographs):
    return [collage.CollageClip(photographs, number, 5, LIVELY) for number in range(40)]


def whole(mover):
    """The mover, boxed as a whole also where a part of it is followed."""
    return dataclasses.replace(mover, cutout=dataclasses.replace(mover.cutout, outline=mover.cutout.hull))


def test_box_is_the_extent_of_what_is_drawn(photographs):
    seen = 0
    for number in range(12):
        clip = collage.CollageClip(photographs, number)
        target = whole(clip._movers[clip._target])
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
    with_target, target = clip[4].astype(int), clip._movers[clip._target]
    clip._movers = [mover for mover in clip._movers if mover is not target]
    changed = np.abs(with_target - clip[4]).max(axis=2) > 0
    rows, columns = np.nonzero(changed)
    x, y, w, h = whole(target).boxes_xywh()[4]
    assert x - 2 <= columns.min() and columns.max() <= x + w + 2 and y - 2 <= rows.min() and rows.max() <= y + h + 2
    assert changed.sum() > 0.2 * w * h


def test_a_part_lies_within_the_whole_and_goes_the_way(photographs):
    rng = np.random.default_rng(0)
    cutouts = [photographs.cutout(rng) for _ in range(10)]
    parts = [part for one in cutouts if (part := collage.part_of(rng, one)) is not one]
    way = np.linspace((60, 90), (250, 130), collage.FRAMES)
    for part in parts:
        mover = collage._mover(rng, part, way, 20.0, np.zeros(3), 0.0, 0.0)
        inner, outer = mover.boxes_xywh(), whole(mover).boxes_xywh()
        np.testing.assert_allclose(inner[:, :2] + inner[:, 2:] / 2, way, atol=1e-9)  # an ellipse turns about its middle
        assert (inner[:, 2:] < outer[:, 2:]).all() and 10 < np.sqrt(inner[0, 2:].prod()) < 40
    assert len(parts) >= 5


def test_what_is_fixed_to_the_target_moves_turns_and_grows_with_it(photographs):
    rng = np.random.default_rng(1)
    way = np.linspace((60, 90), (250, 130), collage.FRAMES)
    target = collage._mover(rng, photographs.cutout(rng), way, 20.0, np.zeros(3), 0.0, 0.0)
    other = collage._fixed_to(rng, target, photographs.cutout(rng), np.zeros(3))
    apart = np.linalg.inv(target.shapes) @ (other.centres - target.centres)[:, :, None]
    np.testing.assert_allclose(apart, np.broadcast_to(apart[0], apart.shape), atol=1e-9)
    relative = np.linalg.inv(target.shapes) @ other.shapes
    np.testing.assert_allclose(relative, np.broadcast_to(relative[0], relative.shape), atol=1e-9)


def test_the_box_is_around_body_and_limbs_and_changes_its_shape(photographs):
    limbed = 0
    for number in range(30):
        clip = collage.CollageClip(photographs, number)
        target = clip._movers[clip._target]
        limbs = [mover for mover in clip._movers if mover is not target and mover.shift is target.shift]
        if not limbs or not clip.visible.all():
            continue
        limbed += 1
        for mover in (target, *limbs):
            inner, outer = mover.boxes_xywh(), clip.boxes_xywh
            assert (inner[:, :2] >= outer[:, :2] - 1e-9).all()
            assert (inner[:, :2] + inner[:, 2:] <= outer[:, :2] + outer[:, 2:] + 1e-9).all()
        joints = [np.linalg.norm(limb.centres - target.centres, axis=1) for limb in limbs]
        assert max(np.ptp(one) for one in joints) > 0  # they swing
    assert limbed >= 5


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
        collage.Cutout((solid,), corners, corners), centres, np.tile(np.eye(2) / 2, (32, 1, 1)), ones, np.zeros(3), 0.8
    )
    assert len(mover.exposures(5)) > 3
    clip._world, clip._movers = (lambda i: np.zeros((*collage.SIZE[::-1], 3), np.float32)), [mover]
    row = clip[5][100, :, 0].astype(int)
    assert (row[80:120] == 200).all() and row.max() == 200
    assert 0 < row[int(100 - 24)] < 200  # its edge, 24 px from the middle, is


def test_without_options_clips_are_those_of_the_first_version(photographs):
    """First box, frames without one, and brightness, as before there was a Style: that training data can be made again.

    No hash of the pixels: their last bits differ from one kind of processor to the next.
    """
    known = {
        (0, 0): ((254.938, 14.756, 42.525, 17.892), 0, (109.793, 108.645)),
        (0, 5): ((33.321, 158.185, 49.792, 48.645), 6, (97.357, 97.485)),
        (1, 3): ((282.545, 19.016, 25.22, 18.727), 0, (106.515, 98.447)),
    }
    for (seed, number), (box, absent, means) in known.items():
        clip = collage.CollageClip(photographs, number, seed)
        assert clip.boxes_xywh[0] == pytest.approx(box, abs=0.01) and np.isnan(clip.boxes_xywh[:, 0]).sum() == absent
        assert [clip[0].mean(), clip[17].mean()] == pytest.approx(means, abs=0.05)


def test_lively_targets_turn_narrow_grow_and_leave(lively_clips):
    targets = [clip._movers[clip._target] for clip in lively_clips]
    turns = [np.ptp(np.unwrap(np.arctan2(one.shapes[:, 1, 0], one.shapes[:, 0, 0]))) for one in targets]
    assert sum(turn > np.pi / 2 for turn in turns) >= 6 and max(turns) > 1.5 * np.pi
    columns = [np.linalg.norm(one.shapes, axis=1) for one in targets]  # (N, 2) px a texel along its own axes
    aspects = [np.ptp(np.log(one[:, 0] / one[:, 1])) for one in columns]
    growths = [np.abs(np.log(one.prod(axis=1) / one[0].prod())).max() / 2 for one in columns]
    assert sum(aspect > np.log(1.6) for aspect in aspects) >= 4
    assert sum(growth > np.log(1.8) for growth in growths) >= 2
    gone = [clip for clip, target in zip(lively_clips, targets, strict=True) if target.jump is not None]
    assert len(gone) >= 4
    back = 0
    for clip in gone:
        absent = np.flatnonzero(~clip.visible)
        assert len(absent) >= 3 and clip._movers[clip._target].jump in absent
        back += clip.visible[: absent[0]].any() and clip.visible[absent[-1] :].any()
        boxes = collage._joined([m.boxes_xywh() for m in clip._movers if m.shift is clip._movers[clip._target].shift])
        out = collage._share_in_view(boxes, LIVELY.size) == 0
        assert out.any() and not clip.visible[out].any()
    assert back >= 3


def test_lively_boxes_are_finite_exactly_where_the_target_is_visible(lively_clips):
    for clip in lively_clips:
        assert np.isnan(clip.boxes_xywh[~clip.visible]).all() and np.isfinite(clip.boxes_xywh[clip.visible]).all()
        assert (clip.boxes_xywh[clip.visible, 2:] > 0).all()
        inside = collage._share_in_view(clip.boxes_xywh[clip.visible], LIVELY.size)
        assert (inside >= 1 - collage.HIDDEN).all()


def test_lively_boxes_are_the_extent_of_what_is_drawn(lively_clips):
    seen = 0
    for clip in lively_clips:
        target = whole(clip._movers[clip._target])
        for frame in range(0, len(clip), 5):
            x, y, w, h = box = target.boxes_xywh()[frame]
            if (box[:2] < 2).any() or (box[:2] + box[2:] > np.array(LIVELY.size) - 2).any():
                continue
            part, patch = target.drawn(frame)
            rows, columns = (np.flatnonzero(patch[..., 3].max(axis=axis) > 0.5) for axis in (1, 0))
            corner = part[1].start + columns[0], part[0].start + rows[0]
            end = part[1].start + columns[-1] + 1, part[0].start + rows[-1] + 1
            np.testing.assert_allclose([*corner, *end], [x, y, x + w, y + h], atol=1.6)
            seen += 1
    assert seen > 100


def test_a_target_that_jumps_out_of_sight_is_not_smeared_over_the_view(lively_clips):
    jumps = [clip._movers[clip._target] for clip in lively_clips]
    jumps = [one for one in jumps if one.jump is not None]
    for one in jumps:
        blurred = dataclasses.replace(one, blur=0.8)
        assert len(blurred.exposures(one.jump)) == 1


def test_a_larger_view_has_larger_targets_and_finer_cutouts(photographs):
    large = collage.Style((960, 720))
    assert large.scale == 3 and large.texels == collage.FINE_TEXELS and collage.Style((400, 300)).texels == 96
    clip = collage.CollageClip(photographs, 1, 1, large)
    assert clip[3].shape == (720, 960, 3) and clip._movers[clip._target].cutout.texels == collage.FINE_TEXELS
    ratios = []
    for number in range(5):  # the same random numbers, so the same targets
        boxes = [collage.CollageClip(photographs, number, 1, style).boxes_xywh[0] for style in (large, collage.Style())]
        ratios.append(np.sqrt(boxes[0][2:].prod() / boxes[1][2:].prod()))
    assert abs(np.nanmedian(ratios) - 3) < 0.15
