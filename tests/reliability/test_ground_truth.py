"""F12: ground truth as users have it. What is meant is read, all alike; what is not is one line with file and line."""

import numpy as np
import pytest

from lib.data import benchmarks
from lib.data.image import encode_jpeg
from lib.errors import UserError

FRAME = encode_jpeg(np.full((96, 128, 3), 90, np.uint8))

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
    "corners": b"10.5,20.25,40.5,20.25,40.5,60.375,10.5,60.375\n11,21,42,21,42,62,11,62\n-3.5,0,4.25,0,4.25,8,-3.5,8\n",
    "mixed_places": b"10.5,20.25,30,40.125\n11,21.0,31,41.000\n-3.50,0,7.75,8\n",
}
INVALID = {  # name -> (bytes, the line to be named, words of the message)
    "three_columns": (b"1,2,3\n", 1, "expected 4 or 8 numbers, found 3"),
    "five_columns": (b"1,2,3,4,5\n", 1, "expected 4 or 8 numbers, found 5"),
    "eight_columns_after_four": (b"1,2,3,4\n1,2,3,4,5,6,7,8\n", 2, "expected 4 numbers, found 8"),
    "four_columns_after_eight": (b"1,2,5,2,5,8,1,8\n1,2,3,4\n", 2, "expected 8 numbers, found 4"),
    "nine_columns": (b"1,2,3,4,5,6,7,8,9\n", 1, "expected 4 or 8 numbers, found 9"),
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
    "folder": (None, None, "s a directory"),
    "only_bom": (b"\xef\xbb\xbf", None, "is empty"),
}


def write_dataset(folder, data, frames=3):
    """A dataset of one sequence with the ground truth `data` (bytes; None makes a folder in its place)."""
    images = folder / "a" / "img"
    images.mkdir(parents=True)
    for number in range(frames):
        (images / f"{number}.jpg").write_bytes(FRAME)
    place = folder / "a" / "groundtruth.txt"
    if data is None:
        place.mkdir()
    else:
        place.write_bytes(data)
    return place


def test_the_corpus_is_as_large_as_promised():
    assert len(VALID) >= 30 and len(INVALID) >= 40 and len(VALID) + len(INVALID) >= 60


@pytest.mark.parametrize("name", VALID)
def test_valid_variants_parse_alike(tmp_path, name):
    write_dataset(tmp_path / "set", VALID[name])
    (sequence,) = benchmarks.load(tmp_path / "set")
    assert sequence.boxes_xywh.dtype == np.float64 and len(sequence.frames()) == 3
    np.testing.assert_array_equal(sequence.boxes_xywh, ROWS)


@pytest.mark.parametrize("name", INVALID)
def test_invalid_files_name_file_and_line(tmp_path, name):
    data, line, words = INVALID[name]
    place = write_dataset(tmp_path / "set", data)
    with pytest.raises(UserError) as error:
        benchmarks.load(tmp_path / "set")
    message = str(error.value)
    assert message.startswith(f"{place}:{line}: " if line else f"{place}: ") and words in message
    assert message.isprintable() and len(message) < len(str(place)) + 120


@pytest.mark.parametrize("name", ["short_row", "five_columns", "text", "inf", "overflow", "binary", "empty", "folder"])
def test_the_command_ends_in_that_line(tmp_path, capsys, command, name):
    _, line, words = INVALID[name]
    place = write_dataset(tmp_path / "set", INVALID[name][0])
    code = command("test.py", "identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", tmp_path / "out")
    (message,) = capsys.readouterr().err.splitlines()
    assert code == 2
    assert message.startswith(f"lunar: error: {place}:{line}: " if line else f"lunar: error: {place}: ")
    assert words in message


@pytest.mark.parametrize("frames", [1, 2, 4, 30])
def test_other_rows_than_frames_fail_that_sequence_alone(tmp_path, capsys, command, frames):
    """Frames are counted when a sequence is tracked: the others are saved, and the code is that of failed sequences."""
    place = write_dataset(tmp_path / "set", VALID["tab"], frames)
    write_dataset(tmp_path / "other", VALID["tab"])
    (tmp_path / "other" / "a").rename(tmp_path / "set" / "b")
    code = command("test.py", "identity", "baseline", "--dataset", tmp_path / "set", "--save_dir", tmp_path / "out")
    message = capsys.readouterr().err
    assert code == 4 and f"set/a: {place}: a: 3 rows for {frames} frames" in message and "Traceback" not in message
    assert [path.name for path in (tmp_path / "out").rglob("?.txt")] == ["b.txt"]
