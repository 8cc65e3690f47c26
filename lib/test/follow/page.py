"""A page in the browser, for a machine without a display: choose a frame, draw boxes, watch the tracked video.

The page is served on this machine alone (127.0.0.1) and closes by itself when the browser has left it.
"""

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

from ...data.frames import ImageFrames, VideoFrames
from ...data.image import encode_jpeg
from ...errors import FrameError, UserError
from .first_boxes import Box, check, numbered

PAGE = Path(__file__).with_suffix(".html")
GONE = 10.0  # s without a word from the page, then it was closed
LARGEST = 2**20  # bytes of what a page may send


class Page:
    """The page of one video.

    Args:
        frames: a video file or images.
        name: of the video, as the page shows it.

    Attributes:
        url: where the page is.
    """

    def __init__(self, frames: Any, name: str):
        if not isinstance(frames, VideoFrames | ImageFrames):
            raise UserError("--box web needs a video file or a folder of frames, not a stream or a camera")
        self._frames, self._lock = frames, threading.Lock()
        self._name, self._count = name, len(frames)
        self._chosen: tuple[int, dict[str, Box]] | None = None
        self._state: dict[str, Any] = {"state": "choose"}
        self._video: Path | None = None
        self._news, self._heard = threading.Event(), time.monotonic()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"page": self}))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> "Page":
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def ask(self) -> tuple[int, dict[str, Box]]:
        """Wait until boxes are drawn. Returns the number of their frame, and {target: (x, y, w, h)} in px."""
        print(f"open {self.url} in a browser on this machine and draw the box (Ctrl-C ends)", flush=True)
        while not self._news.wait(0.2):
            pass
        assert self._chosen is not None
        return self._chosen

    def watch(self, done: int, total: int | None) -> None:
        """Show how many frames are tracked."""
        self._state = {"state": "track", "done": done, "total": total or self._count}

    def show(self, video: Path) -> None:
        """Show the tracked video until the page is closed."""
        self._video, self._state = video, {"state": "watch"}
        print("the tracked video is on the page; close the page to end", flush=True)
        self._heard = time.monotonic()
        while time.monotonic() - self._heard < GONE:
            time.sleep(0.2)

    # ---- what the page asks for, in threads of its own

    def info(self) -> dict[str, Any]:
        self._heard = time.monotonic()
        return {**self._state, "name": self._name, "count": self._count}

    def frame(self, number: int) -> bytes:
        with self._lock:
            return encode_jpeg(self._frames[number])

    def choose(self, number: int, boxes: list) -> str:
        """Take the boxes. Returns what is wrong with them, "" for nothing."""
        try:
            named = numbered(boxes)
            if not named:
                return "draw a box first"
            with self._lock:
                check(named, self._frames[number])
        except (UserError, FrameError, TypeError, ValueError, IndexError) as error:
            return str(error)
        self._chosen, self._state = (number, named), {"state": "track", "done": 0, "total": self._count}
        self._news.set()
        return ""

    def video(self) -> Path | None:
        return self._video


class _Handler(BaseHTTPRequestHandler):
    page: Page

    def do_GET(self):  # noqa: N802 -- http.server's name
        if not self._is_ours():
            return
        place = urlparse(self.path)
        if place.path == "/":
            self._send(PAGE.read_bytes(), "text/html; charset=utf-8")
        elif place.path == "/info":
            self._send(json.dumps(self.page.info()).encode(), "application/json")
        elif place.path == "/frame":
            number = parse_qs(place.query).get("n", ["0"])[0]
            try:
                self._send(self.page.frame(int(number)), "image/jpeg")
            except (FrameError, ValueError, IndexError) as error:
                self.send_error(404, re.sub(r"[^ -~]", "?", str(error))[:200])
        elif place.path == "/video" and self.page.video() is not None:
            self._send_video(self.page.video())
        else:
            self.send_error(404)

    def do_POST(self):  # noqa: N802
        if not self._is_ours():
            return
        size = int(self.headers.get("Content-Length") or 0)
        try:
            asked = json.loads(self.rfile.read(min(size, LARGEST)))
            wrong = self.page.choose(int(asked["frame"]), list(asked["boxes"]))
        except (ValueError, KeyError, TypeError) as error:
            wrong = f"expected frame and boxes: {error}"
        self._send(json.dumps({"wrong": wrong}).encode(), "application/json", 400 if wrong else 200)

    def _is_ours(self):
        """Whether the page was asked for by its own address: another site's name for it is refused."""
        host = (self.headers.get("Host") or "").rpartition(":")[0]
        if host in ("127.0.0.1", "localhost"):
            return True
        self.send_error(403)
        return False

    def _send(self, data, kind, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data)

    def _send_video(self, path):
        """The whole file, or the part that a player asks for."""
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        low = int(asked[1]) if asked else 0
        high = min(int(asked[2]), size - 1) if asked and asked[2] else size - 1
        if low > high:
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "video/mp4")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(high - low + 1))
        if asked:
            self.send_header("Content-Range", f"bytes {low}-{high}/{size}")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            for part in _parts(path, low, high + 1):
                self.wfile.write(part)

    def log_message(self, *words):
        """Nothing: the terminal belongs to the tracking."""


def _parts(path: Path, low: int, high: int) -> Iterator[bytes]:
    with open(path, "rb") as file:
        file.seek(low)
        while low < high and (part := file.read(min(2**20, high - low))):
            low += len(part)
            yield part
