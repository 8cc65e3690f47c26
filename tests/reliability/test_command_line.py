"""The error contract at its one door, lib/cli.py: one line and a code, except for a fault of ours."""

import errno
import os
import sys

import pytest

from lib import cli
from lib.errors import FrameError, IncompleteError, MachineError, UserError


def ending(error, argv=()):
    """The exit code of a command in which `error` is raised."""

    @cli.command
    def main(_=None):
        raise error

    return main(list(argv))


def system_error(number, place="/a/b"):
    return OSError(number, os.strerror(number), place)


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("expected 4", "a.txt", 3), 2, "a.txt:3: expected 4"),
        (UserError("no \n line \x1b[2J", "a\nb"), 2, "a\\nb: no \\n line \\x1b[2J"),
        (FrameError("truncated", "\udcff.jpg"), 2, "\\udcff.jpg: truncated"),
        (MachineError("no GPU"), 3, "no GPU"),
        (IncompleteError("not scored: x"), 4, "not scored: x"),
        (system_error(errno.ENAMETOOLONG), 2, "/a/b: File name too long"),
        (system_error(errno.ENOSPC), 3, "/a/b: No space left on device"),
        (system_error(errno.ENOSPC, None), 3, "No space left on device"),
        (system_error(errno.EACCES), 3, "/a/b: Permission denied"),
        (system_error(errno.EROFS), 3, "/a/b: Read-only file system"),
        (system_error(errno.EMFILE), 3, "/a/b: Too many open files"),
        (
            ModuleNotFoundError("No module named 'lmdb'", name="lmdb"),
            3,
            "No module named 'lmdb'; install it with: pip install lmdb (or everything with: bash install.sh)",
        ),
    ],
)
def test_one_line_and_a_code(capsys, error, code, line):
    assert ending(error) == code
    assert capsys.readouterr().err == f"lunar: error: {line}\n"
    assert ending(error, ["--debug"]) == code
    shown = capsys.readouterr().err
    assert shown.startswith("Traceback") and shown.endswith(f"lunar: error: {line}\n")


def test_every_failed_sequence_has_a_line_of_its_own(capsys):
    assert ending(IncompleteError.of({"a": "x\ny", "b\x1b": "z"}, "sequences")) == 4
    assert capsys.readouterr().err == (
        "lunar: error: 2 sequences failed, the others are saved:\n  a: x\\ny\n  b\\x1b: z\n"
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueError("a bug"),
        system_error(errno.ENOENT),
        ImportError("cannot import name 'x' from 'lib.y'", name="lib.y"),
        ImportError("without a name"),
    ],
    ids=repr,
)
def test_a_fault_of_ours_keeps_its_traceback(error):
    with pytest.raises(type(error)):
        ending(error)


def test_what_the_terminal_cannot_show_is_spelt_out(capfd, monkeypatch):
    with open(os.dup(1), "w", encoding="ascii") as terminal:
        monkeypatch.setattr(sys, "stdout", terminal)
        assert cli.command(lambda _=None: print("夜 é"))([]) == 0
    assert capfd.readouterr().out == "\\u591c \\xe9\n"


@pytest.mark.parametrize("name", ["a" * 300, "a\nb", "/proc/self/mem/x", "/dev/null"])
@pytest.mark.parametrize(
    "words",
    [
        ["test.py", "identity", "baseline", "--dataset"],
        ["test.py", "identity", "baseline", "--dataset", "lasot", "--data_root"],
        ["analysis_results.py", "--results"],
        ["video_demo.py", "identity", "baseline", "--optional_box", "1", "2", "3", "4", "--save_video", "x.mp4"],
        ["train.py", "--config"],
    ],
    ids=" ".join,
)
def test_names_that_no_file_has(command, capsys, tmp_path, monkeypatch, words, name):
    monkeypatch.chdir(tmp_path)
    assert command(*words, *(["--"] if words[0] == "video_demo.py" else []), name) == 2
    message = capsys.readouterr().err
    assert message.startswith("lunar: error: ") and message.count("\n") == 1 and message[:-1].isprintable()
    assert not list(tmp_path.iterdir())
