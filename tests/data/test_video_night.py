"""Night as a video camera records it: repeatable, the same in any order, with noise as cameras leave it."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from lib.data import night, video_night
from lib.data.camera_night import CameraNight, TemporalFilter, record_crop, sample_camera_night
from lib.data.codec import compress
from lib.data.lamps import Lamp
from lib.data.video_night import BLOCK, NIGHTS, STRENGTHS, night_frames
from lib.errors import UserError

SIZE = 96, 128  # height, width


class Frames:
    """Frames in memory; `reads` are the numbers of those that were asked for."""

    fps = 25.0

    def __init__(self, images):
        self.images, self.reads = images, []

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        self.reads.append(index)
        return self.images[index]


def rng(seed=0):
    return np.random.default_rng(seed)


def texture(height, width, seed=0):
    coarse = rng(seed).integers(40, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.repeat(np.repeat(coarse, 8, 0), 8, 1)[:height, :width]


def moving(count, step=2):
    """A scene that moves to the left by `step` px a frame."""
    wide = texture(SIZE[0], SIZE[1] + step * count)
    return Frames([np.ascontiguousarray(wide[:, step * i : step * i + SIZE[1]]) for i in range(count)])


def still(count, grey=160):
    return Frames([np.full((*SIZE, 3), grey, np.uint8)] * count)


@pytest.fixture
def bare(monkeypatch):
    """Strength "bare": a video night without lamps, cars, vignetting, field and compression; change it by keywords."""

    def strength(camera=None, **other):
        light = night.NightParams(4.0, shot=2e-3, read=4e-6)
        made = replace(CameraNight(light, vignette=0.0, codec=None), **(camera or {}))
        monkeypatch.setitem(
            STRENGTHS, "video_heavy", video_night.VideoNight(made, **{"lamps": (0, 0), "cars": 0.0, **other})
        )
        return "video_heavy"

    return strength


@pytest.mark.parametrize("strength", STRENGTHS)
def test_same_bytes_forwards_backwards_and_alone(strength):
    count = 2 * BLOCK + 7
    forwards = [frame.copy() for frame in night_frames(moving(count), strength, "kite")]
    assert len(forwards) == count and {(frame.dtype, frame.shape) for frame in forwards} == {
        (np.dtype(np.uint8), (*SIZE, 3))
    }
    backwards = pickle.loads(pickle.dumps(night_frames(moving(count), strength, "kite")))
    for index in reversed(range(count)):
        assert np.array_equal(backwards[index], forwards[index]), index
    for index in (BLOCK + 3, 5, count - 1, BLOCK - 1):
        assert np.array_equal(night_frames(moving(count), strength, "kite")[index], forwards[index]), index
    assert np.array_equal(night_frames(moving(count), strength, "kite")[-1], forwards[-1])
    assert not np.array_equal(night_frames(moving(count), strength, "bird")[3], forwards[3])


def test_both_directions_read_each_frame_about_once():
    count = 3 * BLOCK
    for order in (range(count), range(count - 1, -1, -1)):
        source = moving(count)
        shown = night_frames(source, "video_heavy", "kite")
        for index in order:
            shown[index]
        assert len(source.reads) <= count + video_night.WARM_UP


def correlations(strength):
    """Of the noise on a flat still scene: from frame to frame, and between neighbours in a row."""
    shown = night_frames(still(BLOCK), strength, "flat")
    frames = np.array([shown[i][36:60, 52:76, 1].astype(float) for i in range(8, BLOCK)])
    noise = frames - frames.mean(axis=(1, 2), keepdims=True)
    variance = (noise**2).mean()
    assert variance > 0.1
    return (noise[1:] * noise[:-1]).mean() / variance, (noise[:, :, 1:] * noise[:, :, :-1]).mean() / variance


def test_noise_is_correlated_in_time_and_space(bare):
    time, space = correlations("heavy")
    assert abs(time) < 0.05 and abs(space) < 0.1
    time, space = correlations(bare())
    assert 0.5 < time < 0.9 and space > 0.4
    time, space = correlations(bare(camera={"temporal": 1.0, "denoise": 0.0, "grain": 0.0}))
    assert abs(time) < 0.05 and space < 0.1, "without its filters the camera's noise is white"


def test_the_filter_reduces_noise_as_its_formula_says(bare):
    def deviation(weight):
        strength = bare(camera={"temporal": weight, "motion": 0.2, "denoise": 0.0, "grain": 0.0})
        shown = night_frames(still(BLOCK), strength, "flat")
        return np.std([shown[i][..., 1] for i in range(BLOCK)], axis=(1, 2))

    raw, filtered = deviation(1.0), deviation(0.25)
    assert filtered.mean() / raw.mean() == pytest.approx(np.sqrt(0.25 / 1.75), rel=0.25)
    assert filtered.max() / filtered.min() < 1.3, "a block does not begin with more noise or less"


def test_what_moves_leaves_little_behind():
    """A bright square that jumps away: three frames later less than a tenth of it is left where it was."""
    camera = CameraNight(night.NightParams(2.0, shot=1e-3, read=1e-6), temporal=0.15)
    seen, gone = (np.full((32, 32), level, np.float32) for level in (0.6, 0.2))
    colours = np.zeros((16, 16, 2), np.float32)
    temporal = TemporalFilter(camera)
    temporal((seen.copy(), colours.copy()))
    for _ in range(3):
        left, _ = temporal((gone.copy(), colours.copy()))
    assert np.abs(left - gone).max() < 0.04


def test_brightness_is_that_of_the_plain_nights(shared_data):
    cv2 = pytest.importorskip("cv2")
    means = {name: [] for name in ("moderate", "heavy", *STRENGTHS)}
    for path in sorted((shared_data / "dev").glob("*.mp4"))[::2]:
        frame = cv2.resize(cv2.VideoCapture(str(path)).read()[1], (320, 240), interpolation=cv2.INTER_AREA)
        for name, found in means.items():
            found.append(night_frames(Frames([frame[..., ::-1]] * 2), name, path.stem)[1].max(axis=2).mean() / 255)
    for name in ("moderate", "heavy"):
        assert np.mean(means[f"video_{name}"]) == pytest.approx(np.mean(means[name]), abs=0.03)


def test_lamps_stay_where_nothing_moves_and_move_with_the_scene(bare):
    def brightest(frame):
        total = frame.astype(int).sum(axis=2)
        return np.argwhere(total > 0.8 * total.max()).mean(axis=0)

    lamp = Lamp(0.6, 0.5, 0.015, 4.0, 0.05, 0.3, 0.1)
    for source, expected in ((still(BLOCK + 8, 100), 0), (moving(BLOCK + 8), -2)):
        shown = night_frames(source, bare(), "kite")
        shown._lamps = (lamp,)
        places = [brightest(shown[i]) for i in (BLOCK, BLOCK + 4)]
        assert np.abs(places[1] - places[0] - (0, 4 * expected)).max() < 1, places


def test_a_lamp_saturates_and_its_glare_falls_off(bare):
    shown = night_frames(still(2, 30), bare(camera={"denoise": 0.0}), "kite")
    shown._lamps = (Lamp(0.5, 0.5, 0.02, 8.0, 0.05, 0.3, 0.2, (1.0, 1.0, 1.0)),)
    row = shown[1][SIZE[0] // 2].mean(axis=1)
    assert row[64] > 250 > 150 > row[72] > row[84] > row[110] + 3


def test_compression_costs_detail_and_repeats():
    planes = [np.vstack([texture(32, 64, seed)[..., 0], np.full((16, 64), 128, np.uint8)]) for seed in range(4)]
    for codec in ("h264", "hevc"):
        fine, coarse = (compress(planes, codec, crf) for crf in (18, 44))
        errors = [np.abs(np.subtract(shown, planes, dtype=float)).mean() for shown in (fine, coarse)]
        assert len(fine) == 4 and 0 < errors[0] < errors[1] / 2
        assert all(map(np.array_equal, coarse, compress(planes, codec, 44)))
    assert compress([], "h264", 30) == []


@pytest.mark.parametrize("size", [(1, 1), (17, 5), (33, 40), (120, 161)])
def test_sides_need_not_be_even(size):
    source = Frames([texture(*size)] * 3)
    assert night_frames(source, "video_moderate", "odd")[2].shape == (*size, 3)
    assert record_crop(texture(*size), sample_camera_night(rng(1)), rng()).shape == (*size, 3)


def test_random_nights_for_crops():
    day = texture(128, 128)
    shown, codecs = [], set()
    for seed in range(30):
        camera = sample_camera_night(rng(seed), (3, 5))
        assert 3 <= camera.light.ev <= 5 and camera == sample_camera_night(rng(seed), (3, 5))
        codecs.add(camera.codec)
        crop = record_crop(day, camera, rng(seed))
        assert crop.dtype == np.uint8 and crop.shape == day.shape and crop.flags.c_contiguous
        assert np.array_equal(crop, record_crop(day, camera, rng(seed)))
        shown.append(crop.mean())
    assert codecs == {"h264", "jpeg"} and max(shown) < day.mean() / 1.5


def test_averaged_crops_have_less_noise():
    day = np.full((128, 128, 3), 150, np.uint8)
    camera = CameraNight(night.NightParams(4.0, shot=2e-3, read=1e-6), vignette=0.0, denoise=0.0, codec=None)
    one, few, many = (record_crop(day, camera, rng(), frames)[..., 1].std() for frames in (1, 4, 40))
    assert one > few > 2 * many > 0


def test_unknown_nights():
    assert NIGHTS == ("mild", "moderate", "heavy", "video_moderate", "video_heavy")
    with pytest.raises(UserError, match="unknown night strength 'pitch': expected one of mild, .*, video_heavy"):
        night_frames(still(1), "pitch", "a")
