"""Video files, read by FFmpeg (PyAV): what a container says of its length is not believed, the stream's end is the end.

Frames are numbered in the order in which they are shown. They are turned as the file asks a viewer to turn them.
"""

import functools
import itertools
import logging
import os
import sys
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.error
import numpy as np
from av.video.frame import PictureType

from ..errors import FrameError
from .depth import stretch_of

log = logging.getLogger(__name__)

# What counts as a video among other files, in small or capital letters. A file that is named itself may be called
# anything.
VIDEO_EXTENSIONS = (
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ts", ".m2ts", ".mts", ".wmv", ".asf", ".flv",
    ".ogv", ".3gp", ".mxf", ".vob", ".dv", ".y4m", ".gif", ".h264", ".264", ".h265", ".265", ".hevc", ".ivf",
)  # fmt: skip
KEPT = 2**27  # bytes: of frames decoded together where a video is read backwards
THREADS = 4  # of a decoder; more hold more frames in memory and gain little
STDIN = "-"  # the name of the standard input
WAIT = 10.0  # s for a stream's next data, then it is lost
NO_VIDEO = ("ansi", "bintext", "xbin", "idf")  # text that FFmpeg draws as pictures
# Of these, in an MP4 or MOV file, one packet is one frame, so that packets are counted in the place of frames.
PLAIN_FORMATS, PLAIN_CODECS = ("mov",), ("h264", "hevc", "av1", "mjpeg", "prores", "mpeg4")


@dataclass(frozen=True)
class Survey:
    """What one pass over a video found.

    Attributes:
        count: frames in it.
        times (count,): when each is shown, in the stream's unit; None where they do not rise from frame to frame.
        keys: numbers of the frames that a decoder can begin with, rising.
    """

    count: int
    times: array | None
    keys: array


class VideoFrames:
    """A video file as a frame source: frames[i], len(frames), and iteration without asking for the length.

    Reading forward costs one decode a frame. Any other frame is reached from the key frame before it. Of a file that
    is read backwards, frame by frame, as many frames as KEPT bytes hold are decoded at a time. The length is counted
    when it is first asked for, once in a process.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self._reset()
        self._decoder = _Decoder(self.path)
        self.fps = self._decoder.fps

    def __len__(self) -> int:
        return self._survey().count

    def __iter__(self) -> Iterator[np.ndarray]:
        for index in itertools.count():
            try:
                frame = self._read(index)
            except IndexError:
                return
            yield frame

    def __getitem__(self, index: int) -> np.ndarray:
        return self._read(index if index >= 0 else range(len(self))[index])

    @property
    def claimed(self) -> int | None:
        """How many frames the file says it has, right or wrong; None where it says nothing."""
        return self._open().claimed

    def _read(self, index):
        backwards, self._last = index == self._last - 1, index
        if not backwards:
            self._kept = {}
        if index in self._kept:
            return self._kept.pop(index)
        first = max(index - self._room, 0) if backwards else index
        self._go_to(first)
        for number in range(first, index):
            self._kept[number] = self._next_frame()
        frame = self._next_frame()
        self._room = KEPT // frame.nbytes
        return frame

    def _go_to(self, index):
        """Bring the decoder before frame `index`, from the nearest frame that it can begin with."""
        self._open()
        if self._surveyed or index < self._number:
            survey = self._survey()
            keys = survey.keys[: np.searchsorted(survey.keys, index, side="right")] if survey.times else ()
            key = keys[-1] if len(keys) else 0
            far = key > self._number or index < self._number
            if far and key and self._decoder.seek(survey.times[key]):
                self._number = key
            elif far:
                self._decoder, self._number = _Decoder(self.path), 0
        while self._number < index:
            self._next_frame(shown=False)

    def _next_frame(self, shown=True):
        try:
            found = self._decoder.next()
        except FrameError as error:
            self._decoder = None
            raise FrameError(f"frame {self._number}: {error}", self.path) from error
        if found is None:
            self._decoder = None
            if self._surveyed and self._number < self._survey().count:
                count = self._survey().count
                raise FrameError(f"frame {self._number} of {count} cannot be decoded: the video ends there", self.path)
            raise IndexError(f"{self.path}: no frame {self._number}")
        self._number += 1
        if not shown:
            return None
        self._picture = self._picture or _Picture(self.path)
        return self._picture(found, self._number - 1)

    def _open(self):
        if self._decoder is None:
            self._decoder, self._number = _Decoder(self.path), 0
        return self._decoder

    def _survey(self):
        self._surveyed = True
        status = self.path.stat()
        return _survey(self.path, status.st_mtime_ns, status.st_size)

    def _reset(self):
        self._decoder, self._picture, self._number, self._last = None, None, 0, -1
        self._kept, self._room, self._surveyed = {}, 0, False

    def __getstate__(self):  # a decoder cannot be sent to another process
        return {"path": self.path, "fps": self.fps}

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._reset()


class _Decoder:
    """A video on its way through the decoder. Raises FrameError where the file holds no video that can be decoded."""

    def __init__(self, path, options=None):
        self._container = _open_stream(path) if isinstance(path, str) else _open_file(path)
        self._stream = self._video_stream(path)
        codec = self._stream.codec_context
        codec.thread_type, codec.thread_count = "AUTO", THREADS
        codec.options = options or {}
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.fps = float(rate) if rate and 0 < rate < 10000 else 30.0
        self.claimed = self._stream.frames or self._from_duration(rate)
        self.plain = self._container.format.name.startswith(PLAIN_FORMATS) and codec.name in PLAIN_CODECS
        self._begin()

    def _video_stream(self, path):
        streams = [one for one in self._container.streams.video if not _is_cover(one)]
        if not streams:
            kinds = ", ".join(sorted({one.type for one in self._container.streams})) or "nothing"
            raise FrameError(f"no video in this file: it holds {kinds}", path)
        if streams[0].codec_context is None:
            raise FrameError("a video of a kind that this FFmpeg cannot decode: convert it to H.264", path)
        if streams[0].codec_context.name in NO_VIDEO:
            raise FrameError("is a text file, expected a video", path)
        return streams[0]

    def _from_duration(self, rate):
        if self._stream.duration and self._stream.time_base and rate:
            return max(round(float(self._stream.duration * self._stream.time_base * rate)), 1)
        if self._container.duration and rate:
            return max(round(self._container.duration / av.time_base * float(rate)), 1)
        return None

    def _begin(self):
        self._packets, self._ready, self._hole, self._started = self._container.demux(self._stream), [], None, False

    def packets(self):
        """The stream's packets, in the order of the file."""
        return self._container.demux(self._stream)

    def next(self):
        """The next av.VideoFrame, None at the end.

        Packets before the first frame that cannot be decoded are passed over: a stream that was cut begins so. In the
        middle they are a FrameError, at the end they are the end.
        """
        while not self._ready:
            packet = next(self._packets, None)
            if packet is None:
                return None
            try:
                self._ready = packet.decode()
            except (av.error.FFmpegError, EOFError) as error:
                self._hole = self._hole or (packet.pts, str(error).split("'")[0].strip())
        frame = self._ready.pop(0)
        # a decoder gives frames late: those of before the hole may still come
        if self._hole and self._started and (None in (frame.pts, self._hole[0]) or frame.pts > self._hole[0]):
            raise FrameError("the file is damaged here, and goes on behind it")
        if not self._started:
            self._hole, self._started = None, True
        return frame

    def seek(self, time):
        """Go to the frame shown at `time`, a key frame; whether that worked. If not, this decoder is of no more use."""
        try:
            self._container.seek(time, stream=self._stream)
            self._begin()
            frame = self.next()
            while frame is not None and frame.pts is not None and frame.pts < time:
                frame = self.next()
        except (av.error.FFmpegError, FrameError):
            frame = None
        if frame is None or frame.pts != time:
            return False
        self._ready.insert(0, frame)
        return True


class VideoStream:
    """A video that comes once, from a network or the standard input ("-"): iterate over it.

    Raises FrameError where it is not there, or lost.
    """

    def __init__(self, url: str):
        self.url, self._decoder = url, _Decoder(url)
        self.fps = self._decoder.fps

    def __iter__(self) -> Iterator[np.ndarray]:
        picture = None
        for number in itertools.count():
            try:
                frame = self._decoder.next()
            except (av.error.FFmpegError, OSError) as error:
                raise FrameError(f"the stream was lost after {number} frames ({error.strerror})", self.url) from error
            if frame is None:
                return
            picture = picture or _Picture(self.url, frame)
            yield picture(frame, number)


def _open_file(path):
    if not os.path.isfile(path):
        raise FrameError("is a folder, expected a video" if os.path.isdir(path) else "no such file", path)
    try:
        return av.open(f"file:{path}")  # or a colon in its name would be taken for a protocol
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise FrameError(_why_not(path, error), path) from None


def _open_stream(url):
    try:
        return av.open(sys.stdin.buffer) if url == STDIN else av.open(url, timeout=WAIT)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise FrameError(f"cannot be opened: {getattr(error, 'strerror', None) or error}", url) from None


class _Picture:
    """From decoded frames to arrays (H, W, 3) uint8 RGB: turned, of one size, and deep grey stretched to 8 bits.

    The first frame, wherever reading begins, decides the size and the stretch.
    """

    def __init__(self, path, first=None):
        self.path, self._stretch, self._warned = path, None, set()
        first = first or _Decoder(path).next()
        if first is None:
            raise FrameError("holds no frame that can be decoded", path)
        self._size = first.width, first.height
        if _is_deep(first):
            self._stretch = stretch_of(self._deep(first), path)

    def __call__(self, frame, number):
        size = frame.width, frame.height
        if size != self._size:  # as players do; a browser's recording changes its size with the bandwidth
            sizes = [f"{width} x {height} px" for width, height in (size, self._size)]
            self._warn("size", "from frame %d on %s, scaled to the first frame's %s", number, *sizes)
        if frame.is_corrupt:
            self._warn("damage", "frame %d is damaged: what is shown is what the decoder could repair", number)
        if self._stretch is not None:
            picture = np.repeat(self._stretch(self._deep(frame))[..., None], 3, axis=2)
        else:
            picture = frame.to_ndarray(format="rgb24", width=self._size[0], height=self._size[1])
        quarter_turns, rest = divmod(round(frame.rotation), 90)
        if rest:
            self._warn("rotation", "frame %d is to be shown turned by %d degrees; it is left as it is", number, rest)
        # FFmpeg's rows may be longer than the picture
        return np.ascontiguousarray(np.rot90(picture, quarter_turns) if quarter_turns % 4 else picture)

    def _deep(self, frame):
        return frame.to_ndarray(format="gray16le", width=self._size[0], height=self._size[1])

    def _warn(self, kind, message, *values):
        if kind not in self._warned:
            self._warned.add(kind)
            log.warning(f"%s: {message}", self.path, *values)


def _is_deep(frame):
    return frame.format.name.startswith("gray") and frame.format.components[0].bits > 8


def _is_cover(stream):
    return bool(stream.disposition & type(stream.disposition).attached_pic)


def _why_not(path, error):
    """What is wrong with a file that FFmpeg does not open, as far as its first bytes tell."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head:
        return "is empty (0 bytes)"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page, not a video (a download that failed?)"
    if head[4:8] == b"ftyp":
        return "an MP4 or MOV file without its index (moov): the recording or download did not finish"
    if b"\0" not in head and head.isascii():
        return "is a text file, expected a video"
    return f"no video that FFmpeg can decode ({getattr(error, 'strerror', None) or error})"


@functools.lru_cache(maxsize=4096)
def _survey(path, _modified, _size):
    """The Survey of a file; its time and size are arguments so that a file that was changed is looked at again."""
    return _survey_packets(path) or _survey_frames(path)


def _survey_packets(path):
    """The Survey by packets alone, many times faster; None where packets and frames are not surely the same."""
    decoder = _Decoder(path)
    if not decoder.plain:
        return None
    times, keys, begun = [], [], False
    for packet in decoder.packets():
        if not packet.size:
            continue
        if packet.is_corrupt or packet.pts is None or not (begun or packet.is_keyframe):
            return None
        begun = True
        if packet.is_discard:
            continue
        times.append(packet.pts)
        keys += [packet.pts] if packet.is_keyframe else []
    order = array("q", sorted(times))
    if not times or keys[:1] != list(order[:1]) or not _rising(order):
        return None
    return Survey(len(order), order, array("q", np.searchsorted(order, keys).tolist()))


def _survey_frames(path):
    """The Survey by decoding everything, without the work that only the pixels need."""
    decoder = _Decoder(path, {"skip_loop_filter": "all", "skip_idct": "all"})
    times, keys = array("q"), array("q")
    complete = True
    for number in itertools.count():
        try:
            frame = decoder.next()
        except FrameError as error:
            raise FrameError(f"frame {number}: {error}", path) from error
        if frame is None:
            break
        complete = complete and frame.pts is not None
        times.append(frame.pts if complete else 0)
        if frame.key_frame and frame.pict_type == PictureType.I:  # others may need more than one frame to become whole
            keys.append(number)
    if decoder.claimed and decoder.claimed != len(times):
        log.info("%s: %d frames, where the file says about %d", path, len(times), decoder.claimed)
    return Survey(len(times), times if complete and _rising(times) else None, keys)


def _rising(times):
    return bool((np.diff(np.asarray(times)) > 0).all())
