"""Image files as cameras write them: of more than 8 bits, turned, and numbered in every way."""

import io
import random

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from lib.data import benchmarks
from lib.data.benchmarks import pack
from lib.data.frames import ImageFrames, open_frames
from lib.data.image import frame_order
from lib.data.storage import open_storage
from lib.errors import UserError

RAMP = np.tile(np.linspace(7440, 7640, 96), (64, 1))


@pytest.fixture
def thermal(tmp_path):
    """A dataset of one sequence of a thermal camera, 200 counts a scene, 10 more in each frame."""
    folder = tmp_path / "thermal" / "walk" / "img"
    folder.mkdir(parents=True)
    for number in range(5):
        cv2.imwrite(str(folder / f"{number:04d}.png"), (RAMP + 10 * number).astype(np.uint16))
    (tmp_path / "thermal" / "walk" / "groundtruth.txt").write_text("30,20,24,18\n" * 5)
    return tmp_path / "thermal"


def test_one_stretch_for_a_sequence_wherever_it_is_opened(thermal, caplog):
    caplog.set_level("INFO")
    frames = benchmarks.load(thermal)[0].frames()
    last, first = frames[4], frames[0]
    assert first.shape == (64, 96, 3) and first.min() == 0 and first.max() == 255
    assert int(last[5, 20, 0]) - int(first[5, 20, 0]) == pytest.approx(40 / 200 * 255, abs=2)
    for source in (open_frames(thermal / "walk"), benchmarks.load(thermal)[0].frames()):
        assert np.array_equal(source[4], last), "also where the first frame is not read"
    said = [record.getMessage() for record in caplog.records if "becomes black" in record.getMessage()]
    assert len(said) == 1 and "uint16 values, 7440 becomes black and 7640 white" in said[0]


def test_the_range_is_set_by_hand(thermal, monkeypatch):
    monkeypatch.setenv("LUNAR_RANGE", "7000,8000")
    frame = open_frames(thermal / "walk")[0]
    assert frame[0, 0, 0] == round(440 / 1000 * 255) and frame[0, -1, 0] == round(640 / 1000 * 255)
    for text in ("7000", "8000,7000", "a,b", "nan,1"):
        monkeypatch.setenv("LUNAR_RANGE", text)
        with pytest.raises(UserError, match="LUNAR_RANGE=.*LOW,HIGH"):
            open_frames(thermal / "walk")[0]


def test_crops_and_packed_frames_are_stretched_alike(thermal, tmp_path):
    sequences = benchmarks.load(thermal)
    whole = sequences[0].frames()[3]
    pack.pack_frames(sequences, tmp_path / "frames.lmdb", lambda *_: None)
    assert np.array_equal(benchmarks.load(tmp_path / "frames.lmdb")[0].frames()[3], whole)
    pack.pack_crops(sequences, tmp_path / "crops.lmdb", lambda *_: None, size=32, context=1.0)
    crop = benchmarks.load(tmp_path / "crops.lmdb")[0].frames()[3]
    assert abs(crop[16, 16].mean() - whole[29, 42].mean()) < 15 and np.ptp(crop) > 60


def test_frames_of_floating_point_numbers(tmp_path):
    values = (RAMP / 100).astype(np.float32)
    values[10, 10] = np.nan
    for number in range(2):
        Image.fromarray(values + number / 2).save(tmp_path / f"{number}.tif")
    frames = open_frames(tmp_path)
    assert frames[0].max() == 255 and frames[0][10, 10].tolist() == [0, 0, 0]
    assert int(frames[1][5, 20, 0]) - int(frames[0][5, 20, 0]) == pytest.approx(0.5 / 2 * 255, abs=2)


def photograph(form, way, **options):
    random = np.random.default_rng(0)
    image = Image.fromarray(cv2.GaussianBlur(random.integers(0, 255, (48, 64, 3), np.uint8), (0, 0), 3))
    exif = Image.Exif()
    exif[0x010F] = "a camera with a name"
    exif[0x0112] = way
    file = io.BytesIO()
    image.save(file, form, exif=exif.tobytes(), **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("way", range(1, 9))
def test_photographs_are_turned_as_viewers_do_and_benchmarks_are_not(tmp_path, form, way):
    data = photograph(form, way, **({"lossless": True} if form == "WEBP" else {}))
    name = f"a.{form.lower()}"
    (tmp_path / name).write_bytes(data)
    image = Image.open(io.BytesIO(data))
    viewed = np.asarray(image if form == "TIFF" else ImageOps.exif_transpose(image))  # Pillow turns a TIFF by itself
    stored = np.asarray(Image.open(io.BytesIO(photograph(form, 1))) if form == "TIFF" else image)
    assert np.array_equal(open_frames(tmp_path / name)[0], viewed)
    assert np.array_equal(open_frames(tmp_path)[0], viewed)
    assert np.array_equal(open_frames(tmp_path, turn=False)[0], stored)
    source = ImageFrames(open_storage(tmp_path), [name])
    assert np.array_equal(source[0], stored) and source.partial(0).shape == (48, 64, 3)


def test_a_turned_photograph_is_said_once(tmp_path, caplog):
    caplog.set_level("INFO")
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(photograph("JPEG", 6))
    [open_frames(tmp_path)[index] for index in range(3)]
    frames = open_frames(tmp_path, turn=False)
    [frames[index] for index in range(3)]
    assert caplog.text.count("turned as its EXIF data says") == 3  # of three sources
    assert caplog.text.count("boxes are taken to be of it as stored") == 1


@pytest.mark.parametrize(
    "stems",
    [
        [str(number) for number in range(120)],
        [f"{number:06d}" for number in range(30)],
        [f"{number:x}" for number in range(300)],
        [f"{number:04x}" for number in range(300)],
        [f"{number:04X}" for number in range(250, 300)],
        [str(number) for number in range(-20, 30)],
        [f"frame-{number}" for number in range(30)],
        ["a1", "a2", "a10", "b1", "b2"],
        ["1", "2", "2a", "3", "10"],
        ["cam.1", "cam.2", "cam.10"],
        [str(1403636579763555584 + 50 * number) for number in range(20)],
    ],
)
def test_the_order_of_frames(stems):
    names = [f"img/{stem}.png" for stem in stems]
    mixed = random.Random(0).sample(names, len(names))
    assert frame_order(mixed) == names


@pytest.mark.parametrize("extension", [".MOV", ".ts", ".wmv", ".gif", ".Mp4", ".m2ts"])
def test_one_rule_of_what_a_video_is_called(tmp_path, extension):
    from tests.data.test_video import COUNT, KINDS, record

    kinds = {".gif": KINDS["animation.gif"], ".wmv": {"codec": "wmv2"}}
    path = record(tmp_path / f"a{extension}", **kinds.get(extension, {}))
    (tmp_path / "a.txt").write_text("1,2,3,4\n" * COUNT)
    (sequence,) = benchmarks.load(tmp_path)
    assert sequence.name == "a" and len(sequence.frames()) == COUNT and len(open_frames(path)) == COUNT


def test_two_videos_of_one_name(tmp_path):
    from tests.data.test_video import COUNT, record

    record(tmp_path / "a.mp4")
    record(tmp_path / "a.MKV")
    (tmp_path / "a.txt").write_text("1,2,3,4\n" * COUNT)
    with pytest.raises(UserError, match="two sequences are called 'a'"):
        benchmarks.load(tmp_path)
