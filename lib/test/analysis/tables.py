"""The tables of what `scoring.evaluate` returns: described once, rendered as text, LaTeX, Markdown, CSV and JSON."""

import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

from ...errors import UserError
from ...files import write_text
from . import published

HEADERS = {
    "auc": "AUC",
    "op50": "OP50",
    "op75": "OP75",
    "p20": "P20",
    "p5": "P5",
    "np_auc": "NP(AUC)",
    "np20": "NP@.2",
    "ao": "AO",
    "sr50": "SR50",
    "sr75": "SR75",
}
ROUNDINGS = {"none": "as written", "round": "rounded", "trunc": "truncated"}
POINTS = {
    "accuracy": "Acc",
    "precision": "Pr",
    "recall": "Re",
    "f1": "F1",
    "strict_recall": "strict Re",
    "strict_f1": "strict F1",
    "ap": "AP",
    "strict_ap": "strict AP",
}
COUNTS = ("tp", "tn", "fp1", "fp2", "fn")
PRESENCE = {"precision": "Pr", "recall": "Re", "f": "F"}
FORMS = {".txt": "text", ".tex": "latex", ".md": "markdown", ".csv": "csv", ".json": "json"}
LATEX_HEAD = "% needs \\usepackage{booktabs,longtable}\n\n"
LONG = 40  # rows that still fit on a page of LaTeX
CHANCE = 0.05  # a difference is called real where p is below it and the 95 % interval does not hold zero


class Cell(NamedTuple):
    """text: as shown. value: for programs, a number, text, or (low, high). mark: "best", "second" or ""."""

    text: str
    value: Any
    mark: str = ""


class Table(NamedTuple):
    """name: a word for files and labels. title: what it shows. left: how many columns, from the left, are words."""

    name: str
    title: str
    headers: tuple
    rows: list
    left: int = 1
    note: str = ""


def all_tables(report):
    """Every table that a report of `scoring.evaluate` has rows for. Returns a list of Table; scores in percent."""
    builders = (
        _summary,
        _published,
        _points,
        _comparisons,
        _rounding,
        _presence,
        _trackingnet,
        _by_size,
        _by_attribute,
        _published_by_attribute,
        _by_frame_attribute,
        _by_darkness,
        _per_sequence,
    )
    return [one for one in (build(report) for build in builders) if one.rows]


def overview(reports):
    """The main scores of several datasets side by side, a row a tracker, as a Table."""
    names = ("auc", "p20", "p5")
    labels = list(dict.fromkeys(tracker["label"] for report in reports for tracker in report["trackers"]))
    columns = []
    for report in reports:
        by_label = {tracker["label"]: tracker for tracker in report["trackers"]}
        found = [by_label.get(label) for label in labels]
        for name in names:
            values = [math.nan if one is None else one["scores"][name] for one in found]
            columns.append(_shares(values, [one is not None and not one["missing"] for one in found]))
    return Table(
        "overview",
        "All datasets",
        ("tracker", *(f"{report['dataset']} {HEADERS[name]}" for report in reports for name in names)),
        [[word(label), *cells] for label, *cells in zip(labels, *columns, strict=True)],
        note="In percent.",
    )


def without(table, headers):
    """A Table without some of its columns."""
    kept = [index for index, header in enumerate(table.headers) if header not in headers]
    rows = [[row[index] for index in kept] for row in table.rows]
    return table._replace(headers=tuple(table.headers[index] for index in kept), rows=rows)


def render(table, form):
    """A Table as text. form: "text", "latex" (booktabs), "markdown" or "csv"."""
    return {"text": _text, "latex": _latex, "markdown": _markdown, "csv": _csv}[form](table)


def form_of(path):
    """The form that a file's name asks for, a value of FORMS. Raises UserError for any other suffix."""
    form = FORMS.get(Path(path).suffix.lower())
    if form is None:
        raise UserError(f"cannot write such a table: expected a name ending in {', '.join(FORMS)}", path)
    return form


def write(path, reports):
    """Write all tables of one or several datasets in the form that the file's name asks for.

    A CSV file holds one table: `scores.csv` the summary, and beside it `scores_by_size.csv` and so on, all with the
    dataset in the first column. Returns the Paths written. Raises UserError as `form_of`, MachineError as a full disk.
    """
    path, form = Path(path), form_of(path)
    if form == "json":
        write_text(path, to_json(reports))
        return [path]
    if form == "csv":
        return _write_csv(path, reports)
    several = [overview(reports)] if len(reports) > 1 else []
    shown = [*several, *(one for report in reports for one in all_tables(report))]
    head = LATEX_HEAD if form == "latex" else ""
    titled = (f"{one.title}\n" if form == "text" else "" for one in shown)
    write_text(path, head + "\n".join(title + render(one, form) for title, one in zip(titled, shown, strict=True)))
    return [path]


def to_json(reports):
    """Everything, for other programs: shares in [0, 1], null where there is nothing to score. Returns text."""
    return json.dumps({"unit": "share in [0, 1]", "datasets": without_nan(reports)}, indent=1, allow_nan=False) + "\n"


def title(report):
    """The dataset, and whatever is not the default about how it was scored."""
    rounding = "" if report["result_rounding"] == "none" else f", results {report['result_rounding']}"
    points = ", points" if report["task"] == "point" else ""
    return f"{report['dataset']} ({report['protocol']}{rounding}{points})"


def count(report):
    """How many sequences there are, saying so where several are runs through one video."""
    sequences, videos = len(report["sequences"]), _videos(report)
    return f"{sequences} sequences" + (f", runs through {videos} videos" if videos < sequences else "")


def _videos(report):
    return len({fact["video"] for fact in report["sequences"]})


def _unit(report):
    """What is drawn by the statistics."""
    return "videos" if _videos(report) < len(report["sequences"]) else "sequences"


def coverage(tracker, total):
    """How many sequences a tracker was scored on, saying so where some are missing."""
    return f"{tracker['scored']}" if tracker["scored"] == total else f"PARTIAL {tracker['scored']}/{total}"


def sequence_scores(report, name):
    """[(facts of a sequence, [its score under every tracker, NaN if missing])], the lowest mean first."""
    columns = [{row["name"]: row[name] for row in tracker["sequences"]} for tracker in report["trackers"]]
    pairs = [(fact, [column.get(fact["name"], math.nan) for column in columns]) for fact in report["sequences"]]
    return sorted(pairs, key=lambda pair: _mean(pair[1]))


def is_real(row):
    """Whether a row of a report's comparisons is more than chance: CHANCE, and an interval that does not hold zero."""
    return row["p"] < CHANCE and (row["low"] > 0 or row["high"] < 0)


def verdict(row):
    """`real`, `could be chance`, or `-` where a row of a report's comparisons has too few sequences to tell."""
    if math.isnan(row["low"]):
        return "-"
    return "real" if is_real(row) else "could be chance"


def in_words(row):
    """A row of a report's comparisons as a sentence."""
    first, second, score = row["first"], row["second"], HEADERS[row["score"]]
    if math.isnan(row["low"]):
        return f"{first} and {second} share too few scored sequences to be compared."
    side = "ahead of" if row["difference"] >= 0 else "behind"
    low, high = (f"{100 * row[end]:+.1f}" for end in ("low", "high"))
    p = "p < 0.001" if row["p"] < 0.001 else f"p = {chance(row['p'])}"
    return (
        f"{first} is {side} {second} by {abs(100 * row['difference']):.1f} points of {score} on {row['sequences']} "
        f"sequences, 95 % interval {low} to {high}, {p}: {verdict(row)}."
    )


def chance(p):
    """A p-value as text, two significant digits."""
    if math.isnan(p):
        return "-"
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def table(headers, rows, left=1):
    """Aligned text: the first `left` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    lines = []
    for row in [headers, *rows]:
        cells = [str.ljust if i < left else str.rjust for i in range(len(row))]
        lines.append(" | ".join(align(*cell) for align, *cell in zip(cells, row, widths, strict=True)).rstrip())
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(lines) + "\n"


def percent(share):
    """A share in [0, 1] as percent with two decimals, `-` for NaN."""
    return number(100 * share, 2)


def number(value, decimals):
    """A number as text, `-` for NaN."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def interval(row, form, unit):
    """`8-16 px`, `< 8 px`, `>= 32 px`: what a row of a table by size or darkness is about."""
    low, high = row["from"], row["below"]
    if high is None:
        return f">= {low:{form}}{unit}"
    return f"{low:{form}}-{high:{form}}{unit}" if low else f"< {high:{form}}{unit}"


def bounds(share_interval):
    """(low, high) in [0, 1] as `[65.5, 71.7]`, `-` for NaN."""
    low, high = share_interval
    return "-" if math.isnan(low) or math.isnan(high) else f"[{100 * low:.1f}, {100 * high:.1f}]"


def attribute_name(row):
    """The attribute of a row, a derived one with an asterisk, in words."""
    return row["attribute"].replace("_", " ") + (" *" if row.get("derived") else "")


def _summary(report):
    total = len(report["sequences"])
    trackers = report["trackers"]
    complete = [not tracker["missing"] for tracker in trackers]
    shown = [name for name in HEADERS if report["task"] == "box" or name in ("p20", "p5")]
    columns = {name: _shares([tracker["scores"][name] for tracker in trackers], complete) for name in shown}
    headers = {name: [HEADERS[name]] for name in shown}
    known = [tracker.get("intervals", {}).get("auc") for tracker in trackers]
    note = "In percent."
    if any(known) and "auc" in headers:
        headers["auc"].append("95 % CI")
        note = f"In percent; 95 % confidence interval of the AUC by bootstrap over {_unit(report)}."
    rows = []
    for index, tracker in enumerate(trackers):
        cells = [word(tracker["label"])]
        for name in shown:
            cells.append(columns[name][index])
            if len(headers[name]) > 1:
                cells.append(_interval(known[index] or (math.nan, math.nan)))
        cells += [number_cell(tracker["fps"], 1), Cell(coverage(tracker, total), tracker["scored"])]
        rows.append(cells)
    names = (header for name in shown for header in headers[name])
    return Table("summary", f"Results on {title(report)}", ("tracker", *names, "FPS", "sequences"), rows, note=note)


def _published(report):
    rows = [
        [word(label), *map(_share, scores)] for label, scores in published.SCORES.get(report["dataset"], {}).items()
    ]
    headers = ("tracker", *(HEADERS[name] for name in published.NAMES))
    note = "In percent, as the paper prints them; not measured here."
    return Table("published", f"Published on {report['dataset']}", headers, rows, note=note)


def _published_by_attribute(report):
    found = published.ATTRIBUTES.get(report["dataset"], {})
    rows = [[word(flag), word(label), _share(auc)] for label, each in found.items() for flag, auc in each.items()]
    headers = ("attribute", "tracker", HEADERS["auc"])
    note = "In percent, as the paper prints them; not measured here."
    title = f"Published by attribute on {report['dataset']}"
    return Table("published_by_attribute", title, headers, rows, left=2, note=note)


def _points(report):
    """Every rule, and under it every tracker."""
    trackers = [tracker for tracker in report["trackers"] if tracker.get("points")]
    complete = [not tracker["missing"] for tracker in trackers]
    rows = []
    for rule in trackers[0]["points"] if trackers else ():
        scores = [tracker["points"][rule] for tracker in trackers]
        columns = [_shares([one[name] for one in scores], complete) for name in POINTS]
        for tracker, one, *cells in zip(trackers, scores, *columns, strict=True):
            counts = [Cell(str(one[kind]), one[kind]) for kind in COUNTS]
            rows.append([word(rule), word(tracker["label"]), *cells, number_cell(one["rmse"], 1), *counts])
    return Table(
        "points",
        f"Points under every rule: {title(report)}",
        ("rule", "tracker", *POINTS.values(), "RMSE", *(kind.upper() for kind in COUNTS)),
        rows,
        left=2,
        note="In percent, over all frames; RMSE in px of the frame where a ball is seen and reported. FP1: "
        "reported elsewhere, which strict recall counts and recall does not. The rules are in point_metrics.py.",
    )


def _comparisons(report):
    rows = [
        [
            word(row["first"]),
            word(row["second"]),
            Cell(_signed(row["difference"]), 100 * row["difference"]),
            _interval((row["low"], row["high"])),
            Cell(chance(row["p"]), row["p"]),
            Cell(str(row["sequences"]), row["sequences"]),
            word(verdict(row)),
        ]
        for row in report.get("comparisons", [])
    ]
    score = HEADERS[report["comparisons"][0]["score"]] if rows else ""
    return Table(
        "comparisons",
        f"Is the difference real? {title(report)}",
        ("tracker", "compared with", f"{score} points", "95 % CI", "p", "sequences", "difference"),
        rows,
        left=2,
        note=f"Paired over {_unit(report)}; real: p below {CHANCE} and an interval without zero.",
    )


def _rounding(report):
    names = ("auc", "op50", "op75", "p20", "p5")
    rows = []
    for tracker in report["trackers"]:
        others = tracker.get("rounded") or {}
        kinds = {report["result_rounding"]: tracker["scores"], **others} if others else {}
        for kind, scores in kinds.items():
            rows.append([word(tracker["label"]), word(ROUNDINGS[kind]), *(_share(scores[name]) for name in names)])
    headers = ("tracker", "boxes", *(HEADERS[name] for name in names))
    return Table("rounding", f"Scores if boxes are whole pixels: {title(report)}", headers, rows, 2, "In percent.")


def _trackingnet(report):
    trackers = [tracker for tracker in report["trackers"] if tracker.get("trackingnet")]
    rows = [[word(one["label"]), *(_share(share) for share in one["trackingnet"].values())] for one in trackers]
    headers = ("tracker", "success", "precision", "norm. precision")
    note = "In percent, by the rules of TrackingNet's development kit: whole pixels, areas under 21 thresholds."
    return Table("trackingnet", f"As TrackingNet scores: {title(report)}", headers, rows, note=note)


def _presence(report):
    trackers = [tracker for tracker in report["trackers"] if tracker.get("presence")]
    complete = [not tracker["missing"] for tracker in trackers]
    found = [tracker["presence"] for tracker in trackers]
    columns = [_shares([one[name] for one in found], complete) for name in PRESENCE]
    rows = []
    for tracker, one, *cells in zip(trackers, found, *columns, strict=True):
        errors = (_share(one["false_alarms"]), _share(one["not_reported"]))
        absent = Cell(str(one["absent_frames"]), one["absent_frames"])
        rows.append([word(tracker["label"]), *cells, *errors, absent])
    return Table(
        "presence",
        f"Frames without the target: {title(report)}",
        ("tracker", *PRESENCE.values(), "false alarms", "not reported", "absent frames"),
        rows,
        note="In percent; tracking precision, recall and F-measure of VOT-LT. False alarms: absent frames with a box; "
        "not reported: visible frames without one.",
    )


def _by_size(report):
    scores = ("auc", "op50", "p20", "p5")
    return _groups(report, "by_size", "target side", lambda row: interval(row, "g", " px"), "frames", scores)


def _by_attribute(report):
    scores = ("auc", "p20", "p5", "np_auc")
    made = _groups(report, "by_attribute", "attribute", attribute_name, "sequences", scores)
    derived = any(row.get("derived") for tracker in report["trackers"] for row in tracker["by_attribute"])
    return made._replace(note=made.note + " * derived from boxes or frames, not annotated.") if derived else made


def _by_frame_attribute(report):
    scores = ("auc", "op50", "p20", "p5")
    return _groups(report, "by_frame_attribute", "attribute of the frame", attribute_name, "frames", scores)


def _by_darkness(report):
    scores = ("auc", "p20", "p5", "np_auc")
    return _groups(report, "by_darkness", "mean brightness", lambda row: interval(row, "g", ""), "sequences", scores)


def _per_sequence(report):
    rows = []
    score = "auc" if report["task"] == "box" else "p5"
    for fact, values in sequence_scores(report, score):
        facts = [word(fact["name"]), Cell(str(fact["frames"]), fact["frames"]), number_cell(fact["side_px"], 1)]
        rows.append(facts + _shares(values, [True] * len(values)))
    labels = (tracker["label"] for tracker in report["trackers"])
    return Table(
        "per_sequence",
        f"{HEADERS[score]} of every sequence: {title(report)}",
        ("sequence", "frames", "px", *labels),
        rows,
        note="In percent, the hardest first; px: median side of the target.",
    )


def _groups(report, key, what, name, count, scores):
    """Rows of one bucket under every tracker, then of the next; empty buckets are left out."""
    trackers = [tracker for tracker in report["trackers"] if tracker.get(key)]
    rows = []
    for index in range(len(trackers[0][key]) if trackers else 0):
        there = [(tracker, tracker[key][index]) for tracker in trackers if tracker[key][index][count]]
        complete = [not tracker["missing"] for tracker, _ in there]
        columns = [_shares([row[score] for _, row in there], complete) for score in scores]
        for (tracker, row), *cells in zip(there, *columns, strict=True):
            rows.append([word(name(row)), word(tracker["label"]), Cell(str(row[count]), row[count]), *cells])
    headers = (what, "tracker", count, *(HEADERS[score] for score in scores))
    return Table(key, f"By {what}: {title(report)}", headers, rows, left=2, note="In percent.")


def word(text):
    return Cell(text, text)


def number_cell(value, decimals):
    return Cell(number(value, decimals), value)


def _share(share):
    return Cell(percent(share), 100 * share)


def _interval(shares):
    return Cell(bounds(shares), tuple(100 * share for share in shares))


def _shares(shares, comparable):
    """Cells of one score under every tracker, the best and the second of those that are comparable marked.

    Equal as shown is equal. The best of one and the second of two are nothing to show.
    """
    shown = [percent(share) for share in shares]
    ranked = [text for text, fair in zip(shown, comparable, strict=True) if fair and text != "-"]
    order = sorted(set(ranked), key=float, reverse=True)
    marks = dict(zip(order, ("best", "second")[: max(len(ranked) - 1, 0)], strict=False))
    return [
        Cell(text, 100 * share, marks.get(text, "") if fair else "")
        for text, share, fair in zip(shown, shares, comparable, strict=True)
    ]


def _signed(share):
    return "-" if math.isnan(share) else f"{100 * share:+.1f}"


def _text(described):
    rows = [[cell.text for cell in row] for row in described.rows]
    return table(described.headers, rows, described.left)


def _latex(described):
    marks = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
    lines = [" & ".join(marks[cell.mark] % _latex_cell(cell) for cell in row) + r" \\" for row in described.rows]
    head = " & ".join(map(_escape_latex, described.headers)) + r" \\"
    columns = "l" * described.left + "r" * (len(described.headers) - described.left)
    marked = any(cell.mark for row in described.rows for cell in row)
    note = described.note + (" Best in bold, second underlined." if marked else "")
    caption = rf"\caption{{{_escape_latex(described.title.rstrip('.?'))}. {_escape_latex(note)}}}"
    label = rf"\label{{tab:{_slug(described.title)}}}"
    body = [r"\toprule", head, r"\midrule", *lines, r"\bottomrule"]
    if len(lines) > LONG:
        body[0:3] = [caption + label + r" \\", r"\toprule", head, r"\midrule", r"\endhead"]
        parts = [r"{\small", rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}", *body, r"\end{longtable}", "}"]
    else:
        parts = [r"\begin{table}", r"\centering\small", caption, label]
        parts += [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", *body, r"\end{tabular}", r"\end{table}"]
    return "\n".join(parts) + "\n"


def _latex_cell(cell):
    if isinstance(cell.value, str):
        return _escape_latex(cell.text)
    return "--" if cell.text == "-" else _escape_latex(cell.text).replace("-", "$-$")


def _escape_latex(text):
    special = {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "[": "{[}",  # a row that begins with one would be taken for the option of the line break before it
        "]": "{]}",
        "*": "$^{*}$",
        **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    }
    return "".join(special.get(letter, letter) for letter in text).replace("$>$=", r"$\ge$")


def _slug(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def _markdown(described):
    marks = {"best": "**%s**", "second": "<ins>%s</ins>", "": "%s"}
    rows = [[marks[cell.mark] % _escape_markdown(cell.text) for cell in row] for row in described.rows]
    rules = [":--" if index < described.left else "--:" for index in range(len(described.headers))]
    lines = [f"| {' | '.join(row)} |" for row in (map(_escape_markdown, described.headers), rules, *rows)]
    heading, note = _escape_markdown(described.title), _escape_markdown(described.note)
    return "\n".join([f"### {heading}\n", *lines, f"\n{note}\n"])


def _escape_markdown(text):
    return re.sub(r"([\\|*`\[\]])", r"\\\1", text).replace("&", "&amp;").replace("<", "&lt;")


def _csv(described):
    records = _records(described)
    return _csv_text(list(dict.fromkeys(name for record in records for name in record)), records)


def _write_csv(path, reports):
    """One file a kind of table: those of several datasets below each other."""
    records = {}
    for report in reports:
        for one in all_tables(report):
            first = {"dataset": report["dataset"], "protocol": title(report).rpartition("(")[2].rstrip(")")}
            records.setdefault(one.name, []).extend({**first, **record} for record in _records(one))
    written = []
    for name, rows in records.items():
        place = path if name == "summary" else path.with_name(f"{path.stem}_{name}{path.suffix}")
        write_text(place, _csv_text(list(dict.fromkeys(column for row in rows for column in row)), rows))
        written.append(place)
    return written


def _records(described):
    """[{header: value}] of a Table; an interval makes two columns, NaN is left empty."""
    records = []
    for row in described.rows:
        record = {}
        for header, cell in zip(described.headers, row, strict=True):
            pair = isinstance(cell.value, tuple)
            ends = {f"{header} low": cell.value[0], f"{header} high": cell.value[1]} if pair else {header: cell.value}
            record |= {name: "" if value != value else value for name, value in ends.items()}
        records.append(record)
    return records


def _csv_text(columns, records):
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


def _mean(values):
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.inf


def without_nan(value):
    if isinstance(value, dict):
        return {name: without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
