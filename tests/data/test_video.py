"""Videos as people have them: every frame is read once, in order, whatever the container says of them."""

import pickle
import random

import av
import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.frames import VideoFrames, open_frames
from lib.errors import FrameError, UserError

COUNT, WIDTH, HEIGHT = 24, 96, 64


def picture(number):
    """A frame that tells its number by its brightness, and up from down and left from right by its marks."""
    image = np.full((HEIGHT, WIDTH, 3), 30 + 8 * number, np.uint8)
    image[:16, :32] = (255, 0, 0)
    return image


def number_of(frame):
    return round((float(frame[40:60, 40:90].mean()) - 30) / 8)


def record(
    path, codec="libx264", numbers=range(COUNT), times=None, options=None, shift=0, layout="yuv420p", **container
):
    """Write the pictures of `numbers` with PyAV. times: of the frames, in 1/25 s. shift: of all packets, frames."""
    with av.open(str(path), "w", container_options=container) as file:
        stream = file.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, layout
        stream.gop_size = 8
        packets = []
        for place, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number), "rgb24")
            frame.pts = place if times is None else times[place]
            packets += stream.encode(frame)
        for packet in packets + stream.encode(None):
            if shift:
                unit = round(1 / 25 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift * unit, packet.dts - shift * unit
            file.mux(packet)
    return path


def numbers_read(path):
    return [number_of(frame) for frame in open_frames(path)]


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


KINDS = {
    "progressive.mp4": {},
    "progressive.mov": {},
    "interlaced.mp4": {"options": {"x264-params": "interlaced=1:threads=1"}},
    "interlaced.ts": {"codec": "mpeg2video", "options": {"flags": "+ildct+ilme"}},
    "uneven times.mkv": {"times": [number + 9 * (number // 5) for number in range(COUNT)]},
    "same time twice.mkv": {"times": [2 * number // 3 for number in range(COUNT)], "options": {"bf": "0"}},
    "without a length.webm": {"codec": "libvpx", "live": "1"},
    "hidden frames.webm": {"codec": "libvpx", "options": {"auto-alt-ref": "1", "lag-in-frames": "16"}},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "av1.mp4": {"codec": "libsvtav1", "options": {"preset": "12"}},
    "mjpeg.avi": {"codec": "mjpeg", "layout": "yuvj420p"},
    "CAPITALS.MOV": {},
    "animation.gif": {"codec": "gif", "layout": "rgb8"},
    "a : b?#%d é.mp4": {},
}


@pytest.mark.parametrize("name", KINDS)
def test_every_frame_of_every_kind(tmp_path, name):
    """Forwards, in any order, backwards, and counted: the same pictures."""
    path = record(tmp_path / name, **KINDS[name])
    frames = [frame for frame in open_frames(path)]  # noqa: C416 -- list(frames) would ask for the length
    assert [number_of(frame) for frame in frames] == list(range(COUNT))
    source = open_frames(path)
    assert len(source) == COUNT
    order = random.Random(0).sample(range(COUNT), COUNT)
    for index in [*order, -1, *reversed(range(COUNT))]:
        assert np.array_equal(source[index], frames[index]), index
    with pytest.raises(IndexError):
        source[COUNT]


def test_an_edit_list_hides_frames(tmp_path):
    path = record(tmp_path / "trimmed.mp4", shift=5, options={"bf": "0"}, avoid_negative_ts="disabled")
    assert VideoFrames(path).claimed == COUNT and len(VideoFrames(path)) == COUNT - 5
    assert numbers_read(path) == list(range(5, COUNT))
    source = VideoFrames(path)
    assert [number_of(source[index]) for index in (18, 3, 4, 0, 11)] == [23, 8, 9, 5, 16]


def test_joined_streams_go_on(tmp_path):
    first, second = record(tmp_path / "1.ts"), record(tmp_path / "2.ts", numbers=range(10))
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    assert numbers_read(tmp_path / "both.ts") == [*range(COUNT), *range(10)]
    source = open_frames(tmp_path / "both.ts")
    assert len(source) == COUNT + 10 and [number_of(source[index]) for index in (30, 3, 25, 24)] == [6, 3, 1, 0]


@pytest.mark.parametrize("name", ["cut.ts", "cut.mkv", "cut.avi", "cut.mp4"])
def test_a_file_cut_short_ends_there(tmp_path, name):
    kind = {"cut.avi": KINDS["mjpeg.avi"], "cut.mp4": {"movflags": "faststart", "options": {"bf": "0"}}}.get(name, {})
    path = cut(record(tmp_path / name, **kind), 0.7)
    found = numbers_read(path)
    assert 5 < len(found) < COUNT and found == list(range(len(found)))
    assert len(VideoFrames(path)) == len(found)


def test_ground_truth_of_another_length_is_said_with_both_numbers(tmp_path):
    record(tmp_path / "a.mp4", shift=5, options={"bf": "0"}, avoid_negative_ts="disabled")
    (tmp_path / "a.txt").write_text("1,2,3,4\n" * COUNT)
    (sequence,) = benchmarks.load(tmp_path)
    with pytest.raises(UserError, match=f"{COUNT} rows for {COUNT - 5} frames"):
        sequence.frames()
    (tmp_path / "a.txt").write_text("1,2,3,4\n" * (COUNT - 5))
    assert len(benchmarks.load(tmp_path)[0].frames()) == COUNT - 5


def test_a_file_that_was_replaced_is_counted_anew(tmp_path):
    path = record(tmp_path / "a.mp4")
    assert len(VideoFrames(path)) == COUNT
    assert len(VideoFrames(record(path, numbers=range(10)))) == 10


def test_a_hole_in_the_middle_is_an_error_and_what_comes_before_it_is_read(tmp_path):
    path = record(tmp_path / "a.avi", **KINDS["mjpeg.avi"])
    data = bytearray(path.read_bytes())
    places = [place for place in range(len(data) - 1) if data[place : place + 2] == b"\xff\xd8"]
    data[places[10] : places[10] + 600] = b"\0" * 600
    path.write_bytes(data)
    found = []
    with pytest.raises(FrameError, match=r"a\.avi: frame 10: the file is damaged here"):
        for frame in VideoFrames(path):
            found.append(number_of(frame))
    assert found == list(range(10))


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_phone_held_upright(tmp_path, quarters):
    path = record(tmp_path / "phone.mp4")
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40  # the matrix of the track's header, as phones write it
    one, turns = 1 << 16, {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}
    a, b, c, d = turns[quarters]
    for offset, value in zip((0, 4, 12, 16), (a, b, c, d), strict=True):
        data[place + offset : place + offset + 4] = (value * one).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    frame = VideoFrames(path)[3]
    expected = np.rot90(picture(3), -quarters)  # the matrix turns clockwise
    assert frame.shape == expected.shape and np.abs(frame.astype(int) - expected)[:, :, 2].mean() < 12


def test_another_size_in_the_middle_is_scaled(tmp_path, caplog):
    global WIDTH, HEIGHT
    first = record(tmp_path / "1.ts")
    try:
        WIDTH, HEIGHT = 192, 128
        second = record(tmp_path / "2.ts")
    finally:
        WIDTH, HEIGHT = 96, 64
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    frames = VideoFrames(tmp_path / "both.ts")
    assert frames[30].shape == frames[2].shape == (64, 96, 3)
    assert "192 x 128 px, scaled to the first frame's 96 x 64 px" in caplog.text


def test_thermal_video_fills_the_range(tmp_path):
    with av.open(str(tmp_path / "thermal.mkv"), "w") as file:
        stream = file.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "gray16le"
        ramp = np.tile(np.linspace(7440, 7640, WIDTH).astype(np.uint16), (HEIGHT, 1))
        for number in range(5):
            for packet in stream.encode(av.VideoFrame.from_ndarray(ramp + 20 * number, "gray16le")):
                file.mux(packet)
        for packet in stream.encode(None):
            file.mux(packet)
    frames = VideoFrames(tmp_path / "thermal.mkv")
    last, first = frames[4], frames[0]
    assert first.min() == 0 and first.max() == 255 and first[0, 48].tolist() == pytest.approx([128] * 3, abs=2)
    assert int(last[0, 20, 0]) - int(first[0, 20, 0]) == pytest.approx(80 / 200 * 255, abs=2), "one stretch for all"


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("text.mp4", b"hello\n" * 100, "is a text file"),
        ("notes.txt", b"hello\n" * 100, "is a text file"),
        ("empty.mp4", b"", "is empty"),
        ("page.mp4", b"<!DOCTYPE html><html>404", "a web page"),
        ("noise.mp4", bytes(range(256)) * 20, "no video that FFmpeg can decode"),
    ],
)
def test_what_is_no_video_is_called_what_it_is(tmp_path, name, data, words):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FrameError, match=f"{name}: .*{words}"):
        open_frames(tmp_path / name)


def test_an_unfinished_recording_and_sound_alone(tmp_path):
    path = cut(record(tmp_path / "a.mp4"), 0.5)
    with pytest.raises(FrameError, match="without its index"):
        open_frames(path)
    with av.open(str(tmp_path / "b.mka"), "w") as file:
        stream = file.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        for packet in [*stream.encode(sound), *stream.encode(None)]:
            file.mux(packet)
    with pytest.raises(FrameError, match="no video in this file: it holds audio"):
        open_frames(tmp_path / "b.mka")


def test_goes_to_another_process(tmp_path):
    source = VideoFrames(record(tmp_path / "a.mp4"))
    source[5]
    assert number_of(pickle.loads(pickle.dumps(source))[7]) == 7
