"""The census against numbers that follow from how the dataset was made."""

import json
import math

import numpy as np
import pytest

from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.test.analysis import census, tables


class Frames(list):
    fps = 30.0


def video(name, count, side, level=60, fps=30.0, labelled=None, size=(200, 100), **facts):
    """A video of one level, faintly yellow, whose target rests."""
    boxes = np.tile(np.float64([40, 30, side, side]), (count, 1))
    boxes[count if labelled is None else labelled :] = np.nan

    def opener():
        frames = Frames(np.full((size[1], size[0], 3), (level, level, level - 5), np.uint8) for _ in range(count))
        frames.fps = fps
        return frames

    return Sequence(name, "made", boxes, opener, **facts)


@pytest.fixture
def made():
    return [
        video("a", 30, 3, level=20, category="bird", attributes=("SV", "LI")),
        video("b", 60, 12, level=80, fps=60.0, category="drone", attributes=("SV",)),
        video("c", 90, 40, level=200, labelled=60, category="bird"),
        video("d", 20, 5, labelled=1),
    ]


def test_counts(made):
    one = census.take("made", made)
    assert (one["videos"], one["classes"]) == (4, 2)
    assert (one["min"], one["mean"], one["max"], one["frames"]) == (20, 50, 90, 200)
    assert one["seconds"] == pytest.approx(1 + 1 + 3 + 20 / 30)
    assert (one["labelled"], one["unlabelled"]) == (151, 49)
    assert one["attributes"] == {"LI": 1, "SV": 2}
    assert one["derived"] == {"tiny (LaTOT)": 2, "tiny (NT-VOT211)": 1}, "one labelled frame tells nothing"
    assert one["sized"] == 3
    assert one["tiny"] == {
        "LaTOT": pytest.approx(2 / 3),
        "LaTOT, as an area": pytest.approx(2 / 3),
        "NT-VOT211": pytest.approx(1 / 3),
    }
    assert one["tiny_frames"] == {"LaTOT": pytest.approx(90 / 150), "NT-VOT211": pytest.approx(30 / 150)}
    assert one["median_side"] == 12
    assert one["side_buckets"] == [30, 0, 60, 0, 60, 0, 0]
    assert sum(one["sides"]) == sum(one["relative_sizes"]) == 150
    assert one["brightnesses"] == [0] * 20 and one["light_buckets"] == [0] * 4


def test_pixels(made):
    one = census.take("made", made, pixels=True)
    assert one["light_buckets"] == [0, 1, 0, 3]
    assert one["derived"]["low illumination"] == 1
    assert [row["brightness"] for row in one["sequences"]] == pytest.approx([20 / 255, 80 / 255, 200 / 255, 60 / 255])


def test_the_fine_histograms_hold_what_lies_beyond_them():
    counts = census._histogram(np.array([0.5, 1, 2, 5000]), census.FINE_SIDES)
    assert counts[0] == 2 and counts[-1] == 1 and sum(counts) == 4


def test_nothing_is_decoded_but_the_first_frame(made):
    asked = []

    class Counting(Frames):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    made[0].opener = lambda: Counting(np.zeros((100, 200, 3), np.uint8) for _ in range(30))
    census.take("made", made[:1])
    assert asked == [0]


def test_points_and_unlabelled_videos_have_no_size():
    only = [video("p", 20, 30, task="point"), video("u", 20, 5, labelled=0)]
    one = census.take("made", only, pixels=True)
    assert one["sized"] == 0 and math.isnan(one["tiny"]["LaTOT"]) and math.isnan(one["median_side"])
    assert one["classes"] is None
    names = [each.name for each in census.all_tables([one], per_sequence=True)]
    assert names == ["overview", "brightness", "attributes", "sequences_made"]
    text = census.to_text(census.all_tables([one]))
    assert "nan" not in text and " - " in text
    assert json.loads(census.to_json([one]))["datasets"][0]["median_side"] is None


def test_several_datasets_in_one_table(made):
    taken = [census.take("first", made, pixels=True), census.take("second", made[:2])]
    overview, sizes, light, words = census.all_tables(taken)
    assert [row[0].text for row in overview.rows] == ["first", "second"]
    assert sizes.headers == ("side of the target", "first", "second")
    assert [cell.text for cell in sizes.rows[0]] == ["< 4 px", "20.0", "33.3"]
    assert light.headers[1:] == ("first",), "of the other no pixel was looked at"
    found = {row[0].text: [cell.text for cell in row[1:]] for row in words.rows}
    assert found["SV"] == ["2", "2"] and found["tiny (LaTOT) *"] == ["2", "2"]
    assert found["low illumination *"] == ["1", "-"]
    shown = {row[0].text: row[1].value for row in sizes.rows}
    assert sum(shown[row[0].text] for row in sizes.rows[:7]) == pytest.approx(100)


def test_every_form_is_written(made, tmp_path):
    taken = [census.take("first", made, pixels=True), census.take("made_2", made)]
    shown = census.all_tables(taken, per_sequence=True)
    census.write_latex(tmp_path / "c.tex", shown)
    latex = (tmp_path / "c.tex").read_text()
    assert latex.count(r"\begin{table}") == len(shown) == 6 and r"made\_2" in latex
    written = census.write_csv(tmp_path / "c.csv", shown)
    names = ["c", "c_sizes", "c_brightness", "c_attributes", "c_sequences_first", "c_sequences_made_2"]
    assert [path.stem for path in written] == names and all(path.stat().st_size for path in written)
    assert (tmp_path / "c.csv").read_text().splitlines()[1].startswith("first,4,2,20,50.0,90,200,")
    again = json.loads(census.to_json(taken))
    assert len(again["datasets"][0]["sequences"]) == 4 and len(again["edges"]["sides"]) == 41


def test_figures_are_the_same_bytes_again_and_leave_nothing_else(made, tmp_path):
    pytest.importorskip("matplotlib")
    taken = [census.take("first", made), census.take("second", made[:2])]
    for folder in ("one", "two"):
        written = census.save(taken, tmp_path / folder)
    names = {path.name for path in written}
    assert names == {f"census_{kind}.{form}" for kind in ("side", "relative_size") for form in ("png", "pdf")}
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert {path.name for path in (tmp_path / "one").iterdir()} == names
    assert set(census.figures([census.take("lit", made, pixels=True)])) == {"side", "relative_size", "brightness"}


def test_frames_that_do_not_fit_are_named(made):
    made[1].opener = made[0].opener
    with pytest.raises(UserError, match="b: 60 rows for 30 frames"):
        census.take("made", made)


def test_tables_are_what_tables_renders(made):
    for one in census.all_tables([census.take("made", made, pixels=True)], per_sequence=True):
        for form in ("text", "latex", "markdown", "csv"):
            assert tables.render(one, form).count("\n") > len(one.rows)


def test_what_is_not_known_is_not_counted_as_none():
    """A set that annotates nothing, and words that cannot be told from what it labels, are dashes and not zeros."""
    known = census.take("known", [video("a", 30, 3, attributes=("SV",))])
    first = census.take("first", [video("b", 30, 3, labelled=1)], pixels=True)
    (shown,) = (one for one in census.all_tables([known, first]) if one.name == "attributes")
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in shown.rows}
    assert (
        rows["SV"] == ["1", "-"] and rows["tiny (LaTOT) *"] == ["1", "-"] and rows["low illumination *"] == ["-", "-"]
    )
