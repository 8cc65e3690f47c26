"""Frames from folders, zips, LMDBs and videos: the same pixels, and nothing decoded wrong in silence."""

import multiprocessing
import zipfile

import cv2
import lmdb
import numpy as np
import pytest

from lib.data import image as images
from lib.data.frames import ImageFrames, VideoFrames, open_frames
from lib.data.storage import open_storage
from lib.errors import FrameError, UserError
from lib.vis.video import VideoWriter


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    return [cv2.GaussianBlur(rng.integers(0, 255, (72, 96, 3), np.uint8), (0, 0), 2) for _ in range(12)]


@pytest.fixture
def folder(tmp_path, pictures):
    """A dataset folder of one sequence; frames 1.jpg ... 12.jpg, so that the order must be natural."""
    place = tmp_path / "set" / "a" / "img"
    place.mkdir(parents=True)
    for number, picture in enumerate(pictures, 1):
        (place / f"{number}.jpg").write_bytes(images.encode_jpeg(picture, 95))
    (tmp_path / "set" / "a" / "groundtruth.txt").write_text("1,2,3,4\n" * 12)
    return tmp_path / "set"


def pack(folder, kind):
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    target = folder.with_name(f"set_{kind}")
    if kind == "zip":
        with zipfile.ZipFile(target, "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        if target.exists():
            return target
        with lmdb.open(str(target), map_size=10_000_000) as database, database.begin(write=True) as transaction:
            for name, data in files.items():
                transaction.put(name.encode(), data)
    return target


@pytest.mark.parametrize("kind", ["zip", "lmdb"])
def test_packed_frames_equal_the_folder(folder, kind):
    from lib.data import benchmarks

    (plain,), (packed,) = benchmarks.load(folder), benchmarks.load(pack(folder, kind))
    assert np.array_equal(plain.boxes_xywh, packed.boxes_xywh) and packed.dataset == f"set_{kind}"
    reference, frames = plain.frames(), packed.frames()
    assert [name.split("/")[-1] for name in frames.names] == [f"{number}.jpg" for number in range(1, 13)]
    for index in range(12):
        assert np.array_equal(reference[index], frames[index])
    assert len(open_frames(pack(folder, kind))) == 12


def _first_frame(sequence, queue):
    queue.put(sequence.frames()[0].tobytes())


@pytest.mark.parametrize("kind", ["zip", "lmdb"])
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_packed_frames_in_other_processes(folder, kind, method):
    from lib.data import benchmarks

    (sequence,) = benchmarks.load(pack(folder, kind))
    expected = sequence.frames()[0].tobytes()
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    process = context.Process(target=_first_frame, args=(sequence, queue))
    process.start()
    assert queue.get(timeout=60) == expected
    process.join()


def test_video_reads_in_any_order(tmp_path, pictures):
    path = tmp_path / "v.avi"
    with VideoWriter(path, 25) as video:
        for picture in pictures:
            video.write(picture)
    frames = VideoFrames(path)
    assert len(frames) == 12 and frames.fps == 25
    forward = [frames[index] for index in range(12)]
    for index in (5, 11, 0, 3, -1):
        assert np.array_equal(frames[index], forward[index])
    assert np.abs(forward[3].astype(int) - pictures[3]).mean() < 6, "RGB, not BGR"
    with pytest.raises(IndexError):
        frames[12]


def test_video_that_ends_early_is_an_error(tmp_path, pictures):
    path = tmp_path / "v.avi"
    with VideoWriter(path) as video:
        for picture in pictures * 10:
            video.write(picture)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FrameError, match=r"v\.avi: "):
        frames = VideoFrames(path)
        for index in range(120):
            frames[index]


def jpeg(picture, **options):
    return images.encode_jpeg(picture, **options)


@pytest.mark.parametrize("use_jpeg4py", [True, False])
def test_damaged_images_are_errors(pictures, monkeypatch, use_jpeg4py):
    if not use_jpeg4py:
        monkeypatch.setattr(images, "_jpeg4py", lambda: None)
    data = jpeg(pictures[0])
    for length in np.linspace(0, len(data) - 3, 40).astype(int):
        with pytest.raises(FrameError):
            images.decode(data[:length], "x.jpg")
    for extension in (".png", ".bmp", ".webp", ".tif"):
        data = cv2.imencode(extension, pictures[0])[1].tobytes()
        for length in np.linspace(0, len(data) * 0.9, 20).astype(int):
            with pytest.raises(FrameError):
                images.decode(data[:length], f"x{extension}")
    png = bytearray(cv2.imencode(".png", pictures[0])[1].tobytes())
    for place in range(60, len(png) - 20, len(png) // 20):
        flipped = bytearray(png)
        flipped[place] ^= 16
        with pytest.raises(FrameError):
            images.decode(bytes(flipped), "x.png")
    for junk in (b"", b"<!doctype html>", b"\xff\xd8\xff", b"\0" * 100, b"version https://git-lfs"):
        with pytest.raises(FrameError):
            images.decode(junk, "x.jpg")


def test_unusual_images_decode_to_rgb(pictures):
    picture = pictures[0]
    reference = cv2.cvtColor(cv2.imdecode(np.frombuffer(jpeg(picture), np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    assert np.array_equal(images.decode(jpeg(picture), "a.jpg"), reference), "as OpenCV decodes it"
    png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()
    assert np.array_equal(images.decode(png, "png named.jpg"), picture)
    grey = cv2.imencode(".jpg", picture[..., 0])[1].tobytes()
    assert images.decode(grey, "grey.jpg").shape == picture.shape
    rgba = cv2.imencode(".png", np.dstack([picture[..., ::-1], np.full(picture.shape[:2], 9, np.uint8)]))[1].tobytes()
    assert np.array_equal(images.decode(rgba, "rgba.png"), picture)
    deep = cv2.imencode(".png", picture[..., ::-1].astype(np.uint16) * 257)[1].tobytes()
    assert np.abs(images.decode(deep, "16bit.png").astype(int) - picture).max() <= 1
    assert images.decode(jpeg(picture[:1, :1]), "1x1.jpg").shape == (1, 1, 3)


def test_both_jpeg_decoders_agree(pictures, monkeypatch):
    if images._jpeg4py() is None:
        pytest.skip("libturbojpeg is not installed: there is only one decoder here")
    first = images.decode(jpeg(pictures[0]), "x")
    monkeypatch.setattr(images, "_jpeg4py", lambda: None)
    assert np.array_equal(first, images.decode(jpeg(pictures[0]), "x"))


def test_a_frame_of_another_size_is_an_error(folder, pictures):
    (folder / "a" / "img" / "5.jpg").write_bytes(jpeg(pictures[0][:50]))
    frames = open_frames(folder / "a")
    frames[0]
    with pytest.raises(FrameError, match=r"5\.jpg: this frame has 96 x 50 px, the others 96 x 72 px"):
        frames[4]


@pytest.mark.parametrize("member", ["../x.jpg", "/etc/x.jpg", "a\\..\\x.jpg"])
def test_zip_members_stay_inside(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(member, b"data")
    with pytest.raises(UserError, match="refused"):
        open_storage(tmp_path / "bad.zip").glob("*")


def test_zip_bombs_and_doubles_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.jpg", b"\0" * 30_000_000)
    with pytest.raises(UserError, match="unpacks to 30000000 bytes"):
        open_storage(tmp_path / "bomb.zip").glob("*")
    with zipfile.ZipFile(tmp_path / "double.zip", "w") as archive, pytest.warns(UserWarning):
        archive.writestr("x.jpg", b"1")
        archive.writestr("x.jpg", b"2")
    with pytest.raises(UserError, match="two members"):
        open_storage(tmp_path / "double.zip").glob("*")


def test_damaged_containers(folder, tmp_path):
    from lib.data import benchmarks

    target = pack(folder, "zip")
    data = bytearray(target.read_bytes())
    data[200:400] = b"\0" * 200
    target.write_bytes(data)
    with pytest.raises(UserError):
        sequence = benchmarks.load(target)[0]
        [sequence.frames()[index] for index in range(12)]
    target = pack(folder, "lmdb")
    database = (target / "data.mdb").read_bytes()
    (target / "data.mdb").write_bytes(database[: len(database) // 3])
    with pytest.raises(UserError):
        sequence = benchmarks.load(target)[0]
        [sequence.frames()[index] for index in range(12)]


@pytest.mark.parametrize("source", ["nothing.mp4", "no folder", "999"])
def test_nothing_to_open(tmp_path, source, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError):
        open_frames(source)


def test_open_frames_of_a_folder_without_any(tmp_path):
    with pytest.raises(UserError, match="no frames here"):
        open_frames(tmp_path)
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(UserError, match="no video that OpenCV can decode"):
        open_frames(tmp_path / "text.mp4")


def test_image_frames_name_the_missing_file(tmp_path):
    frames = ImageFrames(open_storage(tmp_path), ["gone.jpg"])
    with pytest.raises(FrameError, match=r"gone\.jpg: cannot be read"):
        frames[0]
