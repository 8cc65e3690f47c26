"""Where frames come from: images of a storage (folder, zip, LMDB), a video file or a camera, behind one interface.

A frame source has len(frames) and frames[i] -> (H, W, 3) uint8 RGB, decoded once. Whoever only iterates over it also
serves a camera, which has no length, and a video, whose length is known when it ends. All frames of one source have
one size. A frame that cannot be decoded raises FrameError.
"""

import contextlib
import itertools
import logging
import os
import re
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from ..errors import FrameError, UserError
from . import image as images
from .depth import VARIABLE, stretch_of
from .storage import Folder, open_storage
from .video import STDIN, VIDEO_EXTENSIONS, VideoFrames, VideoStream

__all__ = [
    "VIDEO_EXTENSIONS", "CameraFrames", "ImageFrames", "OrderedFrames", "PartialFrame", "StreamFrames",
    "VideoFrames",    "expected_length", "image_names", "is_video", "open_frames", "partial_frame",
]  # fmt: skip

log = logging.getLogger(__name__)
_stretches: dict = {}
URL = re.compile(r"(rtsps?|rtmps?|https?|udp|tcp|srt|rtp|mms)://")

LIVE = re.compile(r"(rtsps?|rtmps?|udp|srt|rtp|mms)://")  # of these a lost stream can come back
TRIES, PAUSE = 5, 2.0  # how often a lost stream is opened again, and s before each time
WHOLE = 400 * 400  # px: of an image as small as a stored crop, decoding all costs less than decoding a part


class ImageFrames:
    """Image files of a storage, in the order of `names`.

    turn: whether they are turned as their EXIF data says, as viewers do. Benchmarks are not: their boxes are of the
    pixels as stored.
    """

    fps = 30.0

    def __init__(self, storage, names, turn=False):
        self.storage, self.names, self.turn = storage, list(names), turn
        self._size, self._stretch, self._looked = None, None, False

    def __len__(self):
        return len(self.names)

    def read(self, index):
        """The bytes of a frame's file, as they are. Raises FrameError."""
        try:
            return self.storage.read(self.names[index])
        except UserError as error:
            raise FrameError(str(error)) from error

    def __getitem__(self, index):
        return self._decode(index, self.read(index))

    def partial(self, index, checked=False):
        """The frame as a PartialFrame, its size read from the header; as its array where that would save nothing.

        That is: a small one, a truncated JPEG, any other format. checked: see PartialFrame. Raises FrameError as
        frames[index] does, but for damage among a JPEG's pixels, which is found when they are cut out.
        """
        data, name = self.read(index), self.storage.place(self.names[index])
        if not images.has_regions(data) or self._way(index, data) != 1:
            return self._decode(index, data)
        width, height = images.image_size(data, name)
        if width * height <= WHOLE:
            return self._decode(index, data)
        self._check_size(index, (width, height))
        return PartialFrame(data, name, (width, height), checked)

    def decode(self, index, data):
        """The picture of a frame's file, which may be of any size, unlike frames[index]. data: its bytes."""
        frame = images.decode(data, self.storage.place(self.names[index]), self._stretch_for(index, data))
        way = self._way(index, data)
        return frame if way == 1 else images.turned(frame, way)

    def _decode(self, index, data):
        frame = self.decode(index, data)
        self._check_size(index, frame.shape[1::-1])
        return frame

    def _stretch_for(self, index, data):
        """How the values of this frame become 8 bits, as those of the first one do; None where they are 8."""
        if not images.is_deep(data):
            return None
        if self._stretch is None:
            first = data if index == 0 else self.read(0)
            self._stretch = _stretch(first if images.is_deep(first) else data, self.storage.place(self.names[0]))
        return self._stretch

    def _way(self, index, data):
        """How the picture is to be turned, 1 to 8. The first one that is not as stored is said."""
        if self._looked and not self.turn:
            return 1
        way = images.orientation(data)
        if way != 1 and not self._looked:
            left = "its EXIF data says to turn it; boxes are taken to be of it as stored"
            what = "turned as its EXIF data says" if self.turn else left
            log.info("%s: %s", self.storage.place(self.names[index]), what)
        self._looked = True
        return way if self.turn else 1

    def _check_size(self, index, size):
        self._size = self._size or size
        if size != self._size:
            found, expected = (f"{width} x {height} px" for width, height in (size, self._size))
            raise FrameError(f"this frame has {found}, the others {expected}", self.storage.place(self.names[index]))


def _stretch(data, place):
    """The Stretch of the sequence whose first frame has these bytes: worked out, and said, once in a process."""
    key = str(place), zlib.crc32(data), os.environ.get(VARIABLE)
    if key not in _stretches:
        _stretches[key] = stretch_of(images.deep_values(data, place), place)
    return _stretches[key]


class PartialFrame:
    """An image file that stands for its (H, W, 3) uint8 RGB array and decodes only what is cut out: frame[a:b, c:d].

    The bounds are non-negative integers. Raises FrameError where the file is damaged; checked: the first time, wherever
    the damage is (lib.data.image.decode_region). seconds: spent in decoding so far. damaged: whether that raised.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, data, name, size, checked=False):
        self.data, self.name, self.shape = data, name, (size[1], size[0], 3)
        self._to_check = checked
        self.seconds, self.damaged = 0.0, False

    def __getitem__(self, part):
        rows, columns = part
        corners = columns.start, rows.start, columns.stop, rows.stop
        began = time.perf_counter()
        try:
            pixels = images.decode_region(self.data, self.name, *corners, self._to_check)
            self._to_check = False
            return pixels
        except FrameError:
            self.damaged = True
            raise
        finally:
            self.seconds += time.perf_counter() - began


class OrderedFrames:
    """Those frames of a frame source that `order` (range of their numbers) names, in its order."""

    def __init__(self, frames, order):
        self.frames, self.order = frames, order
        self.fps = frames.fps

    def __len__(self):
        return len(self.order)

    def __getitem__(self, index):
        return self.frames[self.order[index]]

    def partial(self, index, checked=False):
        """The frame as `partial_frame` gives it."""
        return partial_frame(self.frames, self.order[index], checked)


class CameraFrames:
    """A camera by its index: frames without end, until it stops delivering."""

    def __init__(self, index):
        self.index = index
        self._capture = cv2.VideoCapture(index)
        if not self._capture.isOpened():
            raise UserError(f"camera {index} cannot be opened")
        self.fps = self._capture.get(cv2.CAP_PROP_FPS) or 30.0

    def __iter__(self):
        while True:
            read, frame = self._capture.read()
            if not read:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)


class StreamFrames:
    """A stream of a network, such as rtsp://..., or the standard input ("-"): frames until it ends, without a length.

    A lost live stream (LIVE) is opened again, TRIES times, and goes on if its frames have the same size. Raises
    FrameError where a stream cannot be opened, or is lost for good; what came before is then read.
    """

    def __init__(self, url: str):
        self.url, self._stream = url, VideoStream(url)
        self.fps = self._stream.fps

    def __iter__(self) -> Iterator[np.ndarray]:
        size, frames = None, iter(self._stream)
        while True:
            try:
                frame = next(frames, None)
            except FrameError as error:
                if not LIVE.match(self.url):
                    raise
                frames = iter(self._again(error))
                continue
            if frame is None:
                return
            size = size or frame.shape
            if frame.shape != size:
                raise FrameError(f"the stream came back with {frame.shape[1]} x {frame.shape[0]} px", self.url)
            yield frame

    def _again(self, lost):
        """The stream, opened once more. Raises the error of its loss where it does not come back."""
        for attempt in range(1, TRIES + 1):
            log.warning("%s; opening it again, try %d of %d", lost, attempt, TRIES)
            time.sleep(PAUSE)
            with contextlib.suppress(FrameError):
                return VideoStream(self.url)
        raise lost


def open_frames(source, turn=True):
    """Open what a user names: a video file, a folder, zip or LMDB of frames, images as a pattern (`img_%04d.png`,
    `img_*.png`), a stream of a network (rtsp://, http://, udp://, ...), the standard input ("-"), or a camera's index.

    turn: images are turned as their EXIF data says. Raises UserError where there is nothing to open, naming what was
    expected.
    """
    path = Path(source)
    if URL.match(str(source)) or str(source) == STDIN:
        return StreamFrames(str(source))
    if not os.path.exists(path):  # unlike Path.exists, also for what can name no file
        names = _like(path)
        if names:
            return ImageFrames(Folder(path.parent), names, turn)
        if str(source).isdecimal() and len(str(source)) <= 4:
            return CameraFrames(int(source))
        raise UserError("no such video, folder of frames or camera", path)
    if path.is_dir() or zipfile.is_zipfile(path):
        storage = open_storage(path)
        for pattern in ("*", "img/*", "imgs/*", "*/*", "*/img/*"):
            names = image_names(storage, pattern)
            if names:
                return ImageFrames(storage, names, turn)
        raise UserError(
            f"no frames here: expected {', '.join(images.EXTENSIONS[:3])} ... files, or img/ with them", path
        )
    if path.suffix.lower() in images.EXTENSIONS:
        return ImageFrames(Folder(path.parent), [path.name], turn)
    return VideoFrames(path)


def _like(path):
    """Names of the images in a folder that a pattern fits, of numbers (%04d) or of any letters (*)."""
    pattern = re.sub(r"%0?\d*d", "*", path.name)
    if not any(letter in pattern for letter in "*?[") or not path.parent.is_dir():
        return []
    digits = re.compile(re.sub(r"%0?\\?\d*d", r"\\d+", re.escape(path.name).replace(r"\%", "%")))
    numbered = pattern != path.name
    names = image_names(Folder(path.parent), pattern)
    return [name for name in names if digits.fullmatch(name)] if numbered else names


def expected_length(frames):
    """How many frames a source is thought to have: for a video what its file claims; None where nobody knows."""
    if isinstance(frames, VideoFrames):
        return frames.claimed
    return None if isinstance(frames, CameraFrames | StreamFrames) else len(frames)


def partial_frame(frames, index, checked=False):
    """frames[index] for those who will look at a part of it: a PartialFrame where that saves decoding, else the array.

    Either serves as the image of lib.data.crop.Crop.extract, with the same result. checked: see PartialFrame.
    """
    return frames.partial(index, checked) if hasattr(frames, "partial") else frames[index]


def is_video(name):
    """Whether a file's name ends as a video's does."""
    return name.lower().endswith(VIDEO_EXTENSIONS)


def image_names(storage, pattern):
    """The image files among the names that match a pattern, folder by folder in the order of the frames' numbers."""
    names = [
        name for name in storage.glob(pattern) if name.lower().endswith(images.EXTENSIONS) and "/." not in f"/{name}"
    ]
    folders = itertools.groupby(names, lambda name: name.rpartition("/")[0])
    return [name for _, group in folders for name in images.frame_order(list(group))]
