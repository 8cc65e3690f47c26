"""Where a dataset's files lie: a folder, a zip or an LMDB, read alike, so that every layout works in all three.

In an LMDB the keys are the file names (`<seq>/img/00000001.jpg`), as in STARK's and OSTrack's.
"""

import fnmatch
import os
import re
import zipfile
from pathlib import Path, PurePosixPath

from lib.data.image import natural_key
from lib.errors import UserError

MAX_MEMBER_BYTES = 256 * 2**20


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
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", self.path / name) from error

    def place(self, name):
        """What to call a file in an error message; for a folder also its path."""
        return self.path / name


class _Packed:
    """What zip and LMDB share: names are listed once per process, and matched here."""

    def __init__(self, path):
        self.path = Path(path)
        self._process = None
        self._handle = None
        self._names = None

    def _open(self):
        if self._process != os.getpid():  # a handle must not be shared with a forked worker
            self._process, self._handle = os.getpid(), self._connect()
        return self._handle

    def glob(self, pattern):
        if self._names is None:
            self._names = sorted(self._list(), key=natural_key)
        # as in a folder, * stays within one level
        matcher = re.compile(
            "/".join(fnmatch.translate(part).removesuffix(r"\Z").removesuffix(r"\z") for part in pattern.split("/"))
            + r"\Z"
        )
        return [name for name in self._names if matcher.match(name)]

    def place(self, name):
        return f"{self.path}/{name}"

    def __getstate__(self):
        return {**self.__dict__, "_process": None, "_handle": None}


class Zip(_Packed):
    """A zip archive, read in place; nothing is ever extracted to disk."""

    def _connect(self):
        try:
            return zipfile.ZipFile(self.path)
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError(f"not a readable zip: {error}", self.path) from error

    def _list(self):
        names = []
        for member in self._open().infolist():
            path = PurePosixPath(member.filename)
            if path.is_absolute() or ".." in path.parts or "\\" in member.filename:
                raise UserError(f"refused: the member {member.filename!r} points outside the archive", self.path)
            if member.external_attr >> 28 == 0xA:
                raise UserError(f"refused: the member {member.filename!r} is a link", self.path)
            if member.file_size > MAX_MEMBER_BYTES or member.file_size > 1000 * max(member.compress_size, 1000):
                raise UserError(
                    f"refused: the member {member.filename!r} unpacks to {member.file_size} bytes", self.path
                )
            if not member.is_dir():
                names.append(member.filename)
        if len(set(names)) != len(names):
            raise UserError("refused: the archive holds two members of one name", self.path)
        return names

    def read(self, name):
        try:
            return self._open().read(name)
        except (KeyError, OSError, RuntimeError, zipfile.BadZipFile, zipfile.zlib.error) as error:
            raise UserError(f"cannot be read from the zip: {error}", self.place(name)) from error


class Lmdb(_Packed):
    """An LMDB whose keys are file names."""

    _databases = {}  # of this process, by path: the library opens each only once

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
        # Pages beyond the end of a truncated file would kill the process when they are touched.
        needed = (database.info()["last_pgno"] + 1) * database.stat()["psize"]
        if (self.path / "data.mdb").stat().st_size < needed:
            raise UserError(f"truncated: it should have {needed} bytes", self.path / "data.mdb")
        return database

    def _list(self):
        with self._open().begin() as transaction:
            return [
                bytes(key).decode(errors="replace") for key in transaction.cursor().iternext(keys=True, values=False)
            ]

    def read(self, name):
        import lmdb

        try:
            with self._open().begin() as transaction:
                data = transaction.get(name.encode())
        except lmdb.Error as error:
            raise UserError(f"cannot be read from the LMDB: {error}", self.place(name)) from error
        if data is None:  # a truncated database answers None too
            raise UserError("the key is not in the LMDB, or the database is damaged", self.place(name))
        return data


def open_storage(path):
    """Folder, Zip or Lmdb at `path`. Raises UserError where there is none."""
    path = Path(path)
    if (path / "data.mdb").is_file():
        return Lmdb(path)
    if path.is_dir():
        return Folder(path)
    if zipfile.is_zipfile(path):
        return Zip(path)
    raise UserError("expected a folder, a zip or an LMDB" if path.exists() else "no such file or folder", path)
