"""Reading text files of numbers. What users' files look like is in tests/reliability/test_ground_truth.py."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.data import textfile
from lib.data.textfile import read_boxes, read_numbers
from lib.errors import UserError


def test_places_that_are_no_files(tmp_path):
    for path, words in ((tmp_path, "is a folder"), (tmp_path / "none.txt", "no such file"), ("a\0b", "cannot be read")):
        with pytest.raises(UserError, match=words):
            read_boxes(path)


def test_absent_rows(tmp_path):
    path = tmp_path / "a.txt"
    for row in (
        b"nan,nan,nan,nan",
        b"NaN\tNaN\tNaN\tNaN",
        b"NaN nan NAN nan",
        b"nan;nan;nan;nan",
        b"nan, nan, nan, nan,",
    ):
        path.write_bytes(row + b"\n1 2 3 4\n")
        np.testing.assert_array_equal(read_boxes(path), [[np.nan] * 4, [1, 2, 3, 4]])
        with pytest.raises(UserError, match=r"a\.txt:1: .*nan"):
            read_boxes(path, allow_nan=False)


def test_polygons(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"1,2,5,2,5,8,1,8\n0,5,5,0,10,5,5,10\nnan,nan,nan,nan,nan,nan,nan,nan\n")
    np.testing.assert_array_equal(read_boxes(path, columns=8), [[1, 2, 4, 6], [0, 0, 10, 10], [np.nan] * 4])
    np.testing.assert_array_equal(read_boxes(path, columns=(4, 8))[0], [1, 2, 4, 6])
    path.write_bytes(b"1,2,3,4\n0,5,5,0,10,5,5,10\n")
    with pytest.raises(UserError, match=r"a\.txt:2: expected 4 numbers, found 8"):
        read_boxes(path, columns=(4, 8))


def test_numbers(tmp_path):
    path = tmp_path / "a.txt"
    for data in (b"0\n1\n0\n", b"0,1,0\n", b"0,1,0,\n\n", b"0 1 0", b"\xef\xbb\xbf0\r\n1\r\n0"):
        path.write_bytes(data)
        np.testing.assert_array_equal(read_numbers(path), [0, 1, 0])
    for data in (b"", b"0\nnan\n", b"0\nx\n", b"0\n\n1\n"):
        path.write_bytes(data)
        with pytest.raises(UserError):
            read_numbers(path)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.lists(st.floats(-1e6, 1e6), min_size=4, max_size=4), min_size=1, max_size=8),
    form=st.sampled_from(["{:.0f}", "{:.3f}", "{:.9f}", "{}", "{:.17g}", "{:e}"]),
    delimiter=st.sampled_from([",", "\t", " ", ";", ", "]),
)
def test_every_number_is_what_float_says(tmp_path, rows, form, delimiter):
    path = tmp_path / "a.txt"
    fields = [[form.format(value) for value in row] for row in rows]
    path.write_text("\n".join(delimiter.join(row) for row in fields))
    np.testing.assert_array_equal(read_boxes(path), [[float(field) for field in row] for row in fields])


def test_needs_nothing_heavy():
    code = "import lib.data.textfile, sys; assert not {'torch', 'cv2', 'matplotlib'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=textfile.__file__.rsplit("/lib/", 1)[0])
