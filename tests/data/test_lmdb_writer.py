"""LMDBs that we write: grown, continued, finished; refused where unfinished, truncated or changed."""

import json
import os
import subprocess
import sys

import lmdb
import pytest

from lib.data.storage import MANIFEST, LmdbWriter, open_storage
from lib.errors import MachineError, UserError

SOURCE = {"frames of": "x"}


def fill(path, count=20, size=50_000, finish=True, **options):
    with LmdbWriter(path, SOURCE, **options) as writer:
        for number in range(count):
            writer.put(f"a/{number}.jpg", os.urandom(size))
        if finish:
            writer.finish()
    return path


def test_the_map_grows(tmp_path):
    storage = open_storage(fill(tmp_path / "x.lmdb", map_size=2**17))
    names = storage.glob("a/*")
    assert names == [f"a/{number}.jpg" for number in range(20)] and len(storage.read(names[7])) == 50_000
    assert storage.glob("*") == [MANIFEST] and storage.glob("b/*") == [] and storage.glob("a/1?.jpg") == names[10:]


def test_an_unfinished_one_is_refused_and_continued(tmp_path):
    path = fill(tmp_path / "x.lmdb", finish=False)
    with pytest.raises(UserError, match="unfinished: run the command"):
        open_storage(path).glob("*")
    with LmdbWriter(path, SOURCE) as writer:
        assert "a/3.jpg" in writer and "a/99.jpg" not in writer and not writer.finished
        writer.put("a/99.jpg", b"1")
        assert "a/99.jpg" in writer
        writer.finish()
    assert len(open_storage(path).glob("a/*")) == 21
    with LmdbWriter(path, SOURCE) as writer:
        assert writer.finished


def test_another_source_or_a_foreign_database_is_not_written_to(tmp_path):
    path = fill(tmp_path / "x.lmdb")
    with pytest.raises(UserError, match=r"was made from \{'frames of': 'x'\}, not"):
        LmdbWriter(path, {"frames of": "y"})
    with lmdb.open(str(tmp_path / "foreign")) as database, database.begin(write=True) as transaction:
        transaction.put(b"a", b"1")
    with pytest.raises(UserError, match="did not make"):
        LmdbWriter(tmp_path / "foreign", SOURCE)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match="is no LMDB"):
        LmdbWriter(tmp_path / "folder", SOURCE)


def test_entries_lost_or_changed_in_size_are_noticed(tmp_path):
    for number, change in enumerate(
        (
            lambda transaction: transaction.delete(b"a/3.jpg"),
            lambda transaction: transaction.put(b"a/3.jpg", b"short"),
            lambda transaction: transaction.put(b"b", b""),
        )
    ):
        path = fill(tmp_path / f"{number}.lmdb")
        with lmdb.open(str(path)) as database, database.begin(write=True) as transaction:
            change(transaction)
        with pytest.raises(UserError, match="damaged: not the 20 entries"):
            open_storage(path).glob("*")
    path = fill(tmp_path / "manifest.lmdb")
    with lmdb.open(str(path)) as database, database.begin(write=True) as transaction:
        transaction.put(MANIFEST.encode(), json.dumps({"entries": 3}).encode())
    with pytest.raises(UserError, match="damaged: its manifest"):
        open_storage(path).glob("*")


def test_a_truncated_one_is_refused_by_reader_and_writer(tmp_path):
    path = fill(tmp_path / "x.lmdb")
    os.truncate(path / "data.mdb", (path / "data.mdb").stat().st_size // 2)
    for use in (lambda: open_storage(path).glob("*"), lambda: LmdbWriter(path, SOURCE)):
        with pytest.raises(UserError, match="truncated: it should have"):
            use()


def test_a_full_disk_is_one_line(tmp_path):
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(open_storage.__code__.co_filename).removesuffix("/lib/data/storage.py")!r})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
from lib.data.storage import LmdbWriter
from lib.errors import MachineError
try:
    with LmdbWriter({str(tmp_path / "x.lmdb")!r}, {{}}) as writer:
        for number in range(20):
            writer.put(str(number), b"1" * 50_000)
        writer.finish()
except MachineError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("refused:") and "x.lmdb: cannot write" in done.stdout, done.stderr


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError, match="cannot write"):
        LmdbWriter(tmp_path / "file" / "x.lmdb", SOURCE)
