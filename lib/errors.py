"""The errors a user can cause, each ending in one line on stderr and its own exit code.

Every other exception is a fault of ours: it keeps its traceback and exits with 1.
"""

import difflib
import os


def one_line(text):
    """`text` with control characters spelt out (\\n, \\x1b): a name in it breaks no line and commands no terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def nearest(name, known, cutoff=0.6):
    """ " (did you mean X?)" with the one of `known` (names) most like `name`, in capitals or not; "" where none is."""
    upper = {word.upper(): word for word in known}
    close = difflib.get_close_matches(name.upper(), upper, 1, cutoff)
    return f" (did you mean {upper[close[0]]}?)" if close else ""


class UserError(Exception):
    """Bad input or usage: the message names the file, the line where there is one, and what was expected."""

    exit_code = 2

    def __init__(self, message, path=None, line=None):
        place = "".join(f"{part}:" for part in (path and os.fspath(path), line) if part)
        super().__init__(one_line(f"{place} {message}" if place else message))


class MachineError(UserError):
    """The machine cannot do what was asked: disk full, a library or a GPU missing."""

    exit_code = 3


class FrameError(UserError):
    """A frame that is missing, empty, truncated or not an image. Never replaced by an invented one."""


class IncompleteError(UserError):
    """The work ended with some sequences failed; the rest is saved. The failures follow, each on a line of its own."""

    exit_code = 4

    def __init__(self, message, listed=()):
        super().__init__(message)
        self.args = ("\n  ".join([self.args[0], *map(one_line, listed)]),)

    @classmethod
    def of(cls, failed, what):
        """From {name: reason}. what: they are, in the plural."""
        listed = [f"{name}: {reason}" for name, reason in failed.items()]
        return cls(f"{len(failed)} {what} failed, the others are saved:", listed)
