"""Plain text tables and JSON of what `scoring.evaluate` returns."""

import json
import math

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


def summary(report):
    """One row a tracker, in the order of the report. Returns text; scores in percent."""
    total = len(report["sequences"])
    rows = []
    for tracker in report["trackers"]:
        scores = [percent(tracker["scores"][name]) for name in HEADERS]
        rows.append([tracker["label"], *scores, number(tracker["fps"], 1), coverage(tracker, total)])
    return table([title(report), *HEADERS.values(), "FPS", "sequences"], rows)


def title(report):
    """The dataset, and whatever is not the default about how it was scored."""
    rounding = "" if report["result_rounding"] == "none" else f", results {report['result_rounding']}"
    return f"{report['dataset']} ({report['protocol']}{rounding})"


def coverage(tracker, total):
    """How many sequences a tracker was scored on, saying so where some are missing."""
    return f"{tracker['scored']}" if tracker["scored"] == total else f"PARTIAL {tracker['scored']}/{total}"


def by_size(report):
    """Scores of frames by the side of the target."""
    return _groups(report, "by_size", lambda row: interval(row, "g", " px"), "frames", ("auc", "op50", "p20", "p5"))


def by_attribute(report):
    """Scores of sequences by attribute."""
    return _groups(report, "by_attribute", lambda row: row["attribute"], "sequences", ("auc", "p20", "p5", "np_auc"))


def by_darkness(report):
    """Scores of sequences by mean brightness."""
    return _groups(
        report, "by_darkness", lambda row: interval(row, "g", ""), "sequences", ("auc", "p20", "p5", "np_auc")
    )


def per_sequence(report):
    """The AUC of every sequence under every tracker, the worst mean first."""
    return table(
        ["sequence", "frames", "px", *(tracker["label"] for tracker in report["trackers"])],
        [
            [fact["name"], str(fact["frames"]), number(fact["side_px"], 1), *map(percent, values)]
            for fact, values in sequence_scores(report, "auc")
        ],
    )


def sequence_scores(report, name):
    """[(facts of a sequence, [its score under every tracker, NaN if missing])], the lowest mean first."""
    columns = [{row["name"]: row[name] for row in tracker["sequences"]} for tracker in report["trackers"]]
    pairs = [(fact, [column.get(fact["name"], math.nan) for column in columns]) for fact in report["sequences"]]
    return sorted(pairs, key=lambda pair: _mean(pair[1]))


def to_json(reports):
    """Everything, for other programs: shares in [0, 1], null where there is nothing to score. Returns text."""
    return json.dumps({"unit": "share in [0, 1]", "datasets": _without_nan(reports)}, indent=1, allow_nan=False) + "\n"


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


def _groups(report, key, name, count, scores):
    titles = {"by_size": "target side", "by_attribute": "attribute", "by_darkness": "mean brightness"}
    rows = [
        [name(row), tracker["label"], str(row[count]), *(percent(row[score]) for score in scores)]
        for index in range(max(len(tracker[key]) for tracker in report["trackers"]))
        for tracker in report["trackers"]
        if index < len(tracker[key])
        for row in [tracker[key][index]]
        if row[count]
    ]
    if not rows:
        return f"no {titles[key]} known\n"
    return table([titles[key], "tracker", count, *(HEADERS[score] for score in scores)], rows, left=2)


def _mean(values):
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.inf


def _without_nan(value):
    if isinstance(value, dict):
        return {name: _without_nan(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
