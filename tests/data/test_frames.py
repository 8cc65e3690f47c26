"""Frames from folders, zips, LMDBs and videos: the same pixels. Damaged and odd files are in tests/reliability."""

import multiprocessing
import zipfile

import cv2
import lmdb
import numpy as np
import pytest

from lib.data import image as images
from lib.data.frames import VideoFrames, open_frames
from lib.errors import UserError
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


def test_video_reads_backwards_in_few_passes(tmp_path, pictures, monkeypatch):
    path = tmp_path / "v.avi"
    with VideoWriter(path, 25) as video:
        for picture in pictures:
            video.write(picture)
    forward, frames, decoded = list(VideoFrames(path)), VideoFrames(path), []
    monkeypatch.setattr("lib.data.video.KEPT", 4 * forward[0].nbytes)
    take = VideoFrames._next_frame
    monkeypatch.setattr(VideoFrames, "_next_frame", lambda self, shown=True: decoded.append(1) or take(self, shown))
    for index in reversed(range(len(frames))):
        frame = frames[index]
        assert np.array_equal(frame, forward[index])
        frame[:] = 0
    assert len(decoded) == 12, "each frame is decoded once: the last, then five at a time"


def jpeg(picture, **options):
    return images.encode_jpeg(picture, **options)


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
    with pytest.raises(UserError, match="is a text file, expected a video"):
        open_frames(tmp_path / "text.mp4")
