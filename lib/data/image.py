"""Decoding one frame, strictly: a truncated or damaged image is an error, never a half-grey picture.

OpenCV alone returns a full-size picture for a truncated JPEG and says nothing, so JPEG goes through libjpeg-turbo:
jpeg4py where its system library is installed, else simplejpeg, which brings its own. Both give the same pixels.
"""

import contextlib
import ctypes
import functools
import importlib.util
import os
import re
import struct
import sys
from ctypes.util import find_library
from pathlib import Path

import cv2
import numpy as np

from lib.errors import FrameError

EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
MAX_PIXELS = 100_000_000


def decode(data, name):
    """Decode an image file's bytes -> (H, W, 3) uint8 RGB, as stored (EXIF rotation is not applied).

    Grey becomes three equal channels, alpha is dropped, 16 bits become 8. `name` (path) only names it in errors.
    Raises FrameError for bytes that are empty, truncated, damaged or not an image.
    """
    if not data:
        raise FrameError("the image is empty (0 bytes)", name)
    if data[:2] == b"\xff\xd8":
        return _decode_jpeg(data, name)
    if data[:4] == b"\x89PNG" and b"IEND" not in data[-16:]:
        raise FrameError("truncated PNG", name)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise FrameError(f"not an image: {error.err or error}", name) from error
    if image is None:
        raise FrameError(f"not an image: it begins with {data[:8]!r}", name)
    return image


def read_image(path):
    """Read and decode an image file -> (H, W, 3) uint8 RGB. Raises FrameError."""
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise FrameError(f"cannot be read: {error.strerror}", path) from error
    return decode(data, path)


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


def decode_region(data, name, x0, y0, x1, y1):
    """Rows y0:y1 and columns x0:x1 of decode(data, name), cut to the image: the same pixels.

    Of a baseline JPEG only what lies near them is decoded, where a libjpeg is found that can do so; one frame of
    1920 x 1080 px then takes a third of the time or less. Raises FrameError as decode does.
    """
    if x0 >= x1 or y0 >= y1 or _libjpeg() is None or _scan_start(data) is None or b"\xff\xd9" not in data[-64:]:
        part = None
    else:
        part = _libjpeg().region(data, max(x0, 0), max(y0, 0), x1, y1)
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
    """jpeg4py's decoder class, or None where libturbojpeg is not installed (its import alone does not tell)."""
    import jpeg4py

    try:
        jpeg4py._cffi.initialize()
    except OSError:
        return None
    return jpeg4py.JPEG


def _scan_start(data):
    """Where the pixels begin in a baseline JPEG of one scan that libjpeg accepts, 8 bits, grey or three colours."""
    at, colours, size = 2, 0, 0
    while data[at : at + 1] == b"\xff" and at + 10 <= len(data):
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (0xC0, 0xC1):
            size = at + 5
            fine = data[at + 4] == 8 and all(0 < side <= 65500 for side in struct.unpack(">HH", data[size : size + 4]))
            colours = data[at + 9] if fine else 0
        elif marker == 0xDA:
            end = at + 2 + length
            simple = colours in (1, 3) and data[at + 4] == colours
            return end if simple and _accepted(data[:size] + b"\0\x10\0\x10" + data[size + 4 : end]) else None
        elif marker < 0xC4 or 0xC4 < marker < 0xDA:  # progressive, arithmetic, lossless, or nothing with a length
            return None
        at += 2 + length
    return None


@functools.lru_cache(maxsize=256)  # the frames of one video have one header
def _accepted(header):
    """Whether libjpeg finds no fault with this header, tried on an image of 16 x 16 px that ends where data begin."""
    import simplejpeg

    try:
        simplejpeg.decode_jpeg(header + b"\0\xff\xd9")
    except ValueError as error:
        return str(error) == "Corrupt JPEG data: premature end of data segment"
    return False


class _Decompress(ctypes.Structure):
    """The beginning of libjpeg's jpeg_decompress_struct, which is the same in its interfaces 6.2 and 8."""

    _fields_ = [
        ("err", ctypes.c_void_p),
        ("unused_1", ctypes.c_void_p * 3),
        ("state", ctypes.c_int * 2),
        ("src", ctypes.c_void_p),
        ("image_width", ctypes.c_uint),
        ("image_height", ctypes.c_uint),
        ("num_components", ctypes.c_int),
        ("jpeg_color_space", ctypes.c_int),
        ("out_color_space", ctypes.c_int),
        ("scale", ctypes.c_uint * 2),
        ("output_gamma", ctypes.c_double),
        ("unused_2", ctypes.c_int * 10),
        ("output_width", ctypes.c_uint),
        ("output_height", ctypes.c_uint),
        ("out_color_components", ctypes.c_int),
        ("output_components", ctypes.c_int),
        ("rest", ctypes.c_byte * 4096),
    ]


class _Errors(ctypes.Structure):
    """libjpeg's jpeg_error_mgr."""

    _fields_ = [
        ("error_exit", ctypes.c_void_p),
        ("emit_message", ctypes.c_void_p),
        ("output_message", ctypes.c_void_p),
        ("unused", ctypes.c_void_p * 2),
        ("code", ctypes.c_int),
        ("parameters", ctypes.c_int * 20),
        ("trace_level", ctypes.c_int),
        ("num_warnings", ctypes.c_long),
        ("rest", ctypes.c_byte * 1024),
    ]


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_RGB = 2  # JCS_RGB
_MARGIN = 32  # px decoded around a region: its rim would differ by the smoothing of colours across blocks


class _LibJpeg:
    """libjpeg-turbo's skipping of rows and cropping of columns.

    A fatal error of libjpeg must not return, which a callback written in Python cannot do. Hence nothing is given to it
    whose header was not accepted elsewhere before; what goes wrong in the pixels is a warning, and counted.
    """

    def __init__(self, path):
        self.library = ctypes.CDLL(str(path))
        if not all(
            hasattr(self.library, name) for name in ("jpeg_crop_scanline", "jpeg_skip_scanlines", "jpeg_mem_src")
        ):
            raise OSError("not libjpeg-turbo")
        self.library.jpeg_std_error.restype = ctypes.c_void_p
        self.silent, self.fatal = _CALLBACK(lambda _: None), _CALLBACK(_fatal)
        self.version = self.structure = 0
        # Asked for version 0 and a structure of 0 bytes it says which it has: errors are not fatal yet.
        self.version = self._ask(0)
        self.structure = self._ask(1)
        if self.version not in (62, 80) or not 600 < self.structure < 1000:
            raise OSError(f"libjpeg {self.version} with a structure of {self.structure} bytes is not known here")

    def _ask(self, which):
        answers = []
        errors = self._errors()
        note = _CALLBACK(lambda _: answers.append(errors.parameters[0]))
        errors.error_exit = ctypes.cast(note, ctypes.c_void_p)
        state = _Decompress(err=ctypes.addressof(errors))
        size = ctypes.c_size_t(ctypes.sizeof(_Decompress) if which == 0 else 0)
        self.library.jpeg_CreateDecompress(ctypes.byref(state), self.version, size)
        self.library.jpeg_destroy_decompress(ctypes.byref(state))
        return answers[0] if answers else 0

    def _errors(self):
        errors = _Errors()
        self.library.jpeg_std_error(ctypes.byref(errors))
        errors.output_message = ctypes.cast(self.silent, ctypes.c_void_p)
        errors.error_exit = ctypes.cast(self.fatal, ctypes.c_void_p)
        return errors

    def region(self, data, x0, y0, x1, y1):
        """(rows, columns, 3) uint8 RGB of a JPEG whose header is in order, or None where its pixels are damaged."""
        library, errors = self.library, self._errors()
        state = _Decompress(err=ctypes.addressof(errors))
        pointer = ctypes.byref(state)
        library.jpeg_CreateDecompress(pointer, self.version, ctypes.c_size_t(self.structure))
        try:
            library.jpeg_mem_src(pointer, ctypes.c_char_p(data), ctypes.c_ulong(len(data)))
            library.jpeg_read_header(pointer, 1)
            x1, y1 = min(x1, state.image_width), min(y1, state.image_height)
            if x0 >= x1 or y0 >= y1 or state.image_width * state.image_height > MAX_PIXELS:
                return None
            grey = state.num_components == 1
            if not grey:
                state.out_color_space = _RGB
            library.jpeg_start_decompress(pointer)
            left = ctypes.c_uint(max(x0 - _MARGIN, 0))
            width = ctypes.c_uint(min(x1 + _MARGIN, state.image_width) - left.value)
            library.jpeg_crop_scanline(pointer, ctypes.byref(left), ctypes.byref(width))
            top = max(y0 - _MARGIN, 0)
            if top:
                library.jpeg_skip_scanlines(pointer, top)
            part = np.empty((y1 - top, width.value, 1 if grey else 3), np.uint8)
            rows = part.ctypes.data + np.arange(len(part), dtype=np.uintp) * part.strides[0]
            done = 0
            while done < len(part) and not errors.num_warnings:
                read = library.jpeg_read_scanlines(pointer, ctypes.c_void_p(rows[done:].ctypes.data), len(part) - done)
                done += read
                if not read:
                    return None
            if errors.num_warnings:
                return None
        finally:
            library.jpeg_destroy_decompress(pointer)
        part = part[y0 - top :, x0 - left.value : x1 - left.value]
        return cv2.cvtColor(part, cv2.COLOR_GRAY2RGB) if grey else part


def _fatal(_):
    print("lunar: error: libjpeg cannot go on, most likely for lack of memory", file=sys.stderr, flush=True)
    os._exit(3)


@functools.cache
def _libjpeg():
    """The first libjpeg-turbo that can decode regions, or None: torchvision brings one, else the system's."""
    package = importlib.util.find_spec("torchvision")
    places = sorted(Path(package.origin).parents[1].glob("torchvision.libs/libjpeg*")) if package else []
    for place in (*places, find_library("jpeg")):
        with contextlib.suppress(OSError):
            if place:
                return _LibJpeg(place)
    return None


def encode_jpeg(image, quality=90):
    """(H, W, 3) uint8 RGB -> JPEG bytes."""
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=quality, colorspace="RGB")


def natural_key(name):
    """Sort key under which 2.jpg comes before 10.jpg."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", str(name))]
