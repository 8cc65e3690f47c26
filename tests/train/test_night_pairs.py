"""Pairs of day and night: the same for any number of workers, of day frames alone, and thermal ones stay dark."""

import numpy as np
import pytest
import torch

from lib import config
from lib.data import benchmarks
from lib.data.camera_night import record_crop
from lib.data.image import encode_jpeg
from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.train.data import epoch_batches, make_loader
from lib.train.data.night_pairs import NightPairs, as_thermal
from tests.train.fragile import Frames


def sequence(name, level=140, grey=False, size=(90, 120), fail=()):
    """Coloured (or grey) noise of a mean level; without any box."""

    rng = np.random.default_rng(len(name))
    images = rng.integers(level - 20, level + 20, (4, *size, 1 if grey else 3), np.uint8)
    frames = Frames(np.ascontiguousarray(np.broadcast_to(images, (4, *size, 3))), fail)
    return Sequence(name, "made", np.full((4, 4), np.nan), lambda: frames)


def pairs(sequences, *overrides, **options):
    settings = config.load("enhancer", "baseline", ["DATA.CROP=32", *overrides])
    return NightPairs({"made": sequences}, settings, **{"seed": 0, **options})


def test_a_sample_depends_on_seed_epoch_and_index_alone():
    data = [sequence("a"), sequence("bb"), sequence("ccc", grey=True)]
    first, second = pairs(data), pairs(data)
    keys = [(epoch, index) for epoch in range(2) for index in range(12)]
    forward, backward = [first[key] for key in keys], [second[key] for key in reversed(keys)][::-1]
    for one, two in zip(forward, backward, strict=True):
        assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)
        assert one["night"].shape == one["clean"].shape == (3, 32, 32) and one["night"].dtype == torch.uint8
    assert len({bytes(one["clean"].numpy()) for one in forward}) == len(keys)
    assert not pairs(data, seed=1)[0, 0]["clean"].equal(forward[0]["clean"])
    fixed = pairs(data, training=False)
    assert fixed[0, 3]["night"].equal(fixed[7, 3]["night"])


def test_batches_do_not_depend_on_workers():
    made = pairs([sequence("a"), sequence("bb", fail=(0,))])
    batches = epoch_batches(12, 4, epoch=1)
    expected = list(make_loader(made, batches, 0))
    for one, two in zip(expected, make_loader(made, batches, 2), strict=True):
        assert one.keys() == two.keys() and all(one[name].equal(two[name]) for name in one)
    assert sum(int(one["replaced"].sum()) for one in expected) > 0


def test_the_kinds_of_pairs():
    made = [pairs([sequence("a")])[0, index] for index in range(300)]
    identity = np.array([bool(one["identity"]) for one in made])
    assert identity.mean() == pytest.approx(0.15, abs=0.06)
    for one, same in zip(made, identity, strict=True):
        assert one["night"].equal(one["clean"]) == same and (one["open"] or not same)
        assert same or one["night"].float().mean() < one["clean"].float().mean()
    forced = np.mean([bool(one["open"]) for one, same in zip(made, identity, strict=True) if not same])
    assert forced == pytest.approx(0.5, abs=0.1)
    held_out = pairs([sequence("a")], training=False)
    assert all(held_out[0, index]["open"] and not held_out[0, index]["identity"] for index in range(40))


def test_what_is_enlarged_is_smooth_in_both():
    def roughness(image):
        image = image.float()
        return float((image[:, :, 1:] - image[:, :, :-1]).abs().mean() / image.std())

    words = ("DATA.SCALE=[1,1]", "DATA.NIGHT.DARK=0", "DATA.NIGHT.IDENTITY=0", "DATA.NIGHT.EV=[2,2.1]")
    plain, large = (pairs([sequence("a")], *words, f"DATA.NIGHT.ENLARGED={share}") for share in (0, 1))
    for name in ("clean", "night"):
        assert roughness(large[0, 1][name]) < 0.75 * roughness(plain[0, 1][name])
    assert large[0, 0]["clean"].amin() > 90  # no black border


def test_real_nights_are_taken_as_they_are_and_never_darkened():
    day, night = [sequence("day")], [sequence("night!", level=30), sequence("night", level=25)]
    words = ("DATA.TRAIN.DATASETS_NAME=[day,night]", "DATA.NIGHT.REAL=[night]", "DATA.NIGHT.IDENTITY=0.5")
    settings = config.load("enhancer", "baseline", ["DATA.CROP=32", *words])
    made = NightPairs({"day": day, "night": night}, settings, seed=0, ratios=[0.6, 0.4])
    samples = [made[0, index] for index in range(200)]
    real = np.array([bool(one["real"]) for one in samples])
    assert real.mean() == pytest.approx(0.4, abs=0.1)
    for one, alone in zip(samples, real, strict=True):
        assert (int(one["name"]) > 0) == alone and not (alone and one["identity"])
        assert not alone or (one["night"].equal(one["clean"]) and one["night"].float().mean() < 40)
    assert {bool(one["open"]) for one, alone in zip(samples, real, strict=True) if alone} == {True, False}
    one, two = (NightPairs({"day": day, "night": night}, settings, seed=0)[3, 5] for _ in range(2))
    assert all(one[name].equal(two[name]) for name in one)
    with pytest.raises(UserError, match="NIGHT.REAL gone: not among TRAIN.DATASETS_NAME"):
        config.load("enhancer", "baseline", ["DATA.NIGHT.REAL=[gone]"])


def test_nights_of_a_video_camera_are_a_share_of_the_pairs(monkeypatch):
    cameras = []

    def recorded(clean, camera, rng):
        cameras.append(camera)
        return record_crop(clean, camera, rng)

    monkeypatch.setattr("lib.train.data.night_pairs.record_crop", recorded)
    words = ("DATA.NIGHT.CAMERA=0.5", "DATA.NIGHT.IDENTITY=0.5", "DATA.NIGHT.EV=[2,3]")
    made = pairs([sequence("a")], *words)
    darkened = [one for one in (made[0, index] for index in range(200)) if not one["identity"]]
    assert len(cameras) / len(darkened) == pytest.approx(0.5, abs=0.15)
    assert all(2 <= camera.light.ev <= 3 for camera in cameras) and len(set(cameras)) == len(cameras)
    assert all(one["night"].float().mean() < one["clean"].float().mean() for one in darkened)


def test_frames_of_the_night_are_left_out():
    data = [sequence("day"), sequence("night!", level=30)]
    made = pairs(data)
    assert {int(made[0, index]["name"]) for index in range(60)} == {0}
    with pytest.raises(UserError, match="50 frames in a row are darker than 0.25 .* of made/night!"):
        pairs(data[1:])[0, 0]


def test_a_thermal_frame_is_its_own_target_however_dark():
    made = pairs([sequence("ir", level=40, grey=True)], "DATA.NIGHT.DARK=1", "DATA.NIGHT.ENLARGED=0")
    for index in range(20):
        sample = made[0, index]
        assert sample["clean"].float().mean() == pytest.approx(40, abs=3)
        assert (sample["clean"][0] == sample["clean"][1]).all()


def test_a_day_image_as_a_thermal_camera_shows_it():
    sky = np.full((8, 8, 3), (150, 190, 230), np.uint8)
    sky[3:5, 3:5] = 30
    shown = as_thermal(sky, 1.5)
    assert (shown == shown[:, :, :1]).all() and shown[0, 0, 0] < 50 and shown[3, 3, 0] > 180
    dark = as_thermal(255 - sky, 1.0)
    assert abs(int(dark[0, 0, 0]) - int(as_thermal(sky, 1.0)[0, 0, 0])) <= 1


def test_photographs_need_no_boxes(tmp_path):
    for name in ("b10.jpg", "b2.jpg", "more/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(encode_jpeg(np.full((40, 50, 3), 120, np.uint8)))
    with pytest.raises(UserError, match="no sequences here"):
        benchmarks.load(tmp_path)
    found = benchmarks.load(tmp_path, boxes_needed=False)
    assert [one.name for one in found] == ["b2", "b10", "more/c"] and not any(one.visible.any() for one in found)
    assert [one.name for one in benchmarks.load(f"{tmp_path}#b*0", boxes_needed=False)] == ["b10"]
    assert pairs(found)[0, 0]["clean"].float().mean() == pytest.approx(120, abs=40)


def test_the_rendered_day_is_bright():
    sequences = benchmarks.load("lunar_day")
    assert len(sequences) == 16 and len({one.name for one in sequences}) == 16
    for each in sequences[:2]:
        frame = each.frames()[3]
        assert frame.max(axis=2).mean() > 0.35 * 255 and np.percentile(frame.max(axis=2), 1) > 20
        assert np.array_equal(frame, each.frames()[3])
