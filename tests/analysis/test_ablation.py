"""The paired table with numbers known beforehand, and the note of what results were made with."""

import json

import numpy as np
import pytest

from lib.errors import UserError
from lib.test.analysis import ablation
from lib.test.evaluation.results import Run

# AUC of five sequences, the last without a visible frame; P@5 is half of it, NP twice
SCORES = {
    "whole": [0.5, 0.25, 0.5, 0.25, np.nan],
    "none": [0.53, 0.27, 0.54, 0.28, np.nan],
    "bad": [0.4, 0.5, 0.5, 0, 0],
}


def report(scores):
    trackers = [
        {
            "label": label,
            "sequences": [
                {"name": f"s{index}", "auc": value, "p5": value / 2, "np_auc": 2 * value, "fps": 1.0}
                for index, value in enumerate(values)
            ],
        }
        for label, values in reversed(scores.items())  # scoring puts the best first
    ]
    words = [["TO", "FM"], ["TO"], ["TO"], ["FM"], ["TO", "FM"]]
    facts = [{"name": f"s{index}", "video": f"s{index}", "attributes": each} for index, each in enumerate(words)]
    return {"dataset": "night", "sequences": facts, "trackers": trackers}


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_rows_are_compared_by_sequence():
    compared = ablation.compare(report(SCORES), list(SCORES))
    assert compared["sequences"] == ["s0", "s1", "s2", "s3"], "a sequence without score in any row is left out"
    assert compared["attributes"] == {"TO": 3}, "FM has two sequences with a score"
    whole, none, bad = compared["rows"]
    assert [row["row"] for row in compared["rows"]] == list(SCORES)
    assert whole["scores"] == pytest.approx({"auc": 0.375, "p5": 0.1875, "np_auc": 0.75})
    assert whole["change"] == {name: {"mean": 0, "error": 0} for name in ("auc", "p5")}
    gains = np.array([0.03, 0.02, 0.04, 0.03])
    error = gains.std(ddof=1) / 2
    assert none["change"]["auc"] == pytest.approx({"mean": 0.03, "error": error})
    assert none["change"]["p5"] == pytest.approx({"mean": 0.015, "error": error / 2})
    assert none["auc_change_by_attribute"]["TO"] == pytest.approx({"mean": 0.03, "error": 0.01 / np.sqrt(3)})
    assert bad["sequences"]["s1"] == {"auc": 0.5, "p5": 0.25, "np_auc": 1.0}
    shown = ablation.score_table(compared, "night")
    assert shown.headers == ("row", "AUC", "P@5", "NP", "dAUC", "dP@5")
    rows = texts(shown)
    assert rows[0] == ["whole", "37.50", "18.75", "75.00", "-", "-"]
    assert rows[1][4:] == ["+3.00 ±0.41*", "+1.50 ±0.20*"] and rows[2][4] == "-2.50 ±10.51 "
    by_attribute = ablation.attribute_table(compared, "night")
    assert by_attribute.headers == ("dAUC", "TO (3)")
    assert texts(by_attribute) == [["none", "+3.00 ±0.58*"], ["bad", "+5.00 ±10.41 "]]


def test_one_sequence_has_no_error_and_no_mark():
    alone = {"sequences": [{"name": "s0", "video": "s0", "attributes": []}]}
    one = ablation.compare(report({"whole": [0.5], "none": [0.75]}) | alone, ["whole", "none"])
    assert texts(ablation.score_table(one, ""))[1][4] == "+25.00 ±- " and one["attributes"] == {}
    none = ablation.compare(report({"whole": [], "none": []}), ["whole", "none"])
    assert texts(ablation.score_table(none, "")) == [["whole", *"-----"], ["none", "-", "-", "-", "- ±- ", "- ±- "]]


def test_results_know_what_they_were_made_with(tmp_path):
    run, made_with = Run(tmp_path, "lunar", "tiny+whole"), {"TEST.WINDOW": "none", "LIST": (1, 2), "weights": "ab"}
    folder = run.folder / "night"
    ablation.claim(run, "night", made_with)
    (folder / "s0.txt").write_text("1 2 3 4\n")
    assert ablation.stale(run, "night", made_with) == [] and ablation.stale(run, "day", made_with) == []
    ablation.claim(run, "night", made_with, overwrite=True)
    assert (folder / "s0.txt").exists(), "made with the same: it is for the runner to write over"
    for other, what in (
        ({"TEST.WINDOW": "mult"}, "TEST.WINDOW"),
        ({"weights": None}, "weights"),
        ({"NEW": None}, "NEW"),
    ):
        with pytest.raises(UserError, match=rf"differ in {what}; --overwrite tracks them again"):
            ablation.claim(run, "night", made_with | other)
    note = next(folder.glob("*.json"))
    note.write_text("[cut off")
    with pytest.raises(UserError, match="--overwrite tracks them again"):
        ablation.stale(run, "night", made_with)
    ablation.claim(run, "night", made_with | {"weights": "cd"}, overwrite=True)
    assert not (folder / "s0.txt").exists() and json.loads(note.read_text())["weights"] == "cd"
    (folder / "s0.txt").write_text("1 2 3 4\n")
    note.unlink()
    with pytest.raises(UserError, match="holds results of another command; call the row something else"):
        ablation.claim(run, "night", made_with, overwrite=True)


def test_weights_are_known_by_their_contents(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    assert ablation.digest(tmp_path / "a") == ablation.digest(tmp_path / "b") != ablation.digest(tmp_path / "c")
    assert ablation.digest(None) is None and len(ablation.digest(tmp_path)) == 16
    with pytest.raises(UserError, match="gone: cannot be read"):
        ablation.digest(tmp_path / "gone")
