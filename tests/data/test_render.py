"""The rendered sequences: exact boxes, frames as a pure function of (seed, clip, index), truth about who is seen."""

import subprocess
import sys

import numpy as np
import pytest

from lib.data import render
from lib.data.render import DEMO, RenderedClip, Spec, demo_clips
from lib.data.render.training import crossing_clips, day_clips, training_clips
from lib.errors import UserError

CLIPS = {clip.name: clip for clip in demo_clips()}
KINDS = ("ball", "kite", "drone", "car", "bird", "walker", "lantern")


@pytest.fixture
def flat(monkeypatch):
    """A clip of one object over black ground, lit evenly: whatever is seen is the object."""

    def scene(rng, height, width):
        return *np.zeros((2, height, width, 3), np.float32), ()

    monkeypatch.setitem(render.scenes.SCENES, "flat", scene)

    def clip(kind, side, **other):
        points = ((0.3, 0.3), (0.6, 0.65), (0.7, 0.4))
        return RenderedClip(Spec(f"{kind}_{side}", "flat", 1.0, kind, side, points, size=(160, 120), **other))

    return clip


def test_the_demo_is_what_it_promises():
    assert len(CLIPS) == len(DEMO) >= 12
    sides = [np.sqrt(np.nanmean(c.boxes_xywh[:, 2] * c.boxes_xywh[:, 3])) for c in CLIPS.values()]
    assert min(sides) <= 4.5
    assert max(np.nanmax(c.boxes_xywh[:, 2:]) for c in CLIPS.values()) >= 36
    seen = [a for c in CLIPS.values() for a in c.attributes]
    assert set(seen) == {"TO", "FM", "OCC", "OV", "SO", "LS", "CM", "SV"}
    assert seen.count("SO") >= 3
    for clip in CLIPS.values():
        width, height = clip.size
        assert clip.boxes_xywh.shape == (len(clip), 4)
        assert clip.visible.shape == (len(clip),)
        assert clip.visible[0]
        assert np.array_equal(np.isnan(clip.boxes_xywh).any(axis=1), ~clip.visible)
        centres = clip.boxes_xywh[clip.visible, :2] + clip.boxes_xywh[clip.visible, 2:] / 2
        if "OV" not in clip.attributes:
            assert (centres > 0).all()
            assert (centres < (width, height)).all()


def test_light_is_never_negative():
    for clip in (*CLIPS.values(), *training_clips(64)[60:]):
        assert clip.linear(0).min() >= 0, clip.spec


def test_clips_stay_as_they_are():
    """Results on them are published: whatever is added must draw its random numbers after theirs."""
    training = training_clips(8)
    for clip, box, mean in (
        (CLIPS["lantern_lake"], (227.862334, 148.871112, 18.0, 24.0), 42.4558),
        (CLIPS["swarm"], (250.835461, 130.47728, 10.0, 7.0), 49.8582),
        (training[3], (np.nan,) * 4, 58.9062),
        (training[7], (313.883823, 157.034986, 23.753558, 14.747905), 36.7274),
        (day_clips(3)[2], (417.91286, 101.675577, 39.168951, 31.335161), 93.1261),
    ):
        assert np.allclose(clip.boxes_xywh[40], box, rtol=0, atol=1e-5, equal_nan=True), clip.name
        assert clip[40].mean() == pytest.approx(mean, abs=0.01), clip.name
        assert clip.twin_xywh is None


def _centres(boxes_xywh):
    return boxes_xywh[:, :2] + boxes_xywh[:, 2:] / 2


def _meetings(clip):
    """Frames at which the target and its twin are closest."""
    apart = np.linalg.norm(_centres(clip.boxes_xywh) - _centres(clip.twin_xywh), axis=1)
    inner = apart[1:-1]
    return 1 + np.flatnonzero((inner <= apart[:-2]) & (inner < apart[2:]) & (inner < clip.spec.side)), apart


@pytest.mark.parametrize(("clips", "seed"), [(200, 4), (400, 5)])
def test_a_target_and_its_twin_cross(clips, seed):
    found, nearer = [], []
    for clip in crossing_clips(clips, seed):
        meetings, apart = _meetings(clip)
        side = clip.spec.side
        assert clip.attributes == ("SO",) and clip.visible.all() and 10 <= side <= 20
        assert len(meetings) in (1, 2) and 12 <= meetings[0] <= 26 and meetings[-1] < 56
        assert apart[meetings].max() < 0.3 * side < 0.3 * min(apart[0], apart[-1])
        assert len(meetings) == 1 or apart[slice(*meetings)].max() > side
        ways = np.array([_centres(clip.boxes_xywh), _centres(clip.twin_xywh)])
        assert (ways.min((0, 1)) > side / 2).all() and (ways.max((0, 1)) < np.array(clip.size) - side / 2).all()
        steps = np.diff(ways, axis=1)
        speeds = np.linalg.norm(steps, axis=2)
        assert speeds.min() > 0.6 and speeds.max() < 2.5
        assert np.linalg.norm(np.diff(steps, axis=1), axis=2).max() < 0.5, "no bounce"
        for meeting in meetings:
            before, after = steps[:, meeting - 4 : meeting - 1].mean(1), steps[:, meeting + 1 : meeting + 4].mean(1)
            kept, swapped = (np.linalg.norm(after - other, axis=1).max() for other in (before, before[::-1]))
            assert kept < 0.5 * swapped, "each goes on as it came"
            place = ways[:, meeting].mean(0)
            far = np.linalg.norm(ways[:, meeting + 1 : meeting + 6] - place, axis=2)
            assert np.abs(far[0] - far[1]).max() < 0.3 * side
            nearer.append(far[0, -1] < far[1, -1])
        found.append(len(meetings))
    assert np.mean(np.array(found) == 2) > 0.7
    assert 0.4 < np.mean(nearer) < 0.6, "the nearest is the target by chance only"


def test_a_twin_looks_like_the_target():
    over = []
    for clip in crossing_clips(24):
        over.append(clip._tracks[-1] is clip._target)
        assert len(clip._tracks) == 2
        for i in (0, 31, 63):
            view, light = np.ones((240, 320, 3), np.float32), np.ones((60, 80, 3), np.float32)
            alone = []
            for track in clip._tracks:
                track.centres = clip._target.centres
                alone.append(view.copy())
                clip._draw(alone[-1], track, i, light)
            assert np.array_equal(*alone) and not np.array_equal(alone[0], view)
            assert np.array_equal(clip._tracks[0].boxes_xywh(i), clip._tracks[1].boxes_xywh(i))
    assert 4 < sum(over) < 20, "above or below by chance"


def test_a_twin_is_in_the_picture():
    clip = crossing_clips(1)[0]
    without = RenderedClip(render.replace(clip.spec, twin=()), clip.seed)
    x, y, w, h = clip.twin_xywh[0]
    changed = np.abs(clip.linear(0, target=False) - without.linear(0, target=False)).max(axis=2) > 1e-6
    rows, columns = (np.flatnonzero(changed.any(axis=axis)) for axis in (1, 0))
    assert np.allclose((columns[0], rows[0]), (x, y), atol=1.5)
    assert np.allclose((columns[-1] + 1, rows[-1] + 1), (x + w, y + h), atol=1.5)
    assert clip.alpha(0).sum() == pytest.approx((clip._target.texture(0)[..., 3].mean() * w * h), rel=1e-5)


def test_crossing_clips_are_functions_of_seed_and_number():
    some, again, other = crossing_clips(6), crossing_clips(200)[:6], crossing_clips(6, seed=5)
    for one, two, three in zip(some, again, other, strict=True):
        assert one.spec == two.spec and np.array_equal(one.twin_xywh, two.twin_xywh)
        assert np.array_equal(one[20], two[20])
        assert one.spec != three.spec and not np.array_equal(one.boxes_xywh, three.boxes_xywh)


def test_boxes_cost_no_pixels():
    before = render._build_world.cache_info().misses
    demo_clips(seed=11)
    crossing_clips(2, seed=11)
    assert render._build_world.cache_info().misses == before


@pytest.mark.parametrize("name", CLIPS)
def test_frames(name):
    clip = CLIPS[name]
    frame = clip[5]
    assert frame.shape == (clip.size[1], clip.size[0], 3)
    assert frame.dtype == np.uint8
    assert 10 < frame.mean() < 70  # night, but not black
    assert frame.std() > 5


@pytest.mark.parametrize("name", ["kite_shaky", "walker_crowd", "lantern_lake"])
def test_any_order_gives_the_same_frames(name):
    clip = CLIPS[name]
    forward = [clip[i] for i in (0, 7, 30)]
    render._build_world.cache_clear()
    again = RenderedClip(clip.spec, seed=0)
    assert all(np.array_equal(again[i], frame) for i, frame in zip((30, 7, 0), reversed(forward), strict=True))
    assert np.array_equal(clip[-1], clip[len(clip) - 1])
    assert not np.array_equal(clip[0], RenderedClip(clip.spec, seed=1)[0])
    assert not np.array_equal(clip.boxes_xywh, RenderedClip(clip.spec, seed=1).boxes_xywh)


def test_two_processes_give_the_same_bytes():
    code = """
import hashlib
from lib.data.render import demo_clips
digest = hashlib.sha256()
for clip in demo_clips(3):
    digest.update(clip.boxes_xywh.tobytes())
    digest.update(clip[9].tobytes())
print(digest.hexdigest())
"""
    root = render.__file__.rsplit("/lib/", 1)[0]
    run = [subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    first, second = (process.communicate(timeout=120)[0].strip() for process in run)
    assert len(first) == 64
    assert first == second


def test_noise_is_fresh_for_each_frame():
    clip = CLIPS["ball_park"]
    patch = [clip[i][-40:, -40:].astype(int) for i in (0, 1)]
    assert 0 < np.abs(patch[0] - patch[1]).mean() < 20


@pytest.mark.parametrize("kind", ["ball", "kite"])
@pytest.mark.parametrize("side", [4, 7.3, 12, 25, 40])
def test_centre_of_light_is_the_centre_of_the_box(flat, kind, side):
    clip = flat(kind, side)
    for i in range(0, len(clip), 5):
        light = (clip.linear(i) - clip.linear(i, target=False)).sum(axis=2, dtype=np.float64)
        y, x = np.mgrid[: light.shape[0], : light.shape[1]] + 0.5
        centroid = np.array([(x * light).sum(), (y * light).sum()]) / light.sum()
        box = clip.boxes_xywh[i]
        # A pixel gathers its light at its centre: that moves the centroid of n pixels of sharp edges by up to 1/8n px.
        allowed = max(0.02, 0.16 / box[2:].min())
        assert np.abs(centroid - box[:2] - box[2:] / 2).max() < allowed


@pytest.mark.parametrize("side", [4, 9.5, 40])
def test_coverage_is_the_area_of_the_box(flat, side):
    clip = flat("kite", side, shake=3.0)
    for i in (0, 13, 60):
        alpha = clip.alpha(i).astype(np.float64)
        _, _, w, h = clip.boxes_xywh[i]
        assert alpha.sum() == pytest.approx(w * h, rel=1e-5)
        assert alpha.sum(axis=1).max() == pytest.approx(w, rel=1e-5)
        assert alpha.sum(axis=0).max() == pytest.approx(h, rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_box_is_the_extent_of_the_object(flat, kind):
    clip = flat(kind, 30)
    for i in range(0, len(clip), 4):
        x, y, w, h = clip.boxes_xywh[i]
        alpha = clip.alpha(i)
        shown = np.abs(clip.linear(i) - clip.linear(i, target=False)).max(axis=2) > 0
        for sums, low, length in ((alpha.max(axis=0), x, w), (alpha.max(axis=1), y, h)):
            held = np.flatnonzero(sums > 0)
            slack = 2 * length / render.sprites.TEXELS  # the outline is drawn on a texture of that resolution
            assert np.floor(low) <= held[0] <= low + slack
            assert low + length - slack - 1 <= held[-1] <= np.ceil(low + length) - 1
        if kind not in ("car", "lantern"):  # these light up what is around them
            assert not (shown & (alpha == 0)).any()


def test_boxes_move_by_fractions_of_a_pixel():
    for clip in CLIPS.values():
        fraction = np.mod(clip.boxes_xywh[clip.visible], 1)
        assert (np.minimum(fraction, 1 - fraction)[:, :2] > 1e-6).mean() > 0.95


def _share_seen(clip, i):
    """Of the target's light-free outline, the share that changes the picture."""
    alpha = clip.alpha(i)
    changed = np.abs(clip.linear(i) - clip.linear(i, target=False)).max(axis=2) > 1e-6
    full = alpha > 0
    return (changed & full).sum() / max(full.sum(), 1)


def test_a_hidden_target_is_absent():
    clip = CLIPS["drone_behind_tower"]
    gone = np.flatnonzero(~clip.visible)
    assert len(gone) >= 4
    assert np.array_equal(gone, np.arange(gone[0], gone[-1] + 1))
    assert _share_seen(clip, gone[len(gone) // 2]) == 0
    assert _share_seen(clip, gone[0] - 4) > 0.3
    assert _share_seen(clip, gone[-1] + 12) > 0.9


def test_a_pole_hides_only_part():
    clip = CLIPS["walker_street"]
    assert clip.visible.all()
    assert min(_share_seen(clip, i) for i in range(10, 30)) < 0.8


def test_out_of_view_and_back():
    clip = CLIPS["ball_out_and_back"]
    gone = np.flatnonzero(~clip.visible)
    assert 0 < gone[0] < gone[-1] < len(clip) - 5
    assert clip.alpha(gone[len(gone) // 2]).sum() == 0
    edge = clip.boxes_xywh[gone[0] - 1]
    assert edge[0] + edge[2] > clip.size[0]  # the whole extent, not clipped to the view


def test_fast_motion_means_farther_than_the_object():
    boxes = CLIPS["bird_fast_lake"].boxes_xywh
    step = np.linalg.norm(np.diff(boxes[:, :2] + boxes[:, 2:] / 2, axis=0), axis=1)
    assert (step > np.sqrt(boxes[1:, 2] * boxes[1:, 3])).mean() > 0.5


def test_shake_moves_the_ground():
    clip = CLIPS["kite_shaky"]
    a, b = (clip.linear(i, target=False)[-60:] for i in (0, 4))
    assert np.abs(a - b).mean() > 0.01 * a.mean()


@pytest.mark.parametrize("seed", [-1, 0.5, "a"])
def test_bad_seed(seed):
    with pytest.raises(UserError, match="seed"):
        demo_clips(seed)


def test_index_past_the_end():
    with pytest.raises(IndexError):
        CLIPS["swarm"][len(CLIPS["swarm"])]
