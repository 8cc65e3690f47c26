"""Running a command where some folders are mounted read-only or somewhere else, which binds root too."""

import functools
import os
import shlex
import shutil
import subprocess

import pytest


def mounted(read_only=(), elsewhere=()):
    """The words to put before a command line. read_only: folders. elsewhere: (folder, empty folder it also appears in).

    The mounts are seen by that command alone. Skips the test where this user may mount nothing.
    """
    reason = _why_not()
    if reason:
        pytest.skip(f"mounts for one process cannot be made here: {reason}")
    return _words(read_only, elsewhere)


def _words(read_only, elsewhere):
    steps = [f"mount --bind {_quote(source)} {_quote(target)}" for source, target in elsewhere]
    for folder in map(_quote, read_only):
        steps += [f"mount --bind {folder} {folder}", f"mount -o remount,bind,ro {folder}"]
    rights = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", *rights, "--mount", "sh", "-c", " && ".join([*steps, 'exec "$@"']), "sh"]


def _quote(path):
    return shlex.quote(str(path))


@functools.cache
def _why_not():
    if not (shutil.which("unshare") and shutil.which("mount")):
        return "there is no unshare or no mount"
    tried = subprocess.run([*_words([os.getcwd()], []), "true"], capture_output=True, text=True)
    return tried.stderr.strip() or None
