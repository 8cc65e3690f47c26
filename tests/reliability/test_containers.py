"""F20 and F22: LMDBs and zips that are damaged or hostile. Each is one line; no decoder is ever given None."""

import io
import multiprocessing
import os
import shutil
import stat
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.image import encode_jpeg
from lib.data.storage import LmdbWriter, open_storage
from lib.errors import UserError
from tests.reliability.places import mounted

ROOT = Path(__file__).resolve().parents[2]
FRAME = encode_jpeg(np.full((48, 64, 3), 90, np.uint8))
FILES = {"a/groundtruth.txt": b"1,2,3,4\n" * 3, **{f"a/img/{number}.jpg": FRAME for number in range(3)}}


def refused(work):
    """The message of the UserError that `work` ends in."""
    with pytest.raises(UserError) as error:
        work()
    assert str(error.value).isprintable()
    return str(error.value)


def read_all(path):
    """Read whatever a container holds."""
    storage = open_storage(path)
    for pattern in ("*", "*/*", "*/*/*"):
        for name in storage.glob(pattern):
            assert isinstance(storage.read(name), bytes)


# ---- LMDB -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    """An LMDB as other projects make them, without a manifest of ours."""
    path = tmp_path / "set.lmdb"
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for name, data in FILES.items():
            transaction.put(name.encode(), data)
        for number in range(50):
            transaction.put(b"b/%d.jpg" % number, FRAME * 5)
    return path


def test_lmdb_map_full_grows(tmp_path):
    with LmdbWriter(tmp_path / "x.lmdb", {}, map_size=2**15) as writer:
        for name, data in FILES.items():
            writer.put(name, data * 20)
        writer.finish()
    storage = open_storage(tmp_path / "x.lmdb")
    assert all(storage.read(name) == data * 20 for name, data in FILES.items())


def test_lmdb_truncated_anywhere_is_refused_before_it_is_read(database):
    data = (database / "data.mdb").read_bytes()
    for end in (*range(0, 8193, 512), *np.linspace(8200, len(data) - 1, 30).astype(int), len(data) - 4096):
        path = database.with_name(f"{end}.lmdb")
        path.mkdir()
        (path / "data.mdb").write_bytes(data[:end])
        message = refused(lambda path=path: open_storage(path).read("a/img/0.jpg"))
        assert "truncated: it should have" in message or "not a readable LMDB" in message
        shutil.rmtree(path)


def test_lmdb_missing_key(database):
    storage = open_storage(database)
    for name in ("a/img/9.jpg", "", "a" * 600, "\udcff", "a\0b"):
        assert str(database) in refused(lambda name=name: storage.read(name))
    (sequence,) = benchmarks.load(f"{database}#a")
    frames = sequence.frames()
    with lmdb.open(str(database.with_name("other.lmdb"))) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"a/img/0.jpg", FRAME)
    frames.storage = open_storage(database.with_name("other.lmdb"))
    assert frames[0].shape == (48, 64, 3)
    assert "the key is not in the LMDB, or the database is damaged" in refused(lambda: frames[1])


@pytest.mark.parametrize("content", ["version", "empty", "zeros", "html", "zip"])
def test_lmdb_of_another_version_or_none(database, content):
    place = database / "data.mdb"
    data = bytearray(place.read_bytes())
    for page in (0, 4096):
        version = data.index(struct.pack("<I", 0xBEEFC0DE), page) + 4
        data[version : version + 4] = struct.pack("<I", 999)
    others = {"version": bytes(data), "empty": b"", "zeros": bytes(9000), "html": b"<html>" * 2000, "zip": zipped()}
    place.write_bytes(others[content])
    message = refused(lambda: open_storage(database).glob("*"))
    assert message.startswith(f"{database}: not a readable LMDB: ")
    assert content != "version" or "999" in message


def _read_in_child(storage, queue):
    queue.put([storage.read(name) for name in FILES])


def test_lmdb_in_forked_workers(database):
    storage = open_storage(database)
    assert storage.read("a/img/0.jpg") == FRAME  # opened before the fork
    context = multiprocessing.get_context("fork")
    queues = [context.Queue() for _ in range(3)]
    workers = [context.Process(target=_read_in_child, args=(storage, queue)) for queue in queues]
    for worker in workers:
        worker.start()
    for worker, queue in zip(workers, queues, strict=True):
        assert queue.get(timeout=30) == list(FILES.values())
        worker.join(30)
        assert worker.exitcode == 0
    assert storage.read("a/img/1.jpg") == FRAME


def test_lmdb_in_a_folder_that_cannot_be_written(database):
    (database / "lock.mdb").unlink()  # which other readers of LMDBs would make
    code = "import sys, lib.data.storage as s; print(s.open_storage(sys.argv[1]).read('a/img/0.jpg')[:2])"
    command = [*mounted(read_only=[database]), sys.executable, "-c", f"{code}; open(sys.argv[1] + '/x', 'w')", database]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "b'\\xff\\xd8'\n" and "Read-only file system" in done.stderr


# ---- zip ------------------------------------------------------------------------------------------------------------


def zipped(files=FILES, mode=zipfile.ZIP_DEFLATED):
    """The bytes of a zip. files: {name or ZipInfo: bytes}."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", mode) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def link(name):
    """A member that is a symbolic link."""
    member = zipfile.ZipInfo(name)
    member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return member


def with_flag(data, flag):
    """The zip with other general purpose flags in its headers."""
    data = bytearray(data)
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = -1
        while (place := data.find(signature, place + 1)) >= 0:
            data[place + offset : place + offset + 2] = struct.pack("<H", flag)
    return bytes(data)


def twice(name):
    return zipped({name: b"1", name[:-1] + "_": b"2"}).replace(name[:-1].encode() + b"_", name.encode())


ZEROS = bytes(20_000_000)
HOSTILE = {  # name -> (bytes, words of the refusal)
    "folder above": (zipped({**FILES, "../x.jpg": FRAME}), "points outside the archive"),
    "folder above, inside": (zipped({**FILES, "a/../../x.jpg": FRAME}), "points outside the archive"),
    "backslashes": (zipped({**FILES, "a\\..\\..\\x.jpg": FRAME}), "points outside the archive"),
    "absolute": (zipped({**FILES, "/tmp/x.jpg": FRAME}), "points outside the archive"),
    "link": (zipped({**FILES, link("a/img/3.jpg"): b"/etc/passwd"}), "is a link"),
    "link to a folder": (zipped({**FILES, link("b"): b"/"}), "is a link"),
    "bomb": (zipped({**FILES, "a/img/3.jpg": ZEROS}), "unpacks to 20000000 bytes"),
    "bomb that says it is small": (
        zipped({**FILES, "a/img/3.jpg": ZEROS}).replace(struct.pack("<I", len(ZEROS)), struct.pack("<I", 100)),
        "Bad CRC-32",
    ),
    "bomb by another method": (
        zipped({**FILES, "a/img/3.jpg": ZEROS}, zipfile.ZIP_LZMA),
        "another method than deflate",
    ),
    "two of one name": (twice("a/img/3.jpg"), "two members of one name"),
    "name in another encoding": (
        with_flag(zipped({"é/x.jpg": FRAME}).replace("é".encode(), b"\xe9\xe9"), 0),
        "has a name that is not in UTF-8",
    ),
    "name in broken UTF-8": (zipped({"é/x.jpg": FRAME}).replace("é".encode(), b"\xe9\xe9"), "not a readable zip"),
    "NUL in a name": (zipped({"a_/x.jpg": FRAME}).replace(b"a_/x", b"a\0/x"), "control character in its name"),
    "line break in a name": (zipped({"a\nb/x.jpg": FRAME}), "control character in its name"),
    "encrypted": (with_flag(zipped(), 1), "is encrypted"),
    "damaged data": (zipped({"a/x.jpg": os.urandom(900)}, zipfile.ZIP_STORED).replace(b"x.jpg", b"x.jpg", 1), None),
}


def test_the_corpus_is_as_large_as_promised():
    assert len(HOSTILE) >= 12


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_is_refused_on_read(tmp_path, name):
    data, words = HOSTILE[name]
    if words is None:
        data, words = data[:100] + b"\0" * 8 + data[108:], "Bad CRC-32"
    path = tmp_path / "set.zip"
    path.write_bytes(data)
    tracemalloc.start()
    try:
        message = refused(lambda: read_all(path))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert message.startswith(str(path)) and words in message
    assert peak < 2_000_000, "nothing is unpacked beyond what its header says"
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["set.zip"], "nothing is unpacked to disk"


def test_an_honest_zip_is_read(tmp_path):
    path = tmp_path / "set ü.zip"
    path.write_bytes(zipped({**FILES, "ü 夜/x.jpg": FRAME}))
    read_all(path)
    (sequence,) = benchmarks.load(path)
    assert len(sequence.frames()) == 3


def test_a_zip_with_any_bytes_changed_is_read_or_refused(tmp_path):
    data, random = zipped({f"s/{number}.jpg": FRAME[:300] for number in range(3)}), np.random.default_rng(0)
    path = tmp_path / "set.zip"
    outcomes = set()
    for _ in range(500):
        changed = bytearray(data)
        for place in random.integers(0, len(data), random.integers(1, 4)):
            changed[place] = random.integers(256)
        path.write_bytes(changed)
        try:
            read_all(path)
            outcomes.add("read")
        except UserError as error:
            assert str(error).isprintable()
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}
