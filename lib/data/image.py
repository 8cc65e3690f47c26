"""Decoding one frame, strictly: a truncated or damaged image is an error, never a half-grey picture.

OpenCV alone returns a full-size picture for a truncated JPEG and says nothing, so JPEG goes through libjpeg-turbo:
jpeg4py where its system library is installed, else simplejpeg, which brings its own. Both give the same pixels.
"""

import functools
import re

import cv2
import numpy as np

from ..errors import FrameError
from .jpeg_region import MAX_PIXELS, libjpeg, scan_start

BLOCKS, ROWS = 64, 4  # a frame's brightness is averaged in at most so many blocks a side, from so many rows of each
DECAY = 0.9  # share of the frames before in the brightness, so that a gate does not flicker
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
PNG_END = b"IEND\xaeB`\x82"  # the last chunk's name and checksum
PNM_LARGEST = re.compile(rb"P[56](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d{1,9})")


def decode(data, name):
    """Decode an image file's bytes -> (H, W, 3) uint8 RGB, as stored (EXIF rotation is not applied).

    Grey becomes three equal channels, alpha is dropped, 16 bits become 8. `name` (path) only names it in errors.
    Raises FrameError for bytes that are empty, truncated, damaged or not an image, or of a kind that OpenCV is known to
    decode to other pixels. Damage that leaves a valid file cannot be seen: a flipped bit in a JPEG often does so.
    """
    if not data:
        raise FrameError("the image is empty (0 bytes)", name)
    if data[:2] == b"\xff\xd8":
        return _decode_jpeg(data, name)
    if data[:4] == b"\x89PNG":
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
        if width * height > MAX_PIXELS:
            raise FrameError(f"{width} x {height} pixels are more than this program reads in one frame", name)
        if PNG_END not in data:
            raise FrameError("truncated PNG", name)
    largest = PNM_LARGEST.match(data)
    if largest and int(largest[1]) not in (255, 65535):  # OpenCV reads the values as if it were
        raise FrameError(f"a PNM of values up to {int(largest[1])}: expected 255 or 65535", name)
    if data[:4] in (b"II*\0", b"MM\0*") and _imdecode(data, name, cv2.IMREAD_UNCHANGED).shape[2:] == (4,):
        raise FrameError("a TIFF with alpha or in CMYK: convert it to RGB", name)  # OpenCV multiplies alpha into it
    return _imdecode(data, name, cv2.IMREAD_COLOR_RGB)


def _imdecode(data, name, flags):
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(f"not an image: {error.err or error}", name) from error
    if image is None:
        raise FrameError(f"not an image, or a damaged one: it begins with {data[:8]!r}", name)
    return image


def image_size(data, name):
    """(width, height) px of an image file's bytes; of a JPEG only the header is read. Raises FrameError."""
    if data[:2] != b"\xff\xd8":
        return decode(data, name).shape[1::-1]
    import simplejpeg

    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise FrameError(f"damaged JPEG: {str(error).splitlines()[0]}", name) from error
    return width, height


def has_regions(data):
    """Whether decode_region saves work: a baseline JPEG that is not truncated, and a libjpeg here that can do so."""
    return libjpeg() is not None and scan_start(data) is not None and b"\xff\xd9" in data[-64:]


def decode_region(data, name, x0, y0, x1, y1, checked=False):
    """Rows y0:y1 and columns x0:x1 of decode(data, name), cut to the image: the same pixels.

    Where has_regions(data), what lies below them is not read and what lies beside and above them not turned into
    pixels: of 1920 x 1080 px, 320 x 320 take from a quarter of the time (at the top) to two thirds (at the bottom).
    Raises FrameError as decode does, with the same message. But a hole in the bytes often shows only at the end of the
    file, and these rows may be wrong for it: checked=True reads on to there, at the price of rows at the bottom.
    """
    part = None
    if x0 < x1 and y0 < y1 and has_regions(data):
        part = libjpeg().region(data, max(x0, 0), max(y0, 0), x1, y1, checked)
    if part is None:  # also whatever is damaged: it gets its error there
        part = decode(data, name)[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    return part


def _decode_jpeg(data, name):
    import simplejpeg

    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if height * width > MAX_PIXELS:
            raise FrameError(f"{width} x {height} pixels are more than this program reads in one frame", name)
        if colours in ("CMYK", "YCCK"):
            raise FrameError("a CMYK JPEG: convert it to RGB", name)
        if _jpeg4py() is not None:
            return _decode_with_jpeg4py(data)
        return simplejpeg.decode_jpeg(data, colorspace="RGB")
    except FrameError:
        raise
    except Exception as error:  # noqa: BLE001 -- both libraries raise whatever libjpeg says, as several types
        raise FrameError(
            f"damaged or truncated JPEG: {str(error).splitlines()[0] or type(error).__name__}", name
        ) from error


def _decode_with_jpeg4py(data):
    image = _jpeg4py()(np.frombuffer(data, np.uint8))
    try:
        return image.decode()
    except Exception:
        # It would be used again, and libjpeg-turbo 2.1 refuses every image after one of an unknown kind.
        image.decompressor.release()
        image.decompressor = None
        raise


@functools.cache
def _jpeg4py():
    """jpeg4py's decoder class, or None where it or libturbojpeg is not installed (its import alone does not tell)."""
    try:
        import jpeg4py

        jpeg4py._cffi.initialize()
    except (ImportError, OSError):
        return None
    return jpeg4py.JPEG


def encode_jpeg(image, quality=90):
    """(H, W, 3) uint8 RGB -> JPEG bytes."""
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB")


def natural_key(name):
    """Sort key under which 2.jpg comes before 10.jpg."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(name))]


def brightness(image, before=None):
    """Mean brightness of a video up to this frame (H, W, 3) uint8, in [0, 1]; the gate of an enhancer goes by it.

    Of a thumbnail, so that noise does not count as light: the largest channel, over what is not black. before: that of
    the last frame, None at the first.
    """
    image = image[:: max(1, image.shape[0] // (BLOCKS * ROWS))]
    height, width = image.shape[:2]
    down, across = -(-height // BLOCKS), -(-width // BLOCKS)
    size = width // across, height // down
    whole = image[: size[1] * down, : size[0] * across]  # blocks of one size, which OpenCV averages fastest
    thumbnail = cv2.resize(whole, size, interpolation=cv2.INTER_AREA).max(axis=2)
    now = float(thumbnail.sum() / max(1, np.count_nonzero(thumbnail))) / 255
    return now if before is None else DECAY * before + (1 - DECAY) * now
