"""F14: image files of every kind, whole and damaged: as a reference decodes them, or refused."""

import collections
import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from lib.data import image as images
from lib.data.frames import ImageFrames, open_frames
from lib.data.storage import open_storage
from lib.errors import FrameError

_random = np.random.default_rng(0)
PICTURE = cv2.GaussianBlur(_random.integers(0, 255, (72, 96, 3), np.uint8), (0, 0), 2)
ALPHA = _random.integers(0, 255, (72, 96, 1), np.uint8)
RGB = Image.fromarray(PICTURE)
RGBA = Image.fromarray(np.concatenate([PICTURE, ALPHA], axis=2))
DEEP = PICTURE[..., 0].astype(np.uint16) * 3 + 7440  # 16 bits, of which a scene fills a few hundred values


def grey(channel):
    return np.repeat(channel[..., None], 3, axis=2)


def stretched(values):
    """Deep values as they are to be shown: their percentiles .1 and 99.9 are black and white."""
    low, high = np.percentile(values, (0.1, 99.9))
    shown = np.clip(np.round((values - low) / (high - low) * 255), 0, 255)
    return shown if shown.ndim == 3 else grey(shown)


def encode(picture, form, **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def turned(form):
    exif = Image.Exif()
    exif[0x0112] = 6  # "the camera was held upright": to be shown turned by 90 degrees
    return encode(RGB, form, exif=exif.tobytes(), **({"lossless": True} if form == "WEBP" else {}))


def reference(data):
    """What Pillow decodes, turned as stored."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def jpeg_of_adobe_rgb():
    """A JPEG whose three components are R, G, B themselves."""
    return encode(RGB, "JPEG", keep_rgb=True, subsampling=0)


SUPPORTED = {  # name -> (bytes, the pixels expected, None for those that Pillow decodes)
    "baseline.jpg": (encode(RGB, "JPEG", quality=90), None),
    "progressive.jpg": (encode(RGB, "JPEG", progressive=True), None),
    "444.jpg": (encode(RGB, "JPEG", subsampling=0), None),
    "422.jpg": (encode(RGB, "JPEG", subsampling=1), None),
    "rgb.jpg": (jpeg_of_adobe_rgb(), None),
    "restart markers.jpg": (encode(RGB, "JPEG", restart_marker_blocks=4), None),
    "grey.jpg": (encode(RGB.convert("L"), "JPEG"), None),
    "turned.jpg": (turned("JPEG"), None),
    "1x1.jpg": (encode(RGB.crop((5, 5, 6, 6)), "JPEG"), None),
    "bytes behind it.jpg": (encode(RGB, "JPEG") + b"\0" * 100, None),
    "a png.jpg": (encode(RGB, "PNG"), PICTURE),
    "plain.png": (encode(RGB, "PNG"), PICTURE),
    "a jpeg.png": (encode(RGB, "JPEG"), None),
    "alpha.png": (encode(RGBA, "PNG"), PICTURE),
    "grey.png": (encode(RGB.getchannel(0), "PNG"), grey(PICTURE[..., 0])),
    "grey and alpha.png": (encode(RGB.convert("LA"), "PNG"), None),
    "palette.png": (encode(RGB.convert("P"), "PNG"), None),
    "transparent palette.png": (encode(RGB.convert("P"), "PNG", transparency=3), None),
    "1 bit.png": (encode(RGB.convert("1"), "PNG"), None),
    "16 bits.png": (encode(Image.fromarray(DEEP), "PNG"), stretched(DEEP)),
    "16 bits in colour.png": (
        cv2.imencode(".png", PICTURE[..., ::-1].astype(np.uint16) * 50)[1].tobytes(),
        stretched(PICTURE.astype(np.uint16) * 50),
    ),
    "turned.png": (turned("PNG"), PICTURE),
    "1x1.png": (encode(RGB.crop((5, 5, 6, 6)), "PNG"), None),
    "bytes behind it.png": (encode(RGB, "PNG") + b"\0" * 100, PICTURE),
    "plain.bmp": (encode(RGB, "BMP"), PICTURE),
    "palette.bmp": (encode(RGB.convert("P"), "BMP"), None),
    "grey.bmp": (encode(RGB.getchannel(0), "BMP"), grey(PICTURE[..., 0])),
    "lossy.webp": (encode(RGB, "WEBP"), None),
    "lossless.webp": (encode(RGB, "WEBP", lossless=True), PICTURE),
    "alpha.webp": (encode(RGBA, "WEBP", lossless=True, exact=True), PICTURE),
    "turned.webp": (turned("WEBP"), PICTURE),
    "plain.tif": (encode(RGB, "TIFF"), PICTURE),
    "lzw.tif": (encode(RGB, "TIFF", compression="tiff_lzw"), PICTURE),
    "jpeg.tif": (encode(RGB, "TIFF", compression="jpeg"), None),
    "grey.tif": (encode(RGB.getchannel(0), "TIFF"), grey(PICTURE[..., 0])),
    "16 bits.tif": (encode(Image.fromarray(DEEP), "TIFF"), stretched(DEEP)),
    "floats.tif": (
        encode(Image.fromarray(DEEP.astype(np.float32) / 7), "TIFF"),
        stretched(DEEP.astype(np.float32) / 7),
    ),
    "plain.ppm": (encode(RGB, "PPM"), PICTURE),
    "grey.pgm": (encode(RGB.getchannel(0), "PPM"), grey(PICTURE[..., 0])),
    "16 bits.pgm": (b"P5\n96 72\n65535\n" + DEEP.astype(">u2").tobytes(), stretched(DEEP)),
}

REFUSED = {  # name -> (bytes, words)
    "empty.jpg": (b"", "0 bytes"),
    "html.jpg": (b"<!doctype html><html>404</html>", "not an image"),
    "lfs.jpg": (b"version https://git-lfs.github.com/spec/v1\n", "not an image"),
    "zeros.png": (b"\0" * 5000, "not an image"),
    "only the beginning.jpg": (b"\xff\xd8\xff", "JPEG"),
    "cmyk.jpg": (encode(RGB.convert("CMYK"), "JPEG"), "CMYK"),
    "huge.jpg": (
        encode(RGB, "JPEG").replace(b"\0\x48\0\x60", b"\xff\xdc\xff\xdc"),  # height and width in its header
        "more than this program reads",
    ),
    "huge.png": (
        encode(RGB, "PNG")[:16] + b"\0\0\x4e\x20" * 2 + encode(RGB, "PNG")[24:],
        "more than this program reads",
    ),
    "another checksum.png": (encode(RGB, "PNG").replace(b"IEND\xaeB`\x82", b"IEND\xaeB`\x83"), "PNG"),
    "cmyk.tif": (encode(RGB.convert("CMYK"), "TIFF"), "CMYK"),
    "alpha.tif": (encode(RGBA, "TIFF"), "alpha"),
    "phone.jpg": (b"\0\0\0\x18ftypheic" + b"\0" * 99, "a HEIC photograph"),
    "video.jpg": (b"\0\0\0\x18ftypisom" + b"\0" * 99, "a video, not an image"),
    "xl.jpg": (b"\0\0\0\x0cJXL \r\n\x87\n" + b"\0" * 99, "a JPEG XL image"),
    "paper.jpg": (b"%PDF-1.7\n", "a PDF"),
    "7 bits.pgm": (b"P5\n96 72\n127\n" + (PICTURE[..., 0] >> 1).tobytes(), "expected 255 or 65535"),
    "14 bits.pgm": (b"P5 # thermal\n96 72\n16383\n" + (DEEP >> 2).astype(">u2").tobytes(), "expected 255 or 65535"),
}

TRUNCATED = ("baseline.jpg", "progressive.jpg", "plain.png", "plain.bmp", "lossy.webp", "plain.tif", "plain.ppm")
PLACES = 20


def frames_of(folder, files):
    """The files {name: bytes} as the frames of one video."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return ImageFrames(open_storage(folder), files)


def test_the_corpus_is_as_large_as_promised():
    assert len(SUPPORTED) >= 35 and len(SUPPORTED) + len(REFUSED) + PLACES * len(TRUNCATED) >= 40 + 140


def each_decoder(names):
    """[(name, whether jpeg4py is to be missing)]: JPEGs have two decoders."""
    return [(name, missing) for name in names for missing in (False, True) if not missing or name.endswith(".jpg")]


@pytest.mark.parametrize(("name", "without_jpeg4py"), each_decoder(SUPPORTED))
def test_supported_kinds_equal_the_reference(tmp_path, monkeypatch, name, without_jpeg4py):
    if without_jpeg4py:
        monkeypatch.setattr(images, "_jpeg4py", lambda: None)
    data, expected = SUPPORTED[name]
    (frame,) = frames_of(tmp_path, {name: data})
    assert frame.dtype == np.uint8 and frame.flags.c_contiguous
    expected = reference(data) if expected is None else expected
    tolerance = 1 if images.is_deep(data) else 0  # of rounding halves
    assert np.abs(frame.astype(int) - expected).max() <= tolerance


@pytest.mark.parametrize("name", REFUSED)
def test_other_kinds_are_refused_by_name(tmp_path, name):
    data, words = REFUSED[name]
    with pytest.raises(FrameError) as error:
        frames_of(tmp_path, {name: data})[0]
    message = str(error.value)
    assert message.startswith(f"{tmp_path / name}: ") and words in message and message.isprintable()


@pytest.mark.parametrize(("name", "without_jpeg4py"), each_decoder(TRUNCATED))
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path, monkeypatch, name, without_jpeg4py):
    if without_jpeg4py:
        monkeypatch.setattr(images, "_jpeg4py", lambda: None)
    data, _ = SUPPORTED[name]
    ends = {*np.linspace(0, len(data) - 1, PLACES - 3).astype(int).tolist(), 1, len(data) - 2, len(data) - 3}
    assert len(ends) >= PLACES
    for end in ends:
        with pytest.raises(FrameError):
            frames_of(tmp_path, {name: data[:end]})[0]


def test_frames_that_are_no_files_or_of_another_size(tmp_path):
    good, _ = SUPPORTED["baseline.jpg"]
    frames = frames_of(tmp_path, {"1.jpg": good, "2.jpg": encode(RGB.crop((0, 0, 95, 72)), "JPEG"), "3.jpg": good})
    (tmp_path / "4.jpg").mkdir()
    (tmp_path / "5.jpg").symlink_to("6.jpg")
    frames.names += ["4.jpg", "5.jpg", "6.jpg", "a\0b.jpg", "a" * 300 + ".jpg"]
    for index in (0, 2):
        assert np.array_equal(frames[index], reference(good))
    for index, words in enumerate(
        ("has 95 x 72 px, the others 96 x 72", None, "directory", "No such", "No such", "null byte", "too long"), 1
    ):
        if words:
            for look in (frames.__getitem__, frames.partial):
                with pytest.raises(FrameError, match=words):
                    look(index)


@pytest.mark.parametrize("source", ["", "999999999999999999", "a" * 300, "a\0b", "a\nb", "~nobody/x"])
def test_names_of_no_frames(tmp_path, monkeypatch, source):
    from lib.errors import UserError

    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        open_frames(source)
    assert str(error.value).isprintable()


def flips(data, count=200):
    """`data` with one bit flipped, at `count` places."""
    random = np.random.default_rng(1)
    for place, bit in zip(random.integers(2, len(data), count), random.integers(0, 8, count), strict=True):
        flipped = bytearray(data)
        flipped[place] ^= 1 << bit
        yield bytes(flipped)


@pytest.mark.parametrize("name", ["baseline.jpg", "progressive.jpg", "lossy.webp", "plain.png"])
def test_a_flipped_bit_is_refused_or_gives_a_picture_of_that_size(tmp_path, name):
    """Only a format with checksums can tell: every flip in a PNG is refused.

    Of 200 flips in this baseline JPEG 26 are refused, 42 change nothing, and 132 decode to other pixels without a
    warning of libjpeg's: what is promised there is a frame of the right size, or an error.
    """
    data, expected = SUPPORTED[name]
    whole = reference(data) if expected is None else expected
    counts = collections.Counter()
    for flipped in flips(data):
        frames = frames_of(tmp_path, {"1": data, "2": flipped})
        assert np.array_equal(frames[0], whole)
        try:
            frame = frames[1]
        except FrameError:
            counts["refused"] += 1
        else:
            assert frame.shape == whole.shape and frame.dtype == np.uint8
            counts["same" if np.array_equal(frame, whole) else "other pixels"] += 1
    print(name, dict(counts))
    assert sum(counts.values()) == 200
    assert name != "plain.png" or counts["refused"] == 200


def test_both_jpeg_decoders_refuse_the_same_flips(monkeypatch):
    if images._jpeg4py() is None:
        pytest.skip("libturbojpeg is not installed: there is only one decoder here")
    data = SUPPORTED["baseline.jpg"][0]
    found = []
    for decoder in (images._jpeg4py(), None):
        monkeypatch.setattr(images, "_jpeg4py", lambda decoder=decoder: decoder)
        found.append([_checksum(flipped) for flipped in flips(data)])
    assert found[0] == found[1]


def _checksum(data):
    try:
        return zlib.crc32(images.decode(data, "x"))
    except FrameError:
        return None


def test_a_region_of_a_flipped_jpeg_is_that_of_the_whole():
    """libjpeg's own calls, used for regions, survive every flip and decode nothing that the whole would not show."""
    data, _ = SUPPORTED["baseline.jpg"]
    compared = 0
    for flipped in flips(data):
        try:
            region = images.decode_region(flipped, "x", 20, 10, 60, 50)
            whole = images.decode(flipped, "x")
        except FrameError:
            continue
        assert np.array_equal(region, whole[10:50, 20:60])
        compared += 1
    assert compared > 100
