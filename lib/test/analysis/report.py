"""One HTML file with tables, curves and pictures: nothing to install, nothing fetched, readable in light and dark."""

import math
from html import escape

from . import pictures, plots, tables

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6775; --line: #dfe3e8; --page: #f6f7f9; --card: #fff;
  --strong: #0b57b0; --good: #146c43; --lost: #c22f2f; --cell: 0, 114, 178; --gain: 1 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a2b0; --line: #2c333d; --page: #0f1318;
  --card: #171c23; --strong: #7db8f5; --good: #6fcf97; --lost: #ff7b72; --cell: 86, 180, 233 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px }
h1 { font-size: 25px; margin: 0; letter-spacing: -.01em }
h2 { font-size: 20px; margin: 44px 0 4px; letter-spacing: -.01em }
h3 { font-size: 15px; margin: 0 0 10px; overflow-wrap: anywhere }
p { margin: 4px 0 14px; color: var(--soft); max-width: 78ch }
nav a { color: var(--strong); margin-right: 14px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 14px 0;
  overflow-x: auto }
.card > p:last-child { margin: 8px 0 0; font-size: 13px }
.row { display: grid; gap: 14px; margin: 14px 0; align-items: start;
  grid-template-columns: repeat(auto-fit, minmax(min(330px, 100%), 1fr)) }
.row.two { grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)) }
.row.one { grid-template-columns: minmax(0, 1fr) }
.row .card { margin: 0; min-width: 0 }
.row.even { align-items: stretch }
.stack { display: grid; gap: 14px; min-width: 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { padding: 5px 9px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600; font-size: 12.5px; vertical-align: bottom; white-space: normal }
th:first-child, td:first-child, .word { text-align: left }
th:first-child, td:first-child { position: sticky; left: 0; background: var(--card); padding-left: 0 }
tr:last-child td { border-bottom: 0 }
td.best { font-weight: 700 }
td.second { text-decoration: underline; text-underline-offset: 3px }
td.partial { color: #c2410c; font-weight: 600 }
@media (prefers-color-scheme: dark) { td.partial { color: #ff9d66 } }
th button { all: unset; cursor: pointer }
th button:hover { color: var(--ink) }
th button:focus-visible { outline: 2px solid var(--strong); outline-offset: 2px }
th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px }
.whole { white-space: nowrap }
.long { max-height: 460px; overflow: auto; padding: 0 }
.long td:first-child, .long th:first-child { padding-left: 18px }
.long thead th { position: sticky; top: 0; background: var(--card); padding-top: 12px; box-shadow: 0 1px var(--line) }
.long thead th:first-child { z-index: 1 }
.plot svg { width: 100%; height: auto; font-family: inherit; display: block }
.plot ul { list-style: none; margin: 8px 0 0; padding: 0; font-size: 13px }
.plot.radar svg { max-width: 560px; margin: 0 auto }
.keys { display: flex; gap: 4px 18px; flex-wrap: wrap; font-size: 13px }
.verdicts { margin: 0; padding: 0; list-style: none; max-height: 340px; overflow-y: auto }
.verdicts li { padding: 2px 0 2px 12px; border-left: 4px solid var(--line); margin-bottom: 12px }
.verdicts li.real { border-color: var(--good) }
.legend { display: flex; gap: 6px 18px; flex-wrap: wrap; align-items: center; color: var(--soft); font-size: 13.5px;
  margin: 8px 0; padding: 8px 0; position: sticky; top: 0; background: var(--page); z-index: 2 }
.legend label { margin-left: auto }
.legend input { vertical-align: middle }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; border-top: 1px solid var(--line); padding-top: 12px }
@media (max-width: 600px) { main { padding: 18px 10px 40px } .card:not(.long) { padding: 12px } h2 { margin-top: 32px }
  .legend label { margin-left: 0 } .long td:first-child, .long th:first-child { padding-left: 12px }
  .long td:first-child { max-width: 42vw; overflow: hidden; text-overflow: ellipsis } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable"))
  table.tHead.rows[0].querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const order = head.getAttribute("aria-sort") === "descending" ? 1 : -1;
    for (const other of head.parentNode.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order > 0 ? "ascending" : "descending");
    const value = row => { const text = row.cells[column].textContent, n = parseFloat(text);
      return column === 0 ? text : isNaN(n) ? -Infinity : n };
    const rows = [...table.tBodies[0].rows].sort((a, b) => { const x = value(a), y = value(b);
      return x < y ? -order : x > y ? order : 0 });
    table.tBodies[0].append(...rows);
  }));
for (const slider of document.querySelectorAll("input.gain")) slider.addEventListener("input", () =>
  slider.closest("section").style.setProperty("--gain", slider.value));
"""

PROTOCOLS = {
    "clean": "frames without a target are left out",
    "stark": "every frame counts, as in STARK and OSTrack",
    "pytracking": "every frame counts, as in PyTracking",
}


def html(evaluated):
    """The whole report as text.

    evaluated: list of (report of `scoring.evaluate`, its sequences, {label: results.Run}), one a dataset. Frames of a
    few sequences are decoded; where that fails the page says why. Colours follow the order of the runs.
    """
    labels = list(dict.fromkeys(label for *_, runs in evaluated for label in runs))
    evaluated = [(plots.placed(report, labels), sequences, runs) for report, sequences, runs in evaluated]
    reports = [report for report, *_ in evaluated]
    sections = [_dataset(f"d{place}", *one) for place, one in enumerate(evaluated)]
    names = [escape(report["dataset"]) for report in reports]
    several = ""
    if len(reports) > 1:
        links = "".join(f'<a href="#d{place}">{name}</a>' for place, name in enumerate(names))
        several = f"<nav>{links}</nav>{_card(tables.overview(reports))}"
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Lunar Tracking: {', '.join(names)}</title><style>{STYLE}{pictures.STYLE}</style></head><body><main>"
        f"<h1>Tracking results</h1>{several}{''.join(sections)}"
        "<footer>AUC: mean over 21 overlap thresholds 0, 0.05 ... 1 of the share of frames above it. OP50, OP75: that "
        "share at 0.5 and 0.75. P20, P5: share of frames with the centre within 20 px and 5 px. NP: the same relative "
        "to the target's size, as area under the curve to 0.5 and at 0.2. These are means over sequences. AO, SR: mean "
        "overlap and success rates over all visible frames but the first of each sequence (GOT-10k). All in percent; "
        "the best bold, the second underlined. Lost: overlap below 0.1 for at least 10 visible frames (VOT2020). "
        "Made by Lunar Tracking.</footer>"
        f"</main><script>{SCRIPT}</script></body></html>\n"
    )


def _dataset(anchor, report, sequences, runs):
    frames = sum(fact["frames"] for fact in report["sequences"])
    rounding = report["result_rounding"]
    changed = "" if rounding == "none" else f" Results were changed before scoring: {rounding}."
    partial = any(tracker["missing"] for tracker in report["trackers"])
    warning = " Some trackers were scored on a part of the sequences only and do not compare." if partial else ""
    described = {one.name: one for one in tables.all_tables(report)}
    curves = "".join(_curve(report, kind, title) for kind, (_, title, *_) in plots.KINDS.items())
    by_size = _groups(report, "by_size", "By target side", "frames", lambda row: tables.interval(row, "g", " px"))
    by_darkness = _groups(
        report, "by_darkness", "By mean brightness", "sequences", lambda row: tables.interval(row, "g", "")
    )
    by_frame = _groups(report, "by_frame_attribute", "By attribute of the frame", "frames", tables.attribute_name)
    extra = "".join(
        _card(described[name], report) for name in ("rounding", "presence", "trackingnet") if name in described
    )
    parts = [
        f'<section id="{anchor}"><h2>{escape(report["dataset"])}</h2><p>{tables.count(report)}, {frames:,} frames; '
        f"protocol {report['protocol']}: {PROTOCOLS[report['protocol']]}.{changed}{warning}</p>",
        _card(described["summary"], report, titled=False),
        _card(described["points"], report) if "points" in described else "",
        _certainty(report),
        f'<div class="row">{curves}</div>',
        f'<div class="row two">{extra}</div>' if extra else "",
        *(_row(cards, report) for cards in (by_size, by_frame, by_darkness)),
        _attributes(report),
        _per_sequence(report),
        _pictures(report, sequences, runs),
        "</section>",
    ]
    return "".join(parts)


def _card(described, report=None, titled=True):
    """A tables.Table as a card. report: whose trackers' colours go before their names."""
    labels = [tracker["label"] for tracker in report["trackers"]] if report else []
    colours = dict(zip(labels, plots.places(report), strict=True)) if report else {}
    heads = "".join(_head(header, word=index < described.left) for index, header in enumerate(described.headers))
    rows = []
    for row in described.rows:
        cells = []
        for index, cell in enumerate(row):
            is_label = index < described.left and cell.text in colours
            text = pictures.key(colours[cell.text], cell.text) if is_label else escape(cell.text)
            kinds = (cell.mark, "word" if index < described.left else "", "partial" * cell.text.startswith("PARTIAL "))
            kind = " ".join(filter(None, kinds))
            cells.append(f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>")
        rows.append(f"<tr>{''.join(cells)}</tr>")
    title = f"<h3>{escape(described.title)}</h3>" if titled else ""
    return (
        f'<div class="card">{title}<table class="sortable"><thead><tr>{heads}</tr></thead><tbody>{"".join(rows)}'
        f"</tbody></table><p>{escape(described.note)}</p></div>"
    )


def _head(text, word=False):
    return f'<th scope="col"{" class=word" if word else ""}><button type="button">{escape(text)}</button></th>'


def _certainty(report):
    """How sure the order of the trackers is: the intervals as a figure, the comparisons in words."""
    cards = []
    figure = plots.intervals(report, bare=True)
    if figure is not None:
        cards.append(f'<div class="card plot"><h3>AUC and its 95 % interval</h3>{plots.to_svg(figure)}</div>')
    comparisons = report.get("comparisons", [])
    if comparisons:
        items = "".join(
            f"<li{' class=real' if tables.is_real(row) else ''}>{escape(tables.in_words(row))}</li>"
            for row in comparisons
        )
        cards.append(f'<div class="card"><h3>Is the difference real?</h3><ul class="verdicts">{items}</ul></div>')
    return f'<div class="row two even">{"".join(cards)}</div>' if cards else ""


def _curve(report, kind, title):
    score = tables.HEADERS[plots.KINDS[kind][3]]
    places = plots.places(report)
    keys = "".join(f"<li>{pictures.key(places[index], label)}</li>" for index, label in plots.ranking(report, kind))
    svg = plots.to_svg(plots.curves(report, kind, bare=True))
    return f'<div class="card plot"><h3>{title} <small>{score}</small></h3>{svg}<ul>{keys}</ul></div>'


def _attributes(report):
    cards = _groups(report, "by_attribute", "By attribute", "sequences", tables.attribute_name)
    if not cards:
        return ""
    derived = any(row.get("derived") for row in report["trackers"][0]["by_attribute"])
    note = "<p>* derived from boxes or frames, not annotated.</p>" if derived else ""
    figure = plots.radar(report, bare=True)
    if figure is None:
        return f"{_row(cards, report)}{note}"
    keys = "".join(f"<span>{pictures.key(place, one['label'])}</span>" for place, one in plots.radar_trackers(report))
    radar = (
        '<div class="card plot radar"><h3>By attribute: AUC <small>least and greatest beside the name</small></h3>'
        f'{plots.to_svg(figure)}<div class="keys">{keys}</div>{note}</div>'
    )
    return _row([radar, f'<div class="stack">{"".join(cards)}</div>'], report)


def _row(cards, report):
    """Cards beside each other, or below where a column a tracker makes them wide."""
    columns = "two" if len(report["trackers"]) <= 4 else "one"
    return f'<div class="row {columns}">{"".join(cards)}</div>' if cards else ""


def _groups(report, key, title, count, name):
    """Two cards of scores by something, a row a bucket and a column a tracker; none where nothing is known."""
    trackers = [(index, tracker) for index, tracker in enumerate(report["trackers"]) if tracker.get(key)]
    if not trackers:
        return []
    heads = "".join(f'<th scope="col">{_key(report, index)}</th>' for index, _ in trackers)
    cards = []
    for score in ("auc", "p5"):
        lines = []
        for rows in zip(*(tracker[key] for _, tracker in trackers), strict=True):
            amount = max(row[count] for row in rows)
            if amount:
                cells = "".join(_heat(row[score]) for row in rows)
                lines.append(f"<tr><td>{escape(name(rows[0]))}</td><td>{amount:,}</td>{cells}</tr>")
        cards.append(
            f'<div class="card"><h3>{title}: {tables.HEADERS[score]}</h3><table><thead><tr><th></th>'
            f'<th scope="col">{count}</th>{heads}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'
        )
    return cards


def _per_sequence(report):
    words = any(fact["attributes"] or fact.get("derived") for fact in report["sequences"])
    heads = "".join(_head(text) for text in ("sequence", "frames", "visible", "side px"))
    heads += "".join(
        f'<th scope="col"><button type="button">{_key(report, index)}</button></th>'
        for index in range(len(report["trackers"]))
    )
    heads += _head("attributes", word=True) if words else ""
    rows = []
    for fact, values in tables.sequence_scores(report, "auc"):
        cells = [escape(fact["name"]), fact["frames"], fact["visible"], tables.number(fact["side_px"], 1)]
        listed = [*fact["attributes"], *(f"{word} *" for word in fact.get("derived", []))]
        more = f'<td class="word">{escape(", ".join(listed).replace("_", " "))}</td>' if words else ""
        first = "".join(f"<td>{cell}</td>" for cell in cells)
        rows.append(f"<tr>{first}{''.join(map(_heat, values))}{more}</tr>")
    return (
        "<h2>Sequences</h2><p>AUC of every sequence, the hardest first; a click on a heading sorts. Side is the median "
        'over visible frames.</p><div class="card long"><table class="sortable"><thead><tr>'
        f"{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _pictures(report, sequences, runs):
    shown = min(len(report["trackers"]), pictures.SHOWN_TRACKERS)
    keys = "".join(f"<span>{_key(report, index)}</span>" for index in range(shown))
    return (
        "<h2>Pictures</h2><p>The hardest and the easiest sequences, by mean AUC; at right of each frame what is around "
        "the target. Where a tracker loses the target, its longest loss is shown around the true place: the last frame "
        "before it, the first lost and the tenth; a triangle points to a box that is elsewhere. Below the frames, the "
        'overlap along time, what is lost in red.</p><div class="legend"><span><i class="key" style="background:'
        f'{plots.TRUTH}"></i>ground truth</span>{keys}<label>brighten <input class="gain" type="range" min="1" '
        'max="10" step="0.5" value="1" aria-label="brighten the pictures"></label></div>'
        f"{pictures.html(report, sequences, runs)}"
    )


def _key(report, index):
    return pictures.key(plots.places(report)[index], report["trackers"][index]["label"])


def _heat(share):
    shade = 0 if math.isnan(share) else 0.38 * share
    return f'<td style="background:rgba(var(--cell), {shade:.2f})">{tables.percent(share)}</td>'
