"""The TraX entry: what the VOT toolkit is told, and clients that vanish, send nonsense or bombs (F23)."""

import io
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lib.data.image import decode, encode_jpeg
from lib.errors import UserError
from lib.test.evaluation import trax as entry
from lib.test.tracker.identity import IdentityTracker

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tracking" / "vot_trax.py"


def test_wrong_words_are_answered_before_anything_is_loaded(command, capsys):
    assert command("vot_trax.py", "lunar", "tyni") == 2
    assert "tiny" in capsys.readouterr().err
    assert command("vot_trax.py", "identity", "baseline", "--set", "TEST.NONE=1") == 2


@pytest.mark.parametrize(
    ("region", "box"),
    [
        ("10,20,20,30", [10, 20, 20, 30]),
        ("10.125, 20.25, 3.5, 1e1", [10.125, 20.25, 3.5, 10]),
        ("10,20.5,30,10,40.25,30,20,40", [10, 10, 30.25, 30]),
        ("40,50,60,50,50,30", [40, 30, 20, 20]),
        ("-5,-5,6,6", [-5, -5, 6, 6]),
        ("0,0,4000,3000", [0, 0, 4000, 3000]),
    ],
)
def test_the_rectangle_of_a_region(region, box):
    assert entry.first_box(region, 64, 48) == box


REGIONS = {
    "of nan": "nan,nan,nan,nan",
    "without area": "40,30,0,12",
    "of negative size": "40,30,-5,12",
    "without end": "40,30,inf,12",
    "just right of the frame": "128,30,5,5",
    "just left of the frame": "-9,30,9,5",
    "below the frame": "40,96,5,5",
    "huge": "1e30,1e30,1e30,1e30",
    "of words": "hello",
    "of three numbers": "40,30,12",
    "of five numbers": "40,30,12,12,12",
    "empty": "",
    "a mask": "m10,10,2,2,0,4",
    "special": "0",
    "a flat polygon": "40,30,50,30,60,30",
    "polygon of nan": "nan,nan,nan,nan,nan,nan,nan,nan",
    "of many numbers": ",".join(["1"] * 10**5),
}


# ---- over the protocol ----------------------------------------------------------------------------------------------


class Session:
    """The entry in a process, and the lines that a client sends it."""

    def __init__(self, *words):
        pipe = subprocess.PIPE
        command = [sys.executable, str(SCRIPT), *(words or ("identity", "baseline"))]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, cwd="/")
        self.hello = self.line()

    def line(self):
        """The next line of the protocol."""
        while True:
            line = self.process.stdout.readline().decode()
            if line.startswith("@@TRAX:") or not line:
                return line

    def send(self, *lines):
        self.process.stdin.write("".join(f"@@TRAX:{line}\n" for line in lines).encode())
        self.process.stdin.flush()

    def end(self, data=b""):
        """(exit code, what it still said, its errors) once the client is gone."""
        try:
            out, errors = self.process.communicate(data, timeout=240)
        finally:
            self.process.kill()
        assert b"Traceback" not in errors
        return self.process.returncode, out.decode(), errors.decode()


@pytest.fixture
def frames(tmp_path):
    """Files of four frames in which a square of 12 px moves by 3 px."""
    rng = np.random.default_rng(0)
    background = rng.integers(20, 60, (96, 128, 3), dtype=np.uint8)
    square = rng.integers(90, 250, (12, 12, 3), dtype=np.uint8)
    paths = []
    for index in range(4):
        image = background.copy()
        image[30:42, 40 + 3 * index : 52 + 3 * index] = square
        paths.append(tmp_path / f"a frame {index}.jpg")
        paths[-1].write_bytes(encode_jpeg(image, quality=97))
    return paths


def frame(path):
    return f'frame "file://{path}"'


def started(path, region="40,30,12,12"):
    return [f'initialize "{region}"', frame(path)]


def state(line):
    """(box, confidence) of a line such as `@@TRAX:state "1,2,3,4" "confidence=0.5"`."""
    assert line.startswith("@@TRAX:state "), line
    box, confidence = line.split('"')[1::2]
    return [float(value) for value in box.split(",")], float(confidence.removeprefix("confidence="))


def test_a_session(frames):
    session = Session()
    assert '"trax.name=identity baseline"' in session.hello
    assert '"trax.region=rectangle;"' in session.hello and '"trax.image=path;"' in session.hello
    for region in ("40,30,12.25,12.5", "41,31,10,10"):  # the toolkit starts again in the same session
        session.send("initialize", *started(frames[0], region))
        expected = [float(value) for value in region.split(",")]
        assert state(session.line()) == (expected, 1.0)
        for path in frames[1:]:
            session.send(frame(path))
            assert state(session.line()) == (expected, 1.0)
    session.send("quit")
    assert session.end() == (0, "", "")


def test_what_the_toolkit_is_told_is_what_the_tracker_says(frames, small_tracker):
    tracker = small_tracker()
    images = [decode(path.read_bytes(), path) for path in frames]
    expected = [tracker.initialize(images[0], [40.5, 30.25, 12, 12])]
    expected += [tracker.track(image) for image in images[1:]]
    told = io.BytesIO()
    messages = [*started(frames[0], "40.5,30.25,12,12"), *map(frame, frames[1:]), "quit"]
    entry.serve(small_tracker(), "lunar", io.BytesIO(lines(*messages)), told)
    states = [state(line) for line in told.getvalue().decode().splitlines()[1:]]
    for (box, confidence), result in zip(states, expected, strict=True):
        assert box == pytest.approx(result["target_bbox"], abs=1e-4)
        assert confidence == pytest.approx(result["score"], abs=1e-6)


def test_clients_of_the_library(frames, tmp_path):
    """The TraX library's own client, which is what the toolkit uses; it turns regions into rectangles itself."""
    trax = pytest.importorskip("trax", reason="needs the TraX library: pip install vot-trax")
    from trax.client import Client
    from trax.image import FileImage
    from trax.region import Polygon, Rectangle

    pipe = subprocess.PIPE
    command = [sys.executable, str(SCRIPT), "identity", "baseline"]
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, bufsize=0) as process:
        client = Client(stream=(process.stdin.fileno(), process.stdout.fileno()), log=lambda _: None)
        assert client.tracker_name == "identity baseline" and client.get("multiobject") is False
        assert client.region_formats == ["rectangle"] and client.image_formats == ["path"]
        image = {"color": FileImage.create(str(frames[0]))}
        for region in (
            Rectangle.create(40.5, 30.25, 20, 20),
            Polygon.create([(40.5, 30.25), (60.5, 30.25), (60.5, 50.25), (40.5, 50.25)]),
        ):
            ((found, properties),) = client.initialize(image, [(region, {})], {})[0]
            assert found.bounds() == (40.5, 30.25, 20, 20) and float(properties["confidence"]) == 1
            assert client.frame(image, {}, [])[0][0][0].bounds() == (40.5, 30.25, 20, 20)
        odd = tmp_path / 'a "b" \\ %20 = 夜.jpg'
        odd.write_bytes(frames[1].read_bytes())
        client.frame({"color": FileImage.create(str(odd))}, {"key": "a=b"}, [])
        with pytest.raises(trax.TraxException, match="no such file"):
            client.frame({"color": FileImage.create("/none.jpg")}, {}, [])
        assert process.wait(240) == 2


def failing(data):
    """What the entry tells a client that sends `data` (bytes) and is gone, and the error it ends with."""
    told = io.BytesIO()
    with pytest.raises(UserError) as caught:
        entry.serve(IdentityTracker(None), "identity", io.BytesIO(data), told)
    assert "\n" not in str(caught.value)
    last = told.getvalue().decode().splitlines()[-1]
    assert last.startswith('@@TRAX:quit "trax.reason='), "the client is told why"
    return told.getvalue().decode(), str(caught.value)


def lines(*messages):
    return "".join(f"@@TRAX:{message}\n" for message in messages).encode()


@pytest.mark.parametrize("region", REGIONS)
def test_bad_regions(frames, region):
    told, error = failing(lines(*started(frames[0], REGIONS[region])))
    assert error.startswith("the region ") and "@@TRAX:state" not in told and len(error) < 250


def png(width, height):
    """A black PNG of one bit a pixel: 218 kB for 400 million pixels."""
    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(bytes(1 + width // 8)) for _ in range(height)) + packer.flush()
    parts = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def jpeg(width, height):
    """A small JPEG whose header claims another size."""
    data = bytearray(cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes())
    start = data.index(b"\xff\xc0") + 5
    data[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(data)


IMAGES = {
    "huge PNG": lambda: png(20000, 20000),
    "huge JPEG": lambda: jpeg(65000, 65000),
    "empty": lambda: b"",
    "no image": lambda: b"hello" * 100,
    "cut off": lambda: encode_jpeg(np.full((64, 64, 3), 99, np.uint8))[:300],
}


@pytest.mark.parametrize("kind", [*IMAGES, "missing", "a folder", "a device", "a control character", "too long"])
@pytest.mark.parametrize("when", ["first", "later"])
def test_bad_images(frames, tmp_path, kind, when):
    paths = {"missing": tmp_path / "none.jpg", "a folder": tmp_path, "a device": Path("/dev/zero")}
    paths |= {"a control character": tmp_path / "a\0b.jpg", "too long": tmp_path / ("x" * 5000)}
    path = paths.get(kind)
    if path is None:
        path = tmp_path / "bad.jpg"
        path.write_bytes(IMAGES[kind]())
    told, error = failing(lines(*(started(path) if when == "first" else [*started(frames[0]), frame(path)])))
    assert str(tmp_path) in error or kind == "a device"
    assert told.count("@@TRAX:state") == (when == "later")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        ['initialize "40,30,12,12"'],
        ['frame "file://{0}"'],
        ["state"],
        ["nonsense"],
        [""],
        ["initialize"],
        ['initialize "40,30,12,12"', 'initialize "50,30,12,12"', 'frame "file://{0}"'],
        ['initialize "40,30,12,12"', 'frame "file://{0}"', "initialize", 'frame "file://{0}"'],
        ['initialize "40,30,12,12" "50,30,12,12"', 'frame "file://{0}"'],
        ['initialize "40,30,12,12"', "frame"],
        ['initialize "40,30,12,12"', 'frame "file://{0}"', 'frame "file://{0}" "40,30,12,12"'],
    ],
)
def test_clients_that_vanish_or_do_not_keep_to_the_protocol(frames, messages):
    failing(lines(*(message.format(frames[0]) for message in messages)))


@pytest.mark.parametrize("regions", [['"40,30,12,12" "50,30,12,12"'], ['"40,30,12,12"', '"50,30,12,12"']])
def test_several_targets_are_refused(frames, regions):
    told, error = failing(lines(*(f"initialize {region}" for region in regions), frame(frames[0])))
    assert error.startswith("several regions") and "@@TRAX:state" not in told


def test_a_client_may_vanish_at_any_byte(frames):
    data = lines(*started(frames[0]), frame(frames[1]))
    for length in range(len(data) + 1):
        _, error = failing(data[:length])
        assert error == "the TraX client is gone without having quit"
    _, error = failing(b"@@TRAX:frame " + b"x" * 2**21)
    assert error.startswith("a line of more than")


def test_noise_and_properties_are_passed_over(frames):
    told = io.BytesIO()
    data = b"\x00\xff\xfe not TraX\n\n" * 100
    data += lines(
        r'initialize  "40,30,12,12"  "a.key=va\"lue" ',
        f'{frame(frames[0])} "x=1"',
        f'frame "{frames[1]}" ',
        'quit "trax.reason="',
    )
    entry.serve(IdentityTracker(None), 'a "name"\n', io.BytesIO(data), told)
    hello, *states = told.getvalue().decode().splitlines()
    assert r'"trax.name=a \"name\"\\n"' in hello
    assert [state(line) for line in states] == [([40, 30, 12, 12], 1.0)] * 2


def test_names_of_images_with_quotes_and_backslashes(tmp_path, frames):
    path = tmp_path / 'a "b" \\ %20 夜.jpg'
    path.write_bytes(frames[0].read_bytes())
    told = io.BytesIO()
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    entry.serve(IdentityTracker(None), "n", io.BytesIO(lines(*started(escaped), "quit")), told)
    assert b"@@TRAX:state" in told.getvalue()


def test_a_client_that_is_killed(frames):
    session = Session()
    session.send(*started(frames[0]))
    session.line()
    code, _, error = session.end()
    assert code == 2 and error == "lunar: error: the TraX client is gone without having quit\n"


def test_a_client_that_does_not_listen_any_more(frames):
    session = Session()
    session.process.stdout.close()
    session.send(*started(frames[0]))
    assert session.process.wait(240) == 2
    error = session.process.stderr.read().decode()
    assert error == "lunar: error: the TraX client does not listen any more: Broken pipe\n"
    session.process.stdin.close()
    session.process.stderr.close()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_it_can_be_stopped_while_it_waits(number, code, frames):
    session = Session()
    session.send(*started(frames[0]))
    session.line()
    session.process.send_signal(number)
    assert session.process.wait(240) == code
    for pipe in (session.process.stdin, session.process.stdout, session.process.stderr):
        pipe.close()
