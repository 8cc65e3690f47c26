"""Files are written whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from .errors import MachineError, UserError


@contextlib.contextmanager
def atomic_path(path):
    """Yield a temporary path beside `path`; on success it is synced and renamed to `path`, on failure removed.

    Raises MachineError where that is impossible: a full disk, a folder that cannot be written.
    """
    path = Path(path)
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise MachineError(f"cannot write: {error.strerror}", path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_text(path, text):
    """Write `text` (str) to `path` as UTF-8, atomically."""
    write_bytes(path, text.encode())


def write_bytes(path, data):
    """Write `data` (bytes) to `path`, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def check_not_over(path, *inputs):
    """Raise UserError where `path` is one of the files or folders `inputs`, also through a link or another spelling."""
    for source in inputs:
        if os.path.exists(path) and os.path.exists(source) and os.path.samefile(path, source):
            raise UserError("would be written over the input", path)


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask
