"""Where a dataset's files lie: a folder, a zip or an LMDB, read alike, so that every layout works in all three.

In an LMDB the keys are the file names (`<seq>/img/00000001.jpg`), as in STARK's and OSTrack's. One that we wrote also
has the key MANIFEST: what it was made from, whether it is finished, and the number and digest of its entries.
"""

import bisect
import contextlib
import fnmatch
import hashlib
import json
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import ClassVar

from ..errors import MachineError, UserError
from .image import natural_key

MAX_MEMBER_BYTES = 256 * 2**20
MANIFEST = "manifest.json"


class Folder:
    """A folder on disk."""

    def __init__(self, path):
        self.path = Path(path)

    def glob(self, pattern):
        """Names (posix, relative) that match a pattern such as `*/img/*.jpg`, in natural order."""
        found = self.path.glob(pattern) if pattern else ()
        return sorted((path.relative_to(self.path).as_posix() for path in found), key=natural_key)

    def read(self, name):
        """The bytes of a file. Raises UserError where it cannot be read."""
        try:
            return (self.path / name).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: no file can be called so
            raise UserError(f"cannot be read: {getattr(error, 'strerror', None) or error}", self.path / name) from error

    def place(self, name):
        """What to call a file in an error message; for a folder also its path."""
        return self.path / name


class _Packed:
    """What zip and LMDB share: one handle in each process, and names that are matched here."""

    def __init__(self, path):
        self.path = Path(path)
        self._process = None
        self._handle = None

    def _open(self):
        if self._process != os.getpid():  # a handle must not be shared with a forked worker
            self._process, self._handle = os.getpid(), self._connect()
        return self._handle

    def glob(self, pattern):
        matches = re.compile(fnmatch.translate(pattern)).match
        levels = pattern.count("/")  # as in a folder, * stays within one level
        prefix = re.match(r"[^*?\[]*", pattern)[0]
        names = (name for name in self._beginning_with(prefix) if name.count("/") == levels and matches(name))
        return sorted(names, key=natural_key)

    def place(self, name):
        return f"{self.path}/{name}"

    def __getstate__(self):
        return {**self.__dict__, "_process": None, "_handle": None}


class Zip(_Packed):
    """A zip archive, read in place; nothing is ever extracted to disk. One that holds anything suspect is refused."""

    # What zipfile raises for damaged archives; RuntimeError and ValueError stand for what it cannot or may not decode.
    _ERRORS = (OSError, EOFError, KeyError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error)
    _names = None

    def _beginning_with(self, prefix):
        names = self._checked_names()
        for number in range(bisect.bisect_left(names, prefix), len(names)):
            if not names[number].startswith(prefix):
                return
            yield names[number]

    def _connect(self):
        try:
            return zipfile.ZipFile(self.path)
        except self._ERRORS as error:
            raise UserError(f"not a readable zip: {error}", self.path) from error

    def _checked_names(self):
        if self._names is None:
            members = self._open().infolist()
            for member in members:
                fault = _fault(member)
                if fault:
                    raise UserError(f"refused: the member {member.orig_filename!r} {fault}", self.path)
            names = sorted(member.filename for member in members if not member.is_dir())
            if len(set(names)) != len(names):
                raise UserError("refused: the archive holds two members of one name", self.path)
            self._names = names
        return self._names

    def read(self, name):
        self._checked_names()
        try:
            with self._open().open(name) as member:
                # Not ZipFile.read: where the header understates the size, that unpacks the whole bomb first.
                return member.read(self._open().getinfo(name).file_size)
        except self._ERRORS as error:
            raise UserError(f"cannot be read from the zip: {error or 'it ends early'}", self.place(name)) from error


def _fault(member):
    """Why a member of a zip (zipfile.ZipInfo) is not to be trusted, or None."""
    path = PurePosixPath(member.filename)
    if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
        return "points outside the archive"
    if re.search(r"[\0-\x1f\x7f]", member.orig_filename):
        return "has a control character in its name"
    if not member.flag_bits & 0x800 and not member.filename.isascii():
        return "has a name that is not in UTF-8: pack the folder anew, as `python -m zipfile -c` does"
    if member.external_attr >> 28 == 0xA:
        return "is a link"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed by another method than deflate"
    if member.file_size > MAX_MEMBER_BYTES or member.file_size > 1000 * max(member.compress_size, 1000):
        return f"unpacks to {member.file_size} bytes"
    return None


class Lmdb(_Packed):
    """An LMDB whose keys are file names."""

    _databases: ClassVar[dict] = {}  # of this process, by path: the library opens each only once

    def _connect(self):
        path = self.path.resolve()
        process, database = self._databases.get(path, (None, None))
        if process != os.getpid():
            if database is not None:  # a forked worker inherits what its parent had open, and must not use it
                database.close()
            self._databases[path] = os.getpid(), self._open_database()
        return self._databases[path][1]

    def _open_database(self):
        import lmdb

        try:
            database = lmdb.open(str(self.path), readonly=True, lock=False, readahead=False, create=False)
        except lmdb.Error as error:
            raise UserError(f"not a readable LMDB: {error}", self.path) from error
        _check_size(database, self.path)
        _check_manifest(database, self.path)
        return database

    def _beginning_with(self, prefix):
        with self._open().begin() as transaction:
            cursor = transaction.cursor()
            if cursor.set_range(prefix.encode()):
                for key in cursor.iternext(keys=True, values=False):
                    name = bytes(key).decode(errors="replace")
                    if not name.startswith(prefix):
                        return
                    yield name

    def read(self, name):
        import lmdb

        try:
            with self._open().begin() as transaction:
                data = transaction.get(name.encode())
        except (lmdb.Error, UnicodeEncodeError) as error:
            raise UserError(f"cannot be read from the LMDB: {error}", self.place(name)) from error
        if data is None:  # a truncated database answers None too
            raise UserError("the key is not in the LMDB, or the database is damaged", self.place(name))
        return data


class LmdbWriter:
    """Writes an LMDB that `Lmdb` reads. What is there already stays, so that interrupted work is continued.

    with LmdbWriter(path, made_from) as writer: put what is not `in writer`, and `finish()`. Until then it is refused by
    readers. made_from (dict of plain types) says what is written; `finished` is True where there is nothing to do.
    Raises UserError where the LMDB at `path` was made from something else, MachineError where writing fails.
    """

    _FLUSH_BYTES = 32 * 2**20

    def __init__(self, path, made_from, map_size=2**28):
        import lmdb

        self.path, self.made_from, self._waiting, self._bytes = Path(path), made_from, {}, 0
        if self.path.exists() and not (self.path / "data.mdb").is_file():
            raise UserError("is there and is no LMDB: choose another name", path)
        _, reader = Lmdb._databases.pop(self.path.resolve(), (None, None))
        if reader is not None:  # the library opens each database once in a process
            reader.close()
        with self._errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._database = lmdb.open(str(path), map_size=map_size)
        _check_size(self._database, self.path)
        manifest = _read_manifest(self._database, self.path)
        if manifest is None and self._database.stat()["entries"]:
            raise UserError("holds an LMDB that this program did not make: choose another name", path)
        if manifest is not None and manifest["made_from"] != made_from:
            raise UserError(f"was made from {manifest['made_from']}, not {made_from}: choose another name", path)
        self.finished = manifest is not None and manifest["entries"] is not None
        if manifest is None:
            self.put(MANIFEST, self._manifest(None, None))

    def __enter__(self):
        return self

    def __exit__(self, *error):
        try:
            self._flush()
        finally:
            self._database.close()

    def __contains__(self, name):
        with self._database.begin() as transaction:
            return name in self._waiting or transaction.get(name.encode()) is not None

    def get(self, name):
        """The bytes of an entry, or None."""
        with self._database.begin() as transaction:
            return self._waiting.get(name) or transaction.get(name.encode())

    def put(self, name, data):
        """Write an entry. It reaches the disk together with others, in the order in which they were put."""
        self._waiting[name] = data
        self._bytes += len(data)
        if self._bytes > self._FLUSH_BYTES:
            self._flush()

    def finish(self):
        """Declare the LMDB complete: from now on it can be read."""
        self._flush()
        entries, digest = _digest(self._database)
        self.put(MANIFEST, self._manifest(entries, digest))
        self._flush()

    def _manifest(self, entries, digest):
        return json.dumps({"made_from": self.made_from, "entries": entries, "sha256": digest}).encode()

    def _flush(self):
        import lmdb

        while self._waiting:
            try:
                with self._errors(), self._database.begin(write=True) as transaction:
                    for name, data in self._waiting.items():
                        transaction.put(name.encode(), data)
                self._waiting, self._bytes = {}, 0
            except lmdb.MapFullError:
                self._database.set_mapsize(2 * self._database.info()["map_size"])

    @contextlib.contextmanager
    def _errors(self):
        import lmdb

        try:
            yield
        except lmdb.MapFullError:
            raise
        except (OSError, lmdb.Error) as error:
            raise MachineError(f"cannot write: {error}", self.path) from error


def _check_size(database, path):
    """Pages beyond the end of a truncated file would kill the process when they are touched."""
    needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
    if (path / "data.mdb").stat().st_size < needed:
        raise UserError(f"truncated: it should have {needed} bytes", path / "data.mdb")


def _read_manifest(database, path):
    """The manifest (dict) of an LMDB, or None where we did not write it."""
    with database.begin() as transaction:
        data = transaction.get(MANIFEST.encode())
    if data is None:
        return None
    try:
        manifest = json.loads(data)
        return {key: manifest[key] for key in ("made_from", "entries", "sha256")}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"damaged: its {MANIFEST} cannot be read: {error!r}", path) from None


def _check_manifest(database, path):
    manifest = _read_manifest(database, path)
    if manifest is None:
        return
    if manifest["entries"] is None:
        raise UserError("unfinished: run the command that was making it again", path)
    if (manifest["entries"], manifest["sha256"]) != _digest(database):
        raise UserError(f"damaged: not the {manifest['entries']} entries that were written", path)


def _digest(database):
    """The number of entries and a digest of their names and sizes, without touching what they hold."""
    digest, entries = hashlib.sha256(), 0
    with database.begin(buffers=True) as transaction:
        for key, value in transaction.cursor():
            if key != MANIFEST.encode():
                digest.update(b"%b\0%d\0" % (bytes(key), len(value)))
                entries += 1
    return entries, digest.hexdigest()


def open_storage(path):
    """Folder, Zip or Lmdb at `path`. Raises UserError where there is none."""
    path = Path(path)
    if not os.path.exists(path):  # unlike Path.exists, also for what can name no file
        raise UserError("no such file or folder", path)
    if (path / "data.mdb").is_file():
        return Lmdb(path)
    if path.is_dir():
        return Folder(path)
    if zipfile.is_zipfile(path):
        return Zip(path)
    raise UserError("expected a folder, a zip or an LMDB", path)
