"""One description of a table, rendered as text, LaTeX, Markdown and CSV: the same numbers in each, and well formed."""

import csv
import io
import json
import re

import pytest

from lib.data.benchmarks import facts
from lib.errors import UserError
from lib.test.analysis import tables

NAN = float("nan")


def tracker(label, auc, missing=(), **more):
    scores = dict.fromkeys(tables.HEADERS, auc) | {"p5": auc / 2}
    names = ["a_1", "b&2", "c"]
    return {
        "label": label,
        "scored": 3 - len(missing),
        "missing": list(missing),
        "fps": NAN,
        "scores": scores,
        "by_size": [{"from": 0.0, "below": 8.0, "frames": 5, "auc": auc, "op50": auc, "p20": auc, "p5": auc}],
        "by_attribute": [],
        "by_darkness": [],
        "sequences": [{"name": name, "auc": auc + 0.01 * i} for i, name in enumerate(names) if name not in missing],
        **more,
    }


def report(*trackers, **more):
    facts = [
        {"name": name, "video": name, "frames": 10, "side_px": 7.5, "attributes": []} for name in ("a_1", "b&2", "c")
    ]
    plain = {"dataset": "night_50%", "task": "box", "protocol": "clean", "result_rounding": "none", "sequences": facts}
    return {**plain, "trackers": list(trackers), **more}


def text_of(one, name):
    return tables.render(named(one)[name], "text")


@pytest.fixture
def full():
    """Three complete trackers and a partial one that would be the best, with everything that scoring may add."""
    row = {"sequences": 3, "auc": 0.5, "p20": 0.5, "p5": 0.5, "np_auc": 0.5}
    frames = [{"attribute": "blur", "frames": 7, "auc": 0.5, "op50": 0.5, "p20": 0.5, "p5": 0.5}]
    presence = {"precision": 0.5, "recall": 0.25, "f": 1 / 3, "absent_frames": 4, "false_alarms": 1.0}
    more = {
        "intervals": {"auc": [0.411, 0.699]},
        "rounded": {"trunc": dict.fromkeys(tables.HEADERS, 0.3)},
        "presence": presence | {"not_reported": 0.0, "threshold": NAN},
        "by_attribute": [
            {"attribute": "fast_motion", "derived": False, **row},
            {"attribute": "tiny", "derived": True, **row},
        ],
        "by_frame_attribute": frames,
        "by_darkness": [{"from": 0.2, "below": None, **row}],
    }
    compared = {"first": "ours_*", "second": "b|2", "score": "auc", "sequences": 3}
    return report(
        tracker("ours_*", 0.6, **more),
        tracker("b|2", 0.55, **more),
        tracker("<c>", 0.5, **more),
        tracker("part", 0.9, missing=["c"], **more),
        comparisons=[
            {**compared, "difference": 0.05, "low": 0.01, "high": 0.09, "p": 0.0004},
            {**compared, "second": "<c>", "difference": -0.1, "low": -0.21, "high": 0.01, "p": 0.06},
            {**compared, "second": "part", "difference": NAN, "low": NAN, "high": NAN, "p": NAN, "sequences": 0},
        ],
    )


NAMES = [
    "summary",
    "comparisons",
    "rounding",
    "presence",
    "by_size",
    "by_attribute",
    "by_frame_attribute",
    "by_darkness",
    "per_sequence",
]


def named(one):
    return {table.name: table for table in tables.all_tables(one)}


def test_every_table_is_there_when_known_and_only_then(full):
    assert list(named(full)) == NAMES
    assert list(named(report(tracker("t", 0.5)))) == ["summary", "by_size", "per_sequence"]


def test_best_and_second_of_those_that_compare(full):
    marks = {row[0].text: row[1].mark for row in named(full)["summary"].rows}
    assert marks == {"ours_*": "best", "b|2": "second", "<c>": "", "part": ""}
    two = named(report(tracker("a", 0.5), tracker("b", 0.4)))["summary"]
    assert [row[1].mark for row in two.rows] == ["best", ""]  # the second of two is no news
    assert [row[1].mark for row in named(report(tracker("a", 0.5)))["summary"].rows] == [""]
    equal = named(report(tracker("a", 0.500001), tracker("b", 0.5), tracker("c", NAN)))["summary"]
    assert [row[1].mark for row in equal.rows] == ["best", "best", ""]  # equal as shown


@pytest.mark.parametrize("name", NAMES)
def test_all_forms_hold_the_same_cells(full, name):
    table = named(full)[name]
    widths = {len(row) for row in table.rows} | {len(table.headers)}
    assert len(widths) == 1

    text = tables.render(table, "text").splitlines()
    assert len(text) == len(table.rows) + 2 and text[1].count("+") == len(table.headers) - 1

    rows = list(csv.DictReader(io.StringIO(tables.render(table, "csv"))))
    assert len(rows) == len(table.rows)
    for row, cells in zip(rows, table.rows, strict=True):
        for header, cell in zip(table.headers, cells, strict=True):
            if isinstance(cell.value, float) and cell.value == cell.value:
                assert float(row[header]) == cell.value

    lines = [line for line in tables.render(table, "markdown").splitlines() if line.startswith("|")]
    assert len(lines) == len(table.rows) + 2
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {len(table.headers) + 1}

    latex = tables.render(table, "latex")
    check_latex(latex, table)


def check_latex(latex, table):
    """Every special sign is escaped, every group closed, every row as wide as the head."""
    bare = re.sub(r"\\[&%$#_{}]|\$[^$\n]*\$", "", latex)
    assert not re.search(r"[%#_<>|^~]", bare.replace("@{", "").replace("b|2", ""))
    depth = 0
    for letter in re.sub(r"\\[{}]", "", latex):
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0
    assert re.findall(r"\\begin\{(\w+)\}", latex) == re.findall(r"\\end\{(\w+)\}", latex)[::-1]
    rows = [line for line in latex.splitlines() if line.endswith(r"\\") and not line.startswith(r"\caption")]
    assert len(rows) == len(table.rows) + 1
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(table.headers) - 1}
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{", r"\label{tab:"):
        assert latex.count(rule) == 1
    assert r"night\_50\%" in latex and "(clean)" in latex


def test_what_latex_shows(full):
    latex = tables.render(named(full)["summary"], "latex")
    assert r"ours\_$^{*}$ & \textbf{60.00} & {[}41.1, 69.9{]} &" in latex
    assert r"b|2 & \underline{55.00} &" in latex and r"$<$c$>$ & 50.00 &" in latex
    assert "Best in bold, second underlined" in latex
    assert r"$-$10.0 & {[}$-$21.0, 1.0{]}" in tables.render(named(full)["comparisons"], "latex")
    assert r"$\ge$ 0.2 &" in tables.render(named(full)["by_darkness"], "latex")


def test_long_tables_break_over_pages():
    names = [f"s{i}" for i in range(tables.LONG + 1)]
    facts = [{"name": name, "video": name, "frames": 1, "side_px": 3.0, "attributes": []} for name in names]
    one = report(tracker("t", 0.5, sequences=[{"name": fact["name"], "auc": 0.5} for fact in facts]), sequences=facts)
    latex = tables.render(named(one)["per_sequence"], "latex")
    assert r"\begin{longtable}" in latex and r"\endhead" in latex and r"\begin{table}" not in latex
    check_latex(latex, named(one)["per_sequence"])


def test_intervals_comparisons_and_derived_attributes_in_text(full):
    assert re.search(r"^ours_\* +\| 60\.00 \| \[41\.1, 69\.9\] \|", text_of(full, "summary"), re.M)
    text = text_of(full, "comparisons")
    assert re.search(r"^ours_\* +\| b\|2 +\| +\+5\.0 \| +\[1\.0, 9\.0\] \| < 0\.001 \| +3 \| +real$", text, re.M)
    assert re.search(r"\| +-10\.0 \| +\[-21\.0, 1\.0\] \| +0\.06 \| +3 \| +could be chance$", text, re.M)
    assert re.search(r"^tiny \* +\|", text_of(full, "by_attribute"), re.M)
    assert re.search(r"^fast motion +\|", text_of(full, "by_attribute"), re.M)
    assert re.search(r"^ours_\* +\| truncated +\| 30\.00", text_of(full, "rounding"), re.M)
    assert re.search(
        r"^ours_\* +\| 50\.00 \| 25\.00 \| 33\.33 \| +100\.00 \| +0\.00 \| +4$", text_of(full, "presence"), re.M
    )


def test_what_nothing_is_known_of_has_no_table():
    one = report(tracker("t", NAN))
    assert set(named(one)) == {"summary", "by_size", "per_sequence"}
    assert re.search(r"^t +\| +- \|", text_of(one, "summary"), re.M)


def test_differences_in_words(full):
    ahead, behind, unknown = map(tables.in_words, full["comparisons"])
    assert ahead == (
        "ours_* is ahead of b|2 by 5.0 points of AUC on 3 sequences, 95 % interval +1.0 to +9.0, p < 0.001: real."
    )
    assert behind == (
        "ours_* is behind <c> by 10.0 points of AUC on 3 sequences, 95 % interval -21.0 to +1.0, p = 0.06: "
        "could be chance."
    )
    assert unknown == "ours_* and part share too few scored sequences to be compared."


@pytest.mark.parametrize(
    ("low", "high", "p", "real"),
    [(0.01, 0.1, 0.01, True), (-0.1, -0.01, 0.01, True), (-0.01, 0.1, 0.01, False), (0.01, 0.1, 0.05, False)],
)
def test_real_needs_both_the_interval_and_p(low, high, p, real):
    assert tables.is_real({"low": low, "high": high, "p": p, "difference": 0.05}) is real


@pytest.mark.parametrize("suffix", [".txt", ".tex", ".md", ".json"])
def test_one_file_holds_all_tables_of_all_datasets(full, tmp_path, suffix):
    other = report(tracker("ours_*", 0.3), dataset="other")
    path = tmp_path / f"scores{suffix}"
    assert tables.write(path, [full, other]) == [path]
    text = path.read_text()
    if suffix == ".json":
        assert [one["dataset"] for one in json.loads(text)["datasets"]] == ["night_50%", "other"]
    else:
        assert "other" in text and "60.00" in text and "30.00" in text
    if suffix == ".tex":
        assert text.startswith("% needs") and text.count(r"\begin{table}") == 1 + len(NAMES) + 3


def test_csv_is_a_file_a_table_with_all_datasets(full, tmp_path):
    other = report(tracker("new", 0.3), dataset="other")
    written = tables.write(tmp_path / "scores.csv", [full, other])
    assert {path.name for path in written} == {
        "scores.csv",
        *(f"scores_{name}.csv" for name in NAMES if name != "summary"),
    }
    with open(tmp_path / "scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["dataset"] for row in rows] == ["night_50%"] * 4 + ["other"]
    assert rows[0]["protocol"] == "clean" and float(rows[0]["95 % CI low"]) == pytest.approx(41.1)
    assert rows[4]["95 % CI low"] == "" and rows[0]["FPS"] == ""  # not known, not a number
    with open(tmp_path / "scores_per_sequence.csv") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["sequence"] == "c" and float(rows[0]["ours_*"]) == pytest.approx(62)
    assert rows[0]["new"] == "" and rows[-1]["ours_*"] == ""


def test_overview_lines_up_trackers_of_several_datasets(full):
    table = tables.overview([full, report(tracker("new", 0.3), tracker("<c>", 0.2), dataset="other")])
    assert table.headers[:2] == ("tracker", "night_50% AUC") and table.headers[4] == "other AUC"
    cells = {row[0].text: [cell.text for cell in row[1:]] for row in table.rows}
    assert cells["<c>"][0] == "50.00" and cells["<c>"][3] == "20.00" and cells["new"][:3] == ["-"] * 3


def test_unknown_suffix_is_a_users_mistake(tmp_path):
    with pytest.raises(UserError, match=r"scores\.docx: cannot write such a table: expected a name ending in \.txt"):
        tables.write(tmp_path / "scores.docx", [])
    assert tables.form_of("X.TEX") == "latex"


def test_published_scores_are_shown_beside_measured_ones():
    one = report(tracker("ours", 0.5), dataset="latot")
    text = text_of(one, "published")
    assert "MKDNet: all three" in text and re.search(r"Super-DiMP \(Table IV\) *\| *60.20 *\| *49.40 *\| *40.10", text)
    assert tuple(row[0].value for row in named(one)["published_by_attribute"].rows) == facts.LATOT_FLAGS
    assert "ATOM trained on LaTOT" in text_of(report(tracker("ours", 0.5), dataset="latot_test"), "published")
    assert not {"published", "published_by_attribute"} & set(named(report(tracker("ours", 0.5))))
