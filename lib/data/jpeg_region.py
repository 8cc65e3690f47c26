"""Decoding only a region of a JPEG, through libjpeg-turbo's own library (ctypes): rows skipped, columns cut."""

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

MAX_PIXELS = 100_000_000


def scan_start(data):
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
        ("unused_2", ctypes.c_int * 12),
        ("output_width", ctypes.c_uint),
        ("output_height", ctypes.c_uint),
        ("out_color_components", ctypes.c_int),
        ("output_components", ctypes.c_int),
        ("unused_3", ctypes.c_int * 2),
        ("unused_4", ctypes.c_void_p),
        ("output_scanline", ctypes.c_uint),
        ("rest", ctypes.c_byte * 4096),
    ]


class _Source(ctypes.Structure):
    """The beginning of libjpeg's jpeg_source_mgr."""

    _fields_ = [("next_input_byte", ctypes.c_void_p), ("bytes_in_buffer", ctypes.c_size_t)]


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
_MARKER = re.compile(rb"\xff([^\x00\xff])")
_MARGIN = 32  # px decoded around a region: its rim would differ by the smoothing of colours across blocks


class LibJpeg:
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

    def region(self, data, x0, y0, x1, y1, checked=False):
        """(rows, columns, 3) uint8 RGB of a JPEG whose header is in order, or None where its pixels are damaged.

        checked: also where that shows only after the region's last row.
        """
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
            first, done = rows.ctypes.data, 0
            while done < len(part) and not errors.num_warnings:
                row = ctypes.c_void_p(first + done * rows.itemsize)
                read = library.jpeg_read_scanlines(pointer, row, len(part) - done)
                done += read
                if not read:
                    return None
            if errors.num_warnings or (checked and not self._sound_to_the_end(state, errors, part[0].size)):
                return None
        finally:
            library.jpeg_destroy_decompress(pointer)
        part = part[y0 - top :, x0 - left.value : x1 - left.value]
        return cv2.cvtColor(part, cv2.COLOR_GRAY2RGB) if grey else part

    def _sound_to_the_end(self, state, errors, row_bytes):
        """Whether the rows that are left, and the end after them, are in order."""
        library, pointer = self.library, ctypes.byref(state)
        left = state.image_height - state.output_scanline
        if left:
            library.jpeg_skip_scanlines(pointer, left - 1)  # all of them would be left out undecoded
            last = ctypes.create_string_buffer(row_bytes)
            library.jpeg_read_scanlines(pointer, ctypes.byref(ctypes.c_void_p(ctypes.addressof(last))), 1)
        if errors.num_warnings or state.output_scanline != state.image_height:
            return False
        source = ctypes.cast(state.src, ctypes.POINTER(_Source)).contents
        # The next marker may have been read already. Any but the image's end might be a fatal error.
        rest = ctypes.string_at(source.next_input_byte - 2, source.bytes_in_buffer + 2)
        marker = _MARKER.search(rest)
        if marker is None or marker[1] != b"\xd9":
            return False
        library.jpeg_finish_decompress(pointer)
        return not errors.num_warnings


def _fatal(_):
    print("lunar: error: libjpeg cannot go on, most likely for lack of memory", file=sys.stderr, flush=True)
    os._exit(3)


@functools.cache
def libjpeg():
    """The first libjpeg-turbo that can decode regions, or None: torchvision brings one, else the system's."""
    package = importlib.util.find_spec("torchvision")
    places = sorted(Path(package.origin).parents[1].glob("torchvision.libs/libjpeg*")) if package else []
    for place in (*places, find_library("jpeg")):
        with contextlib.suppress(OSError):
            if place:
                return LibJpeg(place)
    return None
