"""Text files of numbers: ground truth, results, times, flags. Strict about what they hold, not about what separates it.

Accepted: tabs, blanks, commas or semicolons between numbers, one of them trailing; any line ending; a UTF-8 or UTF-16
byte order mark; blank lines at the end. Everything else is a UserError naming file and line, never a guess.
"""

import codecs
import io

import numpy as np

from ..errors import UserError

LIMIT = 1e9  # px; nothing in an image is farther out, and squares of larger numbers lose their meaning

_POWERS = 10.0 ** np.arange(16)
_ENCODINGS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


def read_boxes(path, columns=4, allow_nan=True):
    """Boxes of a text file, one row a frame.

    path: file with `x y w h` (columns=4), the four corners `x1 y1 ... x4 y4` (columns=8, turned into the axis-aligned
        box around them), or whichever of the two the first row has (columns=(4, 8)), in pixels.
    allow_nan: accept rows of only `nan` (target absent).
    Returns (N, 4) float64 xywh, N >= 1. Widths and heights are not judged here.
    Raises UserError with file and line where a row is not what was expected, or the file is empty or no text file.
    """
    return parse_boxes(_bytes(path), path, columns, allow_nan)


def parse_boxes(data, path, columns=4, allow_nan=True):
    """As read_boxes, from the file's bytes; `path` only names the place in errors."""
    rows = _parse(data, path, columns if isinstance(columns, tuple) else (columns,), allow_nan)
    if rows.shape[1] == 8:
        corners = rows.reshape(-1, 4, 2)
        low = corners.min(axis=1)
        rows = np.concatenate([low, corners.max(axis=1) - low], axis=1)
    return rows


def read_numbers(path):
    """Finite numbers, one a line or (LaSOT's flags) all on one line. Returns (N,) float64, N >= 1. Raises UserError."""
    return parse_numbers(_bytes(path), path)


def parse_numbers(data, path):
    """As read_numbers, from the file's bytes; `path` only names the place in errors."""
    return _parse(data, path, None, False).ravel()


def parse_rows(data, path, least):
    """Rows of finite numbers that need not be equally long, each of at least `least`: a list of lists. Blank lines are
    left out. `path` only names the place in errors. Raises UserError with file and line.
    """
    rows = []
    for number, line in enumerate(decode(data, path).splitlines(), 1):
        row = _row(line, path, number) if line.strip() else []
        if line.strip() and len(row) < least:
            raise UserError(f"expected at least {least} numbers, found {len(row)}", path, number)
        if any(value != value for value in row):
            raise UserError("expected finite numbers, found nan", path, number)
        rows += [row] if row else []
    return rows


def first_row(data, path):
    """The numbers of the first line that is not blank. `path` only names the place in errors. Raises UserError."""
    for number, line in enumerate(decode(data, path).splitlines(), 1):
        if line.strip():
            return _row(line, path, number)
    raise UserError("is empty", path)


def _parse(data, path, columns, allow_nan):
    rows = _parse_fast(data)
    if rows is None or (columns and rows.shape[1] not in columns) or not _plausible(rows, allow_nan):
        rows = _parse_slowly(data, path, columns, allow_nan)
    return rows


def _plausible(rows, allow_nan):
    fine = np.abs(rows) < LIMIT
    return fine.all() or (allow_nan and (fine | np.isnan(rows).all(axis=1, keepdims=True)).all())


def _bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except IsADirectoryError:
        raise UserError("is a folder, expected a text file of numbers", path) from None
    except FileNotFoundError:
        raise UserError("no such file", path) from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read: {getattr(error, 'strerror', None) or error}", path) from None


def _parse_fast(data):
    """Rows of the files that nearly everybody has; None where it takes a look at every line."""
    data = (data.replace(b"\r\n", b"\n") if b"\r" in data else data).rstrip() + b"\n"
    delimiter = b"\t" if b"\t" in data else b","
    unusual = data.translate(None, b"0123456789.-\n" + delimiter)
    if not unusual:
        rows = _parse_fixed_point(data, delimiter)
        if rows is not None:
            return rows
    if not data.strip() or unusual.translate(None, b" +eEnNaA"):
        return None
    try:
        rows = np.loadtxt(io.BytesIO(data), delimiter="," if b"," in data else None, ndmin=2)
    except ValueError:
        return None
    return rows if len(rows) == data.count(b"\n") else None  # loadtxt passes over blank lines


def _parse_fixed_point(data, delimiter):
    """(N, columns) float64, the same as float() of each field but several times faster; None if this cannot be done.

    data: bytes of digits, points, minus signs, line feeds and `delimiter`, ending in a line feed. A number of at most
    15 digits is an integer below 2^53 divided by a power of ten, which rounds correctly: nothing is approximated.
    """
    text = np.frombuffer(data, np.uint8)
    end = np.flatnonzero(text < ord("-"))  # tab, line feed and comma come before the minus, all else does not
    columns = data.count(delimiter, 0, data.index(b"\n")) + 1
    if end.size % columns or text[end].tobytes() != (delimiter * (columns - 1) + b"\n") * (end.size // columns):
        return None
    dots = np.flatnonzero(text == ord("."))
    dotted = np.arange(end.size) if dots.size == end.size else np.searchsorted(end, dots)
    places = np.zeros(end.size, np.intp)
    places[dotted] = end[dotted] - dots - 1

    digits = np.frombuffer(data.translate(None, b"."), np.uint8)
    end = np.flatnonzero(digits < ord("-"))
    start = np.concatenate([[0], end[:-1] + 1])
    minus = digits[start] == ord("-")
    length = end - start - minus
    if (
        (length < 1).any()
        or (length > 15).any()
        or (places < 0).any()
        or (places > length).any()
        or (np.diff(dotted) < 1).any()
        or np.count_nonzero(digits == ord("-")) != np.count_nonzero(minus)
    ):
        return None
    value = np.zeros(end.size)
    digits = digits - float(ord("0"))
    for k in range(length.max()):
        value += (k < length) * digits[end - 1 - k] * _POWERS[k]
    return (np.where(minus, -value, value) / _POWERS[places]).reshape(-1, columns)


def _parse_slowly(data, path, columns, allow_nan):
    lines = decode(data, path).replace("\r\n", "\n").replace("\r", "\n").rstrip().split("\n")
    if lines == [""]:
        raise UserError("is empty, expected rows of numbers", path)
    rows = []
    for number, line in enumerate(lines, 1):
        row = _row(line, path, number)
        if columns is None:
            rows.extend(row)
            continue
        if len(row) not in columns or (rows and len(row) != len(rows[0])):
            expected = len(rows[0]) if rows else " or ".join(map(str, columns))
            raise UserError(f"expected {expected} numbers, found {len(row)}", path, number)
        if any(value != value for value in row) and not (allow_nan and all(value != value for value in row)):
            rule = "or nan in every field" if allow_nan else "nan has no meaning here"
            raise UserError(f"expected {len(row)} finite numbers ({rule})", path, number)
        rows.append(row)
    rows = np.array(rows, dtype=np.float64)
    if columns is None and np.isnan(rows).any():
        raise UserError("expected finite numbers, found nan", path)
    return rows


def decode(data, path):
    """The text in a file's bytes; `path` only names the place in errors. Raises UserError where it is none."""
    encoding = next((name for mark, name in _ENCODINGS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        raise UserError("is not a text file of numbers", path) from None
    if "\0" in text:
        raise UserError("is not a text file of numbers", path)
    return text


def _row(line, path, number):
    if not line.strip():
        raise UserError("is blank, expected a row of numbers", path, number)
    delimiter = next((mark for mark in ";," if mark in line), None)
    fields = [field.strip() for field in line.split(delimiter)]
    if delimiter and not fields[-1]:
        fields.pop()
    values = []
    for field in fields:
        try:
            value = float(field) if field.isascii() and "_" not in field else None
        except ValueError:
            value = None
        if value is None:
            raise UserError(f"expected a number, found {field[:40]!r}", path, number)
        if abs(value) >= LIMIT:
            raise UserError(f"expected a number within +-{LIMIT:g}, found {field[:40]!r}", path, number)
        values.append(value)
    return values


def read_number(text, path, line):
    """The number that a field holds, below LIMIT. Raises UserError."""
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) < LIMIT:
        raise UserError(f"expected a number, found {text[:40]!r}", path, line)
    return value
