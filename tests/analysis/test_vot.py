"""Supervised results of VOT: overlap in pixels, fragments and EAO by hand, files, and what is said of wrong ones."""

import json

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import UserError
from lib.test.analysis import vot

SIZE = (200, 100)
SQUARE = [0, 0, 10, 10]
DIAMOND = [5, 0, 10, 5, 5, 10, 0, 5]


def corners(*rows):
    return vot._corners([list(row) for row in rows], lambda index, what: AssertionError(what))


def overlap(first, second, size=SIZE):
    return vot.overlaps(corners(first), corners(second), size)[0]


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


# ---- overlap --------------------------------------------------------------------------------------------------------


def test_rectangles_by_hand():
    assert overlap(SQUARE, SQUARE) == 1
    assert overlap(SQUARE, [5, 0, 10, 10]) == 66 / (121 + 121 - 66)  # 11 x 11 px each, 6 x 11 of them shared
    assert overlap(SQUARE, [10, 0, 10, 10]) == 0  # an edge in common is none
    assert overlap(SQUARE, [50, 50, 10, 10]) == 0
    assert overlap([0.4, 0.4, 10, 10], SQUARE) == 1  # corners are rounded
    assert overlap([0.5, 0, 10, 10], SQUARE) == 110 / 132  # 0.5 to 1, 10.5 to 11


def test_diamond_by_hand():
    # rows 1 to 9 of the diamond have 3, 5, 7, 9, 11, 9, 7, 5, 3 px; its tips have none
    assert overlap(DIAMOND, SQUARE) == 59 / 121
    assert overlap(DIAMOND, DIAMOND) == 1
    assert overlap(DIAMOND[4:] + DIAMOND[:4], SQUARE) == overlap(DIAMOND[::-1], SQUARE) == 59 / 121


def test_only_pixels_inside_the_image_count():
    assert overlap([-10, 0, 20, 10], SQUARE) == 1  # columns 0 to 10 are left of it
    assert overlap([195, 0, 20, 10], [195, 0, 4, 10]) == 1  # columns 195 to 199
    assert overlap([300, 0, 10, 10], [300, 0, 10, 10]) == 0
    assert overlap([-10, 0, 20, 10], SQUARE, (1000, 1000)) == 1


def test_unknown_regions_have_no_overlap():
    found = vot.overlaps(corners([1], SQUARE, SQUARE), corners(SQUARE, [0], SQUARE), SIZE)
    np.testing.assert_array_equal(found, [np.nan, np.nan, 1])
    assert vot.overlaps(corners([1]), corners(SQUARE), SIZE).shape == (1,)


def test_more_corners_than_four():
    octagon = [3, 0, 7, 0, 10, 3, 10, 7, 7, 10, 3, 10, 0, 7, 0, 3]
    both = corners(octagon, SQUARE)  # beside each other the square has its last corner repeated
    assert vot.overlaps(both, corners(octagon, SQUARE), SIZE).tolist() == [1, 1]
    assert vot.overlaps(both, corners(SQUARE, octagon), SIZE).tolist() == [overlap(octagon, SQUARE)] * 2


def test_large_rotated_boxes_agree_with_exact_areas():
    shapely = pytest.importorskip("shapely", reason="shapely comes with the got10k package, which is not installed")
    generator = np.random.default_rng(0)
    boxes = np.concatenate([generator.uniform(200, 800, (2, 300, 2)), generator.uniform(200, 500, (2, 300, 2))], axis=2)
    angle = generator.uniform(0, np.pi, (2, 300, 1))
    corner = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    x, y = (boxes[..., None, 2:] * corner).swapaxes(2, 3).swapaxes(0, 2).swapaxes(1, 2)  # each (2, 300, 4)
    turned = np.stack([x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)], axis=-1)
    first, second = turned + boxes[:, :, None, :2]
    image = shapely.box(0, 0, 1000, 900)
    a, b = (shapely.intersection(shapely.polygons(each), image) for each in (first, second))
    shared = shapely.area(shapely.intersection(a, b))
    exact = shared / (shapely.area(a) + shapely.area(b) - shared)
    np.testing.assert_allclose(vot.overlaps(first, second, (1000, 900)), exact, atol=0.02)


numbers = st.floats(-1000, 1000) | st.integers(-20, 20)


@settings(max_examples=100, deadline=None)
@given(first=st.lists(numbers, min_size=4, max_size=4), second=st.lists(numbers, min_size=4, max_size=4))
def test_any_rectangles_give_shares(first, second):
    found = overlap(first, second)
    assert 0 <= found <= 1 and found == overlap(second, first)
    area = overlap(first, first)
    assert area in (0, 1)


# ---- measures -------------------------------------------------------------------------------------------------------


def test_expected_overlaps_by_hand():
    nan = np.nan
    kept = np.array([nan, 0.5, 1, 0.75, 0.75])  # never failed
    failed = np.array([nan, 0.5, nan, nan, nan, nan, nan, nan, 1])  # failed in frame 2, started again in frame 7
    curve = vot.expected_overlaps([kept, failed], [np.array([], int), np.array([2])], [1, 1])
    # fragments without their first frame: .5 1 .75 .75 | .5 0 0 0 0 0 0 0 (zero for ever) | 1 (frame 8; then unknown)
    expected = [1, (0.5 + 0.5 + 1) / 3, (0.75 + 0.25) / 2, (0.75 + 0.5 / 3) / 2, (0.75 + 0.125) / 2]
    np.testing.assert_allclose(curve, expected + [0.5 / 5, 0.5 / 6, 0.5 / 7, 0.5 / 8])
    assert vot.eao(curve, (3, 5)) == pytest.approx(np.mean(expected[2:]))
    assert vot.eao(curve, (9, 100)) == pytest.approx(0.5 / 8)
    assert np.isnan(vot.eao(curve, (10, 100)))


def test_repetitions_share_the_weight_of_their_sequence():
    good, bad, none = np.array([np.nan, 1, 1]), np.array([np.nan, 0.25, 0.25]), np.array([], int)
    alone = vot.expected_overlaps([good, bad], [none, none], [1, 1])
    twice = vot.expected_overlaps([good, good, bad], [none] * 3, [0.5, 0.5, 1])
    np.testing.assert_allclose(alone, twice)
    assert alone[2] == 0.625


def test_a_failure_too_late_to_start_again_starts_no_fragment():
    run = np.array([np.nan, 1, 1, np.nan, np.nan])
    np.testing.assert_allclose(vot.expected_overlaps([run], [np.array([3])], [1]), [1, 1, 1, 2 / 3, 0.5])


@pytest.fixture
def two_sequences(tmp_path):
    """20 and 16 frames of 200 x 100 px, as JSON; one tracker that is perfect on `a` and fails on `b` in frame 4."""
    truth = {name: {"gt_rect": [SQUARE] * count, "width": 200, "height": 100} for name, count in (("a", 20), ("b", 16))}
    write(tmp_path / "vot2018.json", json.dumps(truth))
    square = "0,0,10,10\n"
    write(tmp_path / "r/mine/baseline/a/a_001.txt", "1\n" + 19 * square)
    write(tmp_path / "r/mine/baseline/b/b_001.txt", "1\n" + 3 * square + "2\n0\n0\n0\n0\n1\n" + 6 * "5,0,10,10\n")
    return tmp_path


def test_accuracy_and_robustness_by_hand(two_sequences):
    sequences = vot.read_truth(two_sequences / "vot2018.json")
    found = vot.evaluate(two_sequences / "r/mine/baseline", sequences, (1, 20))
    # the first ten frames of a and all of b, whose second start is in frame 9, are burn-in
    assert found["accuracy"] == 1 and found["failures"] == 1 and found["robustness"] == pytest.approx(100 / 36)
    assert [row["accuracy"] for row in found["sequences"]] == pytest.approx([1, np.nan], nan_ok=True)
    assert [row["failures"] for row in found["sequences"]] == [0, 1]
    # lengths 2 to 7 have three fragments: 1 | 1 1 1 0 0 ... | 66/176 in six frames
    third = 66 / 176
    assert found["curve"][1] == pytest.approx((1 + 1 + third) / 3)
    assert found["curve"][6] == pytest.approx((1 + 3 / 6 + third) / 3)
    assert found["curve"][7] == pytest.approx((1 + 3 / 7) / 2)
    assert found["eao"] == pytest.approx(np.mean(found["curve"]))


def test_repetitions_are_averaged(two_sequences):
    place = two_sequences / "r/mine/baseline/a"
    write(place / "a_002.txt", "1\n" + 9 * "0,0,10,10\n" + 10 * "5,0,10,10\n")
    write(place / "a_time.txt", "0.1\n" * 20)
    write(place / "a_001_confidence.value", "nonsense")
    sequences = vot.read_truth(two_sequences / "vot2018.json")
    found = vot.evaluate(place.parent, sequences, (1, 20))["sequences"][0]
    assert found["repetitions"] == 2 and found["accuracy"] == pytest.approx((1 + 66 / 176) / 2)


# ---- files ----------------------------------------------------------------------------------------------------------


def test_folder_of_sequences(tmp_path):
    for name, frames in (("a", "color"), ("b", "")):
        write(tmp_path / name / "groundtruth.txt", "5,0,10,5,5,10,0,5\n0,0,10,10\n")
        (tmp_path / name / frames).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name / frames / "00000001.jpg"), np.zeros((90, 160, 3), np.uint8))
    sequences = vot.read_truth(tmp_path)
    assert [one.name for one in sequences] == ["a", "b"] and {one.size for one in sequences} == {(160, 90)}
    np.testing.assert_array_equal(sequences[0].corners, corners(DIAMOND, SQUARE))


def test_json_without_sizes_looks_at_the_first_frame(tmp_path):
    place = write(tmp_path / "VOT2018.json", json.dumps({"a": {"gt_rect": [SQUARE], "img_names": ["a/1.png"]}}))
    with pytest.raises(UserError, match=r"1\.png: cannot be read: No such file"):
        vot.read_truth(place)
    (tmp_path / "a").mkdir()
    cv2.imwrite(str(tmp_path / "a/1.png"), np.zeros((90, 160, 3), np.uint8))
    assert vot.read_truth(place)[0].size == (160, 90)


SQUARES = 19 * "0,0,10,10\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"a_001\.txt: is empty, expected a row a frame"),
        ("1\n", r"a_001\.txt: expected 20 rows, one a frame, found 1"),
        ("0,0,10,10\n" + SQUARES, r"a_001\.txt:1: expected 1, the start of the tracker"),
        ("3\n" + SQUARES, r"a_001\.txt:1: expected 0, 1, 2 or a region, found 3"),
        ("1\n1.5\n" + SQUARES[:-10], r"a_001\.txt:2: expected 0, 1, 2 or a region, found 1\.5"),
        ("1\n1,2,3\n" + SQUARES[:-10], r"a_001\.txt:2: expected x,y,w,h or the corners .* found 3 numbers"),
        ("1\n1,2,3,4,5\n" + SQUARES[:-10], r"a_001\.txt:2: expected x,y,w,h or the corners .* found 5 numbers"),
        ("1\n0,0,10,0,0,10,10,10\n" + SQUARES[:-10], r"a_001\.txt:2: expected a convex polygon"),
        ("1\n1,2,x,4\n" + SQUARES[:-10], r"a_001\.txt:2: expected numbers, found '1,2,x,4'"),
        ("1\n\n" + SQUARES[:-10], r"a_001\.txt:2: expected numbers within"),
        ("1\nnan,nan,nan,nan\n" + SQUARES[:-10], r"a_001\.txt:2: expected numbers within"),
        ("1\n0,0,1e300,10\n" + SQUARES[:-10], r"a_001\.txt:2: expected numbers within"),
    ],
)
def test_malformed_results_are_one_line(two_sequences, text, message):
    write(two_sequences / "r/mine/baseline/a/a_001.txt", text)
    with pytest.raises(UserError, match=message) as caught:
        vot.evaluate(two_sequences / "r/mine/baseline", vot.read_truth(two_sequences / "vot2018.json"), (1, 20))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"t\.json:1: not JSON"),
        ("[]", r"t\.json: expected sequences by name"),
        (100_000 * "[", r"t\.json: not JSON, or nested"),
        ("\xff", r"t\.json:1: not JSON"),
        ("{}", r"t\.json: no sequences here"),
        ('{"a": 3}', r"t\.json: a: expected a list of regions called gt_rect"),
        ('{"a": {"gt_rect": []}}', r"t\.json: a: expected a list of regions"),
        ('{"a": {"gt_rect": [[1, "x", 3, 4]]}}', r"t\.json: a: expected numbers in gt_rect"),
        ('{"a": {"gt_rect": [[0, 0, 9, 9]]}}', r"t\.json: a: expected width and height, or img_names"),
        (
            '{"a": {"gt_rect": [[0, 0, 9, 9], [1, 2]], "width": 9, "height": 9}}',
            r"t\.json: a: frame 2: expected x,y,w,h",
        ),
    ],
)
def test_malformed_truth_is_one_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message) as caught:
        vot.read_truth(write(tmp_path / "t.json", text))
    assert "\n" not in str(caught.value)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=60) | st.text("012.,-enaf \n", max_size=60).map(str.encode))
def test_any_bytes_give_a_result_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "any_001.txt"
    path.write_bytes(data)
    try:
        rows = vot._rows(path)
        vot._read_result(path, len(rows))
    except UserError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_command(two_sequences, command, capsys):
    where = (two_sequences / "r", "--truth", two_sequences / "vot2018.json")
    write(two_sequences / "r/worse/baseline/a/a_001.txt", "1\n" + SQUARES)
    write(two_sequences / "r/worse/baseline/b/b_001.txt", "1\n2\n0\n0\n0\n0\n1\n" + 9 * "0,0,10,10\n")
    assert command("vot_results.py", *where, "--interval", 2, 10, "--json", two_sequences / "out.json") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "2 sequences, 36 frames" in lines[0] and [line.split()[0] for line in lines[3:]] == ["mine", "worse"]
    (report,) = json.loads((two_sequences / "out.json").read_text())["datasets"]
    assert report["interval"] == [2, 10] and [row["tracker"] for row in report["trackers"]] == ["mine", "worse"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no sequence has the 100 frames that EAO begins at, the longest has 20"),
        (("--interval", 0, 10), "--interval 0 10: expected 1 <= LOW <= HIGH"),
        (("--interval", 2, 10, "--trackers", "other"), "r: no results of other; expected <tracker>/baseline"),
        (("--interval", 2, 10, "--experiment", "realtime"), "r: no results here; expected <tracker>/realtime"),
        (("--interval", 2, 10), "baseline/b: no results of the sequence; expected b_001.txt"),
    ],
)
def test_command_says_what_is_wrong(two_sequences, command, capsys, words, message):
    (two_sequences / "r/mine/baseline/b/b_001.txt").unlink()
    assert command("vot_results.py", two_sequences / "r", "--truth", two_sequences / "vot2018.json", *words) == 2
    error = capsys.readouterr().err
    assert error.startswith("lunar: error: ") and error.count("\n") == 1 and message in error


def test_an_unknown_dataset_needs_its_interval(two_sequences, command, capsys):
    (two_sequences / "vot2018.json").rename(two_sequences / "mine.json")
    assert command("vot_results.py", two_sequences / "r", "--truth", two_sequences / "mine.json") == 2
    assert "no interval of EAO is known for 'mine.json': pass --interval LOW HIGH" in capsys.readouterr().err
