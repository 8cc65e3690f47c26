"""Decoding a part of a JPEG: the same pixels as the whole, and nothing that ends the process on any bytes."""

import cv2
import numpy as np
import pytest

from lib.data import image as images
from lib.data.crop import Crop
from lib.data.frames import ImageFrames, OrderedFrames, PartialFrame, VideoFrames, partial_frame
from lib.data.storage import open_storage
from lib.errors import FrameError
from lib.vis.video import VideoWriter

RNG = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(RNG.integers(0, 255, (333, 517, 3), np.uint8), (0, 0), 1.0)


def jpeg(sampling="420", picture=PICTURE):
    import simplejpeg

    if sampling == "grey":
        return cv2.imencode(".jpg", picture[..., 0])[1].tobytes()
    if sampling in ("progressive", "restarts"):
        options = [cv2.IMWRITE_JPEG_PROGRESSIVE, 1] if sampling == "progressive" else [cv2.IMWRITE_JPEG_RST_INTERVAL, 3]
        return cv2.imencode(".jpg", picture, options)[1].tobytes()
    return simplejpeg.encode_jpeg(picture, quality=90, colorspace="RGB", colorsubsampling=sampling)


def parts(count, height, width, seed=0):
    random = np.random.default_rng(seed)
    for _ in range(count):
        x0, y0 = int(random.integers(-20, width)), int(random.integers(-20, height))
        yield x0, y0, x0 + int(random.integers(1, 300)), y0 + int(random.integers(1, 300))


@pytest.mark.parametrize("with_libjpeg", [True, False])
@pytest.mark.parametrize("sampling", ["420", "422", "444", "440", "grey", "restarts", "progressive", "png"])
def test_a_region_equals_the_whole(monkeypatch, sampling, with_libjpeg):
    if not with_libjpeg:
        monkeypatch.setattr(images, "libjpeg", lambda: None)
    data = cv2.imencode(".png", PICTURE)[1].tobytes() if sampling == "png" else jpeg(sampling)
    whole = images.decode(data, "x")
    for x0, y0, x1, y1 in parts(60, *PICTURE.shape[:2]):
        part = images.decode_region(data, "x", x0, y0, x1, y1)
        assert np.array_equal(part, whole[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]), (x0, y0, x1, y1)


def test_this_machine_decodes_regions_of_baseline_jpegs():
    """Otherwise the tests above compare the full decode with itself: torchvision's wheel brings the library."""
    if images.libjpeg() is None:
        pytest.skip("no libjpeg-turbo with its own interface here")
    assert images.scan_start(jpeg()) and images.scan_start(jpeg("grey"))
    assert images.scan_start(jpeg("progressive")) is None
    for sampling in ("420", "422", "444", "440", "grey", "restarts"):
        for rows in ((20, 60), (0, 333), (332, 333)):
            part = images.libjpeg().region(jpeg(sampling), 10, rows[0], 50, rows[1], checked=True)
            assert part is not None and part.shape == (rows[1] - rows[0], 40, 3)


def test_tiny_images():
    for height, width in ((1, 1), (7, 3), (16, 17)):
        data = jpeg(picture=np.ascontiguousarray(PICTURE[:height, :width]))
        assert np.array_equal(images.decode_region(data, "x", 0, 0, 99, 99), images.decode(data, "x"))
        assert images.decode_region(data, "x", 50, 50, 60, 60).size == 0


def verdict(call):
    """Pixels, or why there are none."""
    try:
        return call()
    except FrameError as error:
        return str(error)


@pytest.mark.parametrize("sampling", ["420", "422", "444", "440", "grey", "restarts"])
def test_a_checked_region_is_refused_where_the_whole_is(sampling):
    """Holes, noise, markers, lost bytes and flips, above the region, in it and below it."""
    good, random = jpeg(sampling), np.random.default_rng(3)
    header, refused = images.scan_start(good), 0
    for y0, y1 in ((0, 40), (140, 200), (300, 333), (332, 333), (0, 333)):
        part = images.decode_region(good, "x", 100, y0, 164, y1, checked=True)
        assert np.array_equal(part, images.decode(good, "x")[y0:y1, 100:164])
        for number in range(60):
            place, length = int(random.integers(header, len(good) - 2)), int(random.integers(1, 600))
            hole = (bytes(length), random.bytes(length), b"\xff\xc0" * (length // 2), b"", b"\xff\xd9", b"\xff\xd3")
            hole = (*hole, bytes([good[place] ^ 1 << number % 8]))[number % 7]
            data = good[:place] + hole + good[min(place + (1 if number % 7 == 6 else length), len(good) - 2) :]
            whole = verdict(lambda: images.decode(data, "x"))  # noqa: B023 -- called at once
            part = verdict(lambda: images.decode_region(data, "x", 100, y0, 164, y1, checked=True))  # noqa: B023
            if isinstance(whole, str):
                assert part == whole, (place, length, number)
                refused += 1
            else:
                assert np.array_equal(part, whole[y0:y1, 100:164])
    assert refused > 150


@pytest.mark.parametrize("sampling", ["420", "grey", "restarts"])
def test_damaged_bytes_are_errors_and_never_the_end(sampling):
    good = jpeg(sampling)
    header = images.scan_start(good)
    for length in np.linspace(0, len(good) - 3, 40).astype(int):
        with pytest.raises(FrameError):
            images.decode_region(good[:length], "x", 100, 100, 164, 164)
    random = np.random.default_rng(1)
    refused = 0
    for number in range(1500):
        data = bytearray(good)
        for place in random.integers(2, header if number % 3 else len(good), random.integers(1, 5)):
            data[place] = random.integers(0, 256)
        try:
            whole = images.decode(bytes(data), "x")
        except FrameError:
            whole = None
        try:
            part = images.decode_region(bytes(data), "x", 100, 100, 164, 164)
        except FrameError:
            part = None
            refused += 1
        if whole is not None:
            assert part is not None and np.array_equal(part, whole[100:164, 100:164])
    assert refused > 50


def test_a_refused_image_leaves_the_next_one_alone():
    """libjpeg-turbo 2.1, once it has met a kind of JPEG that it does not know, refuses good ones too."""
    good = jpeg()
    lossless = bytearray(good)
    lossless[good.index(b"\xff\xc0") + 1] = 0xC3
    for _ in range(2):
        with pytest.raises(FrameError):
            images.decode(bytes(lossless), "x")
        assert images.decode(good, "x").shape == PICTURE.shape


def test_a_crop_of_a_partial_frame_is_the_crop_of_the_frame(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg())
    frames = ImageFrames(open_storage(tmp_path), ["a.jpg"])
    part, whole = partial_frame(frames, 0), frames[0]
    assert part.shape == whole.shape and isinstance(part, PartialFrame if images.libjpeg() else np.ndarray)
    again = partial_frame(OrderedFrames(frames, range(0, -1, -1)), 0)
    assert type(again) is type(part) and np.array_equal(again[3:9, 5:60], whole[3:9, 5:60])
    random = np.random.default_rng(2)
    for _ in range(150):
        crop = Crop(*random.uniform(-100, 600, 2), float(np.exp(random.uniform(0, 7))), int(random.integers(8, 300)))
        assert np.array_equal(crop.extract(part), crop.extract(whole)), crop


def test_a_partial_frame_knows_its_time_and_its_damage(tmp_path):
    if images.libjpeg() is None:
        pytest.skip("no libjpeg-turbo with its own interface here")
    data = jpeg("restarts")
    middle = len(data) // 2
    (tmp_path / "a.jpg").write_bytes(data[:middle] + b"\xff" * 200 + data[middle + 200 :])
    frames = ImageFrames(open_storage(tmp_path), ["a.jpg"])
    part = partial_frame(frames, 0)
    assert part[0:20, 0:20].shape == (20, 20, 3), "the damage lies below"
    assert part.seconds > 0 and not part.damaged
    before = part.seconds
    with pytest.raises(FrameError) as found:
        part[300:320, 0:20]
    assert part.seconds > before and part.damaged
    with pytest.raises(FrameError) as expected:
        frames[0]
    assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("kind", ["png", "progressive", "truncated"])
def test_what_has_no_regions_is_decoded_once_and_at_once(tmp_path, monkeypatch, kind):
    data = cv2.imencode(".png", PICTURE)[1].tobytes() if kind == "png" else jpeg("progressive")
    data = jpeg()[:-100] if kind == "truncated" else data
    (tmp_path / "a.jpg").write_bytes(data)
    decode, calls = images.decode, []
    monkeypatch.setattr(images, "decode", lambda *arguments: calls.append(arguments) or decode(*arguments))
    frames = ImageFrames(open_storage(tmp_path), ["a.jpg"])
    if kind == "truncated":
        with pytest.raises(FrameError, match=r"a\.jpg: damaged or truncated JPEG"):
            partial_frame(frames, 0)
    else:
        assert isinstance(partial_frame(frames, 0), np.ndarray)
    assert len(calls) == 1


def test_a_video_is_decoded_whole(tmp_path):
    with VideoWriter(tmp_path / "v.avi") as video:
        video.write(np.ascontiguousarray(PICTURE[:320, :512]))
    frames = VideoFrames(tmp_path / "v.avi")
    assert np.array_equal(partial_frame(frames, 0), frames[0])


def test_a_frame_of_another_size_is_an_error(tmp_path):
    (tmp_path / "1.jpg").write_bytes(jpeg())
    (tmp_path / "2.jpg").write_bytes(jpeg(picture=np.ascontiguousarray(PICTURE[:50])))
    frames = ImageFrames(open_storage(tmp_path), ["1.jpg", "2.jpg"])
    frames.partial(0)
    with pytest.raises(FrameError, match=r"2\.jpg: this frame has 517 x 50 px, the others 517 x 333 px"):
        frames.partial(1)
