"""The corpus of F12: what users' ground truth and result files look like, and what each must give."""

import re
import subprocess
import sys
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.data import textfile
from lib.data.textfile import read_boxes, read_numbers
from lib.errors import UserError

ROWS = [[10.5, 20.25, 30.0, 40.125], [11.0, 21.0, 31.0, 41.0], [-3.5, 0.0, 7.75, 8.0]]


def text(delimiter="\t", end="\n", last="\n", lead="", trail="", form="{:.3f}"):
    return end.join(lead + delimiter.join(form.format(v) for v in row) + trail for row in ROWS).encode() + last.encode()


VALID = {
    "tab": text(),
    "comma": text(","),
    "comma_space": text(", "),
    "space_comma": text(" ,"),
    "space": text(" "),
    "spaces": text("   ", lead="  "),
    "trailing_space": text(" ", trail="  "),
    "tab_space": text("\t "),
    "semicolon": text(";"),
    "semicolon_space": text("; "),
    "crlf": text(end="\r\n", last="\r\n"),
    "crlf_comma": text(",", end="\r\n", last=""),
    "cr": text(end="\r", last="\r"),
    "bom": b"\xef\xbb\xbf" + text(),
    "bom_comma_crlf": b"\xef\xbb\xbf" + text(",", end="\r\n"),
    "utf16_le": b"\xff\xfe" + text().decode().encode("utf-16-le"),
    "utf16_be": b"\xfe\xff" + text(",").decode().encode("utf-16-be"),
    "no_last_newline": text(last=""),
    "blank_lines_at_end": text(last="\n\n\n"),
    "blank_and_spaces_at_end": text(last="\n  \t\n \n"),
    "trailing_comma": text(",", trail=","),
    "trailing_comma_space": text(", ", trail=", "),
    "trailing_tab": text(trail="\t"),
    "trailing_semicolon": text(";", trail=";"),
    "exponent": text(form="{:.18e}"),
    "exponent_space": text(" ", form="{:.18e}"),
    "capital_exponent": text(",", form="{:.9E}"),
    "seventeen_digits": text(",", form="{:.17f}"),
    "plus_signs": text(",", form="{:+.3f}"),
    "mixed_delimiters": b"10.5\t20.25\t30\t40.125\n11,21,31,41\n-3.5 0 7.75 8\n",
    "no_leading_zero": b"10.5,20.25,30,40.125\n11,21,31,41\n-3.5,.0,7.75,8.\n",
    "mixed_places": b"10.5,20.25,30,40.125\n11,21.0,31,41.000\n-3.50,0,7.75,8\n",
}
INVALID = {  # name -> (bytes, the line to be named, words of the message)
    "three_columns": (b"1,2,3\n", 1, "expected 4 numbers, found 3"),
    "five_columns": (b"1,2,3,4,5\n", 1, "expected 4 numbers, found 5"),
    "eight_columns": (b"1,2,3,4,5,6,7,8\n", 1, "expected 4 numbers, found 8"),
    "short_row": (b"1,2,3,4\n1,2,3,4\n1,2,3\n", 3, "expected 4 numbers, found 3"),
    "long_row": (b"1\t2\t3\t4\n1\t2\t3\t4\t5\n", 2, "expected 4 numbers, found 5"),
    "cut_off": (b"1\t2\t3\t4\n1\t2", 2, "expected 4 numbers, found 2"),
    "header": (b"x,y,w,h\n1,2,3,4\n", 1, "found 'x'"),
    "text": (b"1 2 3 4\n1 two 3 4\n", 2, "found 'two'"),
    "html": (b"<!DOCTYPE html>\n<html></html>\n", 1, "expected a number"),
    "json": (b'{"a": [1,2,3,4]}\n', 1, "expected a number"),
    "comment": (b"# x y w h\n1 2 3 4\n", 1, "found '#'"),
    "inf": (b"1,2,3,4\n1,2,inf,4\n", 2, "found 'inf'"),
    "minus_infinity": (b"1,2,-Infinity,4\n", 1, "found '-Infinity'"),
    "overflow": (b"1,2,3,1e400\n", 1, "found '1e400'"),
    "far_away": (b"1,2,3,4e15\n", 1, "found '4e15'"),
    "far_away_digits": (b"1,2,3,40000000000\n", 1, "found '40000000000'"),
    "half_nan": (b"1,2,3,4\nnan,nan,3,4\n", 2, "or nan in every field"),
    "empty_field": (b"1,2,,4\n", 1, "found ''"),
    "two_trailing_commas": (b"1,2,3,4,,\n", 1, "found ''"),
    "decimal_comma": (b"1,5;2,5;3,5;4,5\n", 1, "found '1,5'"),
    "underscore": (b"1_0,2,3,4\n", 1, "found '1_0'"),
    "arabic_digits": ("١,2,3,4\n".encode(), 1, "expected a number"),
    "unicode_minus": ("−1,2,3,4\n".encode(), 1, "expected a number"),
    "hexadecimal": (b"0x1,2,3,4\n", 1, "found '0x1'"),
    "two_points": (b"1.2.3,2,3,4\n", 1, "found '1.2.3'"),
    "two_minuses": (b"--1,2,3,4\n", 1, "found '--1'"),
    "minus_inside": (b"1-1,2,3,4\n", 1, "found '1-1'"),
    "point_before_minus": (b".-1,2,3,4\n", 1, "found '.-1'"),
    "only_minus": (b"-,2,3,4\n", 1, "found '-'"),
    "only_point": (b".,2,3,4\n", 1, "found '.'"),
    "brackets": (b"[1,2,3,4]\n", 1, "found '[1'"),
    "blank_inside": (b"1,2,3,4\n\n1,2,3,4\n", 2, "is blank"),
    "blank_of_spaces_inside": (b"1 2 3 4\n   \n1 2 3 4\n", 2, "is blank"),
    "blank_first": (b"\n1,2,3,4\n", 1, "is blank"),
    "null_byte": (b"1,2,3,4\n1,2,\x003,4\n", None, "not a text file"),
    "binary": (bytes(range(256)), None, "not a text file"),
    "jpeg": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00", None, "not a text file"),
    "zip": (b"PK\x03\x04\x14\x00\x00\x00\x08\x00\xaa\xff", None, "not a text file"),
    "utf16_without_mark": ("1,2,3,4\n".encode("utf-16-le"), None, "not a text file"),
    "utf16_odd": (b"\xff\xfe1\x00,", None, "not a text file"),
    "empty": (b"", None, "is empty"),
    "only_blank": (b"\n  \n\t\n", None, "is empty"),
    "only_bom": (b"\xef\xbb\xbf", None, "is empty"),
}


@pytest.mark.parametrize("name", VALID)
def test_valid_variants_parse_alike(tmp_path, name):
    path = tmp_path / "groundtruth.txt"
    path.write_bytes(VALID[name])
    boxes = read_boxes(path)
    assert boxes.dtype == np.float64
    np.testing.assert_array_equal(boxes, ROWS)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_files_name_file_and_line(tmp_path, name):
    data, line, words = INVALID[name]
    path = tmp_path / "groundtruth.txt"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        read_boxes(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: ") and words in message
    assert "\n" not in message and len(message) < len(str(path)) + 120


def test_corpus_is_as_large_as_promised():
    assert len(VALID) + len(INVALID) >= 60


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


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=60), st.text("0123456789.-+eEnaNif_ ,;\t\n\r", max_size=60).map(str.encode)))
def test_any_bytes_give_boxes_or_one_line(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    try:
        boxes = read_boxes(path)
    except UserError as error:
        assert re.match(re.escape(str(path)) + r":(\d+:)? .", str(error)) and "\n" not in str(error)
    else:
        np.testing.assert_array_equal(boxes, textfile._parse_slowly(data, path, (4,), True))


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
