"""A tracker behind TraX (Cehovin, 2017; trax.readthedocs.io), the protocol over which the VOT toolkit runs trackers.

A message is a line `@@TRAX:<type> "<argument>" ... "<key>=<value>" ...`, in version 4:

    we      hello       what is understood: images by path, regions as rectangles
    client  initialize  a region, and the image in a `frame` that follows; without a region it forgets the last
    client  frame       the path of an image; answered by `state` with the region and the confidence
    both    quit        ours with the reason

Other lines are whatever a program prints, and are passed over. The protocol's own library is not used, since it waits
for ever where a client dies within a message, and crashes on a region without numbers.
"""

import re
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ...contracts import Tracker
from ...data.image import decode
from ...data.storage import MAX_MEMBER_BYTES, Folder
from ...errors import FrameError, UserError, one_line

MARK = b"@@TRAX:"
MAX_LINE = 2**20  # bytes; a region and a path have some hundred
WORDS = re.compile(r'"((?:[^"\\]|\\.)*)"|(\S+)')
PROPERTY = re.compile(r"[\w.]+=")


def serve(tracker: Tracker, name: str, source: BinaryIO, sink: BinaryIO) -> None:
    """Answer a client until it quits. Boxes are sent unrounded (px), four zeros where the tracker has none.

    Args:
        tracker: follows the one target of the client.
        name: of the tracker, as the client will see it.
        source: binary file that the client's messages come from.
        sink: unbuffered binary file that the answers go to.

    Raises:
        UserError: an unusable region or image, a message against the protocol, or a client that is gone without having
            quit. The client is told why first.
    """
    facts = ("trax.version=4", f"trax.name={name}", "trax.family=", "trax.description=Lunar Tracking")
    _send(sink, "hello", *facts, "trax.image=path;", "trax.region=rectangle;", "trax.channels=color;")
    try:
        _answer(tracker, source, sink)
    except UserError as error:
        _send(sink, "quit", f"trax.reason={error}")
        raise


def _answer(tracker, source, sink):
    region, started = None, False
    for kind, words in _messages(source):
        if kind == "quit":
            return
        if kind == "initialize" and not words:  # what the library sends before it starts anew
            region, started = None, False
        elif kind == "initialize":
            if len(words) > 1 or region is not None:
                raise UserError("several regions to start from: expected one, this tracker follows one target")
            region = words[0]
        elif kind == "frame" and len(words) == 1 and (started or region is not None):
            image = read_image(words[0])
            if region is None:
                result = tracker.track(image)
            else:
                result = tracker.initialize(image, first_box(region, *image.shape[1::-1]))
                region, started = None, True
            box = ",".join(f"{value:.4f}" for value in np.nan_to_num(result.box))
            _send(sink, "state", box, f"confidence={result.score:.6f}")
        else:
            raise UserError(f"a TraX message `{kind}` with {len(words)} arguments, which was not to be expected here")
    raise UserError("the TraX client is gone without having quit")


def _messages(source):
    """Yield (type, [argument, ...]) of each message, its properties left out, to the end of the file."""
    while True:
        line = source.readline(MAX_LINE)
        if len(line) == MAX_LINE:
            raise UserError(f"a line of more than {MAX_LINE} bytes, which is no TraX message")
        if not line.endswith(b"\n"):
            return  # what a dying client leaves unfinished is no message
        if line.startswith(MARK):
            text = line[len(MARK) :].decode(errors="surrogateescape")
            kind, _, rest = text.strip().partition(" ")
            words = [_unescaped(quoted) if quoted else bare for quoted, bare in WORDS.findall(rest)]
            yield kind, [word for word in words if not PROPERTY.match(word)]


def _send(sink, kind, *words):
    line = " ".join([kind, *(f'"{_escaped(word)}"' for word in words)])
    try:
        sink.write(MARK + line.encode(errors="surrogateescape") + b"\n")
    except OSError as error:
        raise UserError(f"the TraX client does not listen any more: {error.strerror}") from None


def _escaped(word):
    return one_line(word).replace("\\", "\\\\").replace('"', '\\"')


def _unescaped(word):
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], word)


def read_image(address: str) -> np.ndarray:
    """The image (H, W, 3) uint8 RGB at a `file://` address or a path.

    Raises:
        FrameError: it is missing, too large or damaged.
    """
    path = Path(address.removeprefix("file://"))
    try:
        size = path.stat().st_size if path.is_file() else None
    except (OSError, ValueError) as error:
        raise FrameError(f"cannot be read: {error}", path) from None
    if size is None:  # also of a device, which might never end
        raise FrameError("no such file", path)
    if size > MAX_MEMBER_BYTES:
        raise FrameError(f"{size} bytes are more than this program reads in one frame", path)
    return decode(Folder(path.parent).read(path.name), path)


def first_box(region: str, width: int, height: int) -> list[float]:
    """The rectangle of a region.

    Args:
        region: `x,y,w,h`, or corners `x1,y1,x2,y2,x3,y3,...` (px); then it is the rectangle around them.
        width, height: of the image (px).

    Returns:
        x, y, w, h (px).

    Raises:
        UserError: the text is neither, or the region lies off the image.
    """
    shown = region if len(region) <= 60 else region[:60] + "..."
    try:
        numbers = np.array([float(word) for word in region.split(",")])
    except ValueError:
        numbers = np.empty(0)
    if not (numbers.size == 4 or (numbers.size >= 6 and numbers.size % 2 == 0)):
        raise UserError(f"the region {shown!r}: expected x,y,w,h or three corners or more")
    corners = numbers.reshape(-1, 2)
    if numbers.size == 4:
        corners = np.array([corners[0], corners[0] + corners[1]])
    else:
        corners = np.array([corners.min(axis=0), corners.max(axis=0)])
    low, high = corners
    if not (np.isfinite(corners).all() and (low < high).all()):
        raise UserError(f"the region {shown!r}: expected finite numbers, width and height above 0")
    if (high <= 0).any() or (low >= (width, height)).any():
        raise UserError(f"the region {shown!r} lies off the frame of {width} x {height} px")
    return numbers.tolist() if numbers.size == 4 else [*low.tolist(), *(high - low).tolist()]
