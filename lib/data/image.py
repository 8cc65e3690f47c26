"""Decoding one frame, strictly: a truncated or damaged image is an error, never a half-grey picture.

OpenCV alone returns a full-size picture for a truncated JPEG and says nothing, so JPEG goes through libjpeg-turbo:
jpeg4py where its system library is installed, else simplejpeg, which brings its own. Both give the same pixels.
"""

import functools
import re

import cv2
import numpy as np

from ..errors import FrameError
from .depth import stretch_of
from .jpeg_region import MAX_PIXELS, libjpeg, scan_start

BLOCKS, ROWS = 64, 4  # a frame's brightness is averaged in at most so many blocks a side, from so many rows of each
DECAY = 0.9  # share of the frames before in the brightness, so that a gate does not flicker
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
TIFF = (b"II*\0", b"MM\0*")
PNG_END = b"IEND\xaeB`\x82"  # the last chunk's name and checksum
PNM_LARGEST = re.compile(rb"P[56](?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+\d+(?:\s|#[^\n]*\n)+(\d{1,9})")


def decode(data, name, stretch=None):
    """Decode an image file's bytes, as stored: what EXIF says of how to hold it is for `turned`.

    Grey becomes three equal channels, alpha is dropped.

    Args:
        data (bytes): of the file.
        name (path): names it in errors.
        stretch (depth.Stretch): how more than 8 bits become 8; None for an image on its own, which gets its own.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        FrameError: empty, truncated, damaged or no image, or of a kind that OpenCV is known to decode to other pixels.
            Damage that leaves a valid file cannot be seen: a flipped bit in a JPEG often does so.
    """
    if is_deep(data):
        values = deep_values(data, name)
        picture = (stretch or stretch_of(values, name))(values)
        return picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    _check(data, name)
    if data[:2] == b"\xff\xd8":
        return _decode_jpeg(data, name)
    return _imdecode(data, name, cv2.IMREAD_COLOR_RGB)


def is_deep(data):
    """Whether an image file's bytes hold more than 8 bits a value, as far as its header tells."""
    if data[:4] == b"\x89PNG":
        return data[24:25] == b"\x10"
    if data[:4] in TIFF:
        (bits, *_), (form, *_) = tiff_tag(data, 258) or (1,), tiff_tag(data, 339) or (1,)
        return bits > 8 or form > 1
    largest = PNM_LARGEST.match(data)
    return bool(largest) and int(largest[1]) == 65535


def deep_values(data, name):
    """The values of an image for which `is_deep`: (H, W) or RGB (H, W, 3), of any type. Raises FrameError."""
    _check(data, name)
    values = _imdecode(data, name, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR)
    return values if values.ndim == 2 else values[..., ::-1]


def _check(data, name):
    """Raise FrameError for what OpenCV would decode to a wrong picture without a word."""
    if not data:
        raise FrameError("the image is empty (0 bytes)", name)
    if data[:4] == b"\x89PNG":
        width, height = (int.from_bytes(data[place : place + 4], "big") for place in (16, 20))
        if width * height > MAX_PIXELS:
            raise FrameError(f"{width} x {height} pixels are more than this program reads in one frame", name)
        if PNG_END not in data:
            raise FrameError("truncated PNG", name)
    largest = PNM_LARGEST.match(data)
    if largest and int(largest[1]) not in (255, 65535):  # OpenCV reads the values as if it were
        raise FrameError(f"a PNM of values up to {int(largest[1])}: expected 255 or 65535", name)
    if data[:4] in TIFF and _imdecode(data, name, cv2.IMREAD_UNCHANGED).shape[2:] == (4,):
        raise FrameError("a TIFF with alpha or in CMYK: convert it to RGB", name)  # OpenCV multiplies alpha into it


def _imdecode(data, name, flags):
    data = _as_stored(data) if data[:4] in TIFF else data
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(f"not an image: {error.err or error}", name) from error
    if image is None:
        raise FrameError(_what_it_is(data), name)
    return image


def _what_it_is(data):
    """What to call bytes that OpenCV does not decode."""
    brand = data[8:12] if data[4:8] == b"ftyp" else b""
    text = data[:64].lstrip()[:5].lower()
    kinds = {
        "a HEIC photograph (of a phone): convert it to JPEG": brand in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"),
        "an AVIF image that this OpenCV cannot decode: convert it to PNG or JPEG": brand in (b"avif", b"avis"),
        "a video, not an image": bool(brand),
        "a JPEG XL image: convert it to PNG or JPEG": data[:2] == b"\xff\x0a" or data[4:8] == b"JXL ",
        "not an image but a PDF": data[:5] == b"%PDF-",
        "not an image but a web page or drawing (SVG)": text in (b"<!doc", b"<html", b"<svg ", b"<?xml"),
        "not an image but a Git LFS pointer: fetch the file itself": data.startswith(b"version https://git-lfs"),
        "a camera's raw file: convert it to PNG or JPEG": data[:4] in TIFF and data[8:10] in (b"CR", b"\x1a\0"),
    }
    named = next((kind for kind, is_it in kinds.items() if is_it), None)
    return named or f"not an image, or a damaged one: it begins with {data[:8]!r}"


def orientation(data):
    """What the EXIF data in a JPEG, PNG, WebP or TIFF says of how to hold the picture: 1 (as stored) to 8."""
    exif = _exif(data)
    value = tiff_tag(exif, 274) if exif[:4] in TIFF else None
    return value[0] if value and 1 <= value[0] <= 8 else 1


def turned(image, way):
    """A picture (H, W, ...) as a viewer shows it. way: 1 to 8, see `orientation`."""
    if way in (5, 6, 7, 8):
        image = image.swapaxes(0, 1)
    if way in (3, 4, 7, 8):
        image = image[::-1]
    if way in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def _exif(data):
    """The TIFF structure of an image's EXIF data, b"" where there is none."""
    if data[:4] in TIFF:
        return data
    if data[:2] == b"\xff\xd8":
        place = 2
        while data[place : place + 1] == b"\xff" and place + 4 <= len(data) and data[place + 1] not in (0xDA, 0xD9):
            length = int.from_bytes(data[place + 2 : place + 4], "big")
            if data[place + 1] == 0xE1 and data[place + 4 : place + 10] == b"Exif\0\0":
                return data[place + 10 : place + 2 + length]
            place += 2 + length
    chunks = {b"\x89PNG": (8, b"eXIf", "big", 12), b"RIFF": (12, b"EXIF", "little", 8)}
    if data[:4] in chunks:
        place, wanted, order, overhead = chunks[data[:4]]
        while place + 8 <= len(data):
            head = data[place : place + 8]
            kind, size = (head[4:], head[:4]) if order == "big" else (head[:4], head[4:])
            length = int.from_bytes(size, order)
            if kind == wanted:
                return data[place + 8 : place + 8 + length].removeprefix(b"Exif\0\0")
            place += overhead + length + (length % 2 if order == "little" else 0)
    return b""


def tiff_tag(data, wanted):
    """The integers of one tag in the first directory of a TIFF, None where it is not there or not whole."""
    found = _tiff_field(data, wanted)
    if found is None:
        return None
    start, size, count = found
    order = "little" if data[:2] == b"II" else "big"
    return tuple(int.from_bytes(data[start + size * i :][:size], order) for i in range(count))


def _tiff_field(data, wanted):
    """(where its values begin, bytes of each, how many) of one tag in the first directory of a TIFF, or None."""
    order = "little" if data[:2] == b"II" else "big"

    def number(place, size):
        return int.from_bytes(data[place : place + size], order)

    place = number(4, 4)
    for entry in range(place + 2, place + 2 + 12 * number(place, 2), 12):
        if entry + 12 > len(data):
            return None
        if number(entry, 2) == wanted:
            size, count = {1: 1, 3: 2, 4: 4}.get(number(entry + 2, 2)), number(entry + 4, 4)
            if size is None or not 0 < count <= 64:
                return None
            start = entry + 8 if size * count <= 4 else number(entry + 8, 4)
            return (start, size, count) if start + size * count <= len(data) else None
    return None


def _as_stored(data):
    """A TIFF's bytes without its orientation, which OpenCV heeds whatever it is told."""
    found = _tiff_field(data, 274)
    if found is None:
        return data
    start, size, _ = found
    return data[:start] + (1).to_bytes(size, "little" if data[:2] == b"II" else "big") + data[start + size :]


def image_size(data, name):
    """(width, height) px of an image file's bytes, as stored; of a JPEG or PNG only the header is read.

    Raises FrameError.
    """
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
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


def frame_order(names):
    """The names of a folder's frames in the order of their numbers.

    Numbers may be decimal, negative (frames before an event) or hexadecimal: of a count in sixteens, some names have
    digits alone and more than a third have letters.
    """
    stems = [name.rpartition("/")[2].rpartition(".")[0] for name in names]
    digits = sum(stem.isdecimal() for stem in stems)
    if any(stem.startswith("-") for stem in stems) and all(re.fullmatch(r"-?\d+", stem) for stem in stems):
        base = 10
    elif all(re.fullmatch(r"[0-9a-fA-F]+", stem) for stem in stems) and 0 < digits < 0.7 * len(stems):
        base = 16
    else:
        return sorted(names, key=natural_key)
    return [name for _, name in sorted((int(stem, base), name) for stem, name in zip(stems, names, strict=True))]


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
