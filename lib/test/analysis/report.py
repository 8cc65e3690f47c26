"""One HTML file with tables, curves and pictures: nothing to install, nothing fetched, readable in light and dark."""

import base64
import math
from html import escape

import numpy as np

from lib.errors import UserError
from lib.test.analysis import plots, tables
from lib.test.evaluation import results

WORST, BEST, VIEWS = 4, 2, 3  # sequences shown, frames of each
SHOWN_TRACKERS = 4
TRUTH = "#F0E442"
FULL_WIDTH = 560  # px of an embedded frame
ZOOM_SIDE = (48, 240)  # px of the frame, at least and at most, around the target

STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5d6775; --line: #dfe3e8; --page: #f6f7f9; --card: #fff;
  --strong: #0b57b0; --cell: 0, 114, 178; --gain: 1 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e8ee; --soft: #98a2b0; --line: #2c333d; --page: #0f1318;
  --card: #171c23; --strong: #7db8f5; --cell: 86, 180, 233 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--page); color: var(--ink); 
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 60px }
h1 { font-size: 25px; margin: 0; letter-spacing: -.01em }
h2 { font-size: 20px; margin: 44px 0 4px; letter-spacing: -.01em }
h3 { font-size: 15px; margin: 0 0 10px }
p { margin: 4px 0 14px; color: var(--soft); max-width: 78ch }
nav a { color: var(--strong); margin-right: 14px }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 16px 18px; margin: 14px 0;
  overflow-x: auto }
.row { display: grid; gap: 14px; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)) }
.row .card { margin: 0 }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 14px }
th, td { padding: 5px 10px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--line) }
th { color: var(--soft); font-weight: 600; font-size: 12.5px }
th:first-child, td:first-child { text-align: left }
tr:last-child td { border-bottom: 0 }
td.best { font-weight: 700 }
td.partial { color: #c2410c; font-weight: 600 }
@media (prefers-color-scheme: dark) { td.partial { color: #ff9d66 } }
table.sortable th { cursor: pointer }
table.sortable th:hover { color: var(--ink) }
th[data-order="1"]::after { content: " \\2191" }
th[data-order="-1"]::after { content: " \\2193" }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 7px }
.long { max-height: 460px; overflow: auto; padding: 0 }
.long thead th { position: sticky; top: 0; background: var(--card); padding-top: 12px; box-shadow: 0 1px var(--line) }
.plot svg { width: 100%; height: auto; font-family: inherit }
.plot ul { list-style: none; margin: 8px 0 0; padding: 0; font-size: 13px }
.strip { display: grid; grid-template-columns: repeat(auto-fit, minmax(330px, 1fr)); gap: 10px; align-items: start }
.view { display: grid; background: #000; border-radius: 6px; overflow: hidden; position: relative }
.view svg { width: 100%; display: block }
.view span { position: absolute; left: 6px; top: 3px; font-size: 11px; color: #fff; text-shadow: 0 0 3px #000 }
.view image { filter: brightness(var(--gain)) }
.zoom image { image-rendering: pixelated }
.view rect { fill: none; stroke-width: 1.6px; vector-effect: non-scaling-stroke }
.view rect.frame { stroke: #fff; stroke-width: 1px; stroke-dasharray: 3 3; opacity: .6 }
.legend { display: flex; gap: 18px; flex-wrap: wrap; align-items: center; color: var(--soft); font-size: 13.5px;
  margin: 8px 0 }
.legend label { margin-left: auto }
.legend input { vertical-align: middle }
h3 small { color: var(--soft); font-weight: 400; margin-left: 8px }
footer { color: var(--soft); font-size: 13px; margin-top: 40px; border-top: 1px solid var(--line); padding-top: 12px }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable"))
  table.tHead.rows[0].querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
    const order = head.dataset.order === "-1" ? 1 : -1;
    for (const other of head.parentNode.children) delete other.dataset.order;
    head.dataset.order = order;
    const value = row => { const text = row.cells[column].textContent, n = parseFloat(text);
      return column === 0 ? text : isNaN(n) ? -Infinity : n };
    const rows = [...table.tBodies[0].rows].sort((a, b) => { const x = value(a), y = value(b);
      return x < y ? -order : x > y ? order : 0 });
    table.tBodies[0].append(...rows);
  }));
for (const slider of document.querySelectorAll("input.gain")) slider.addEventListener("input", () =>
  slider.closest("section").style.setProperty("--gain", slider.value));
"""


def html(evaluated):
    """The whole report as text.

    evaluated: list of (report of `scoring.evaluate`, its sequences, {label: results.Run}), one a dataset. Frames of a
    few sequences are decoded; where that fails the page says why.
    """
    sections = [_dataset(*one) for one in evaluated]
    names = [escape(report["dataset"]) for report, *_ in evaluated]
    links = "".join(f'<a href="#{name}">{name}</a>' for name in names) if len(names) > 1 else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Lunar Tracking: {', '.join(names)}</title><style>{STYLE}</style></head><body><main>"
        f"<h1>Tracking results</h1><nav>{links}</nav>{''.join(sections)}"
        "<footer>AUC: mean over 21 overlap thresholds 0, 0.05 ... 1 of the share of frames above it. OP50, OP75: that "
        "share at 0.5 and 0.75. P20, P5: share of frames with the centre within 20 px and 5 px. NP: the same relative "
        "to the target's size, as area under the curve to 0.5 and at 0.2. These are means over sequences. AO, SR: mean "
        "overlap and success rates over all visible frames but the first of each sequence (GOT-10k). All in percent. "
        "Made by Lunar Tracking.</footer>"
        f"</main><script>{SCRIPT}</script></body></html>\n"
    )


def _dataset(report, sequences, runs):
    frames = sum(fact["frames"] for fact in report["sequences"])
    count = len(sequences)
    protocol = {
        "clean": "frames without a target are left out",
        "stark": "every frame counts, as in STARK and OSTrack",
        "pytracking": "every frame counts, as in PyTracking",
    }[report["protocol"]]
    rounding = report["result_rounding"]
    changed = "" if rounding == "none" else f" Results were changed before scoring: {rounding}."
    partial = any(tracker["missing"] for tracker in report["trackers"])
    warning = " Some trackers were scored on a part of the sequences only and do not compare." if partial else ""
    curves = "".join(_curve(report, kind, title) for kind, (_, title, *_) in plots.KINDS.items())
    groups = [
        _groups(report, "by_size", "By target side (frames)", "frames", lambda row: tables.interval(row, "g", " px")),
        _groups(report, "by_attribute", "By attribute (sequences)", "sequences", lambda row: row["attribute"]),
        _groups(
            report,
            "by_darkness",
            "By mean brightness (sequences)",
            "sequences",
            lambda row: tables.interval(row, "g", ""),
        ),
    ]
    name = escape(report["dataset"])
    return (
        f'<section id="{name}"><h2>{name}</h2><p>{count} sequences, {frames:,} frames; protocol {report["protocol"]}: '
        f'{protocol}.{changed}{warning}</p><div class="card">{_summary(report)}</div><div class="row">{curves}</div>'
        f"{''.join(groups)}{_per_sequence(report)}{_pictures(report, sequences, runs)}</section>"
    )


def _summary(report):
    names = list(tables.HEADERS)
    comparable = [tracker for tracker in report["trackers"] if not tracker["missing"]]
    best = {name: max((_low(tracker["scores"][name]) for tracker in comparable), default=None) for name in names}
    rows = []
    for index, tracker in enumerate(report["trackers"]):
        cells = "".join(
            f"<td{' class=best' if tracker['scores'][name] == best[name] else ''}>"
            f"{tables.percent(tracker['scores'][name])}</td>"
            for name in names
        )
        mark = " class=partial" if tracker["missing"] else ""
        coverage = tables.coverage(tracker, len(report["sequences"]))
        fps = tables.number(tracker["fps"], 1)
        rows.append(f"<tr><td>{_key(report, index)}</td>{cells}<td>{fps}</td><td{mark}>{coverage}</td></tr>")
    heads = "".join(f"<th>{head}</th>" for head in ("tracker", *tables.HEADERS.values(), "FPS", "sequences"))
    return f"<table class=sortable><thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _curve(report, kind, title):
    score = tables.HEADERS[plots.KINDS[kind][3]]
    keys = "".join(f"<li>{_square(index)}{escape(label)}</li>" for index, label in plots.ranking(report, kind))
    svg = plots.to_svg(plots.curves(report, kind, bare=True))
    return f'<div class="card plot"><h3>{title}<small>{score}</small></h3>{svg}<ul>{keys}</ul></div>'


def _groups(report, key, title, count, name):
    trackers = report["trackers"]
    keys = [[row[k] for k in ("from", "attribute") if k in row][0] for row in trackers[0][key]]
    if not keys:
        return ""
    heads = "".join(f"<th>{_key(report, index)}</th>" for index in range(len(trackers)))
    rows = []
    for score in ("auc", "p5"):
        cells = []
        for index, row in enumerate(trackers[0][key]):
            values = [tracker[key][index][score] for tracker in trackers]
            amount = max(tracker[key][index][count] for tracker in trackers)
            if amount:
                cells.append(f"<tr><td>{escape(name(row))}</td><td>{amount:,}</td>{''.join(map(_heat, values))}</tr>")
        rows.append(
            f'<div class="card"><h3>{title}: {tables.HEADERS[score]}</h3><table><thead><tr><th></th><th>{count}</th>'
            f"{heads}</tr></thead><tbody>{''.join(cells)}</tbody></table></div>"
        )
    return f'<div class="row" style="margin-top:14px">{"".join(rows)}</div>'


def _per_sequence(report):
    heads = "".join(f"<th>{_key(report, index)}</th>" for index in range(len(report["trackers"])))
    rows = []
    for fact, values in tables.sequence_scores(report, "auc"):
        side = tables.number(fact["side_px"], 1)
        rows.append(
            f"<tr><td>{escape(fact['name'])}</td><td>{fact['frames']}</td><td>{fact['visible']}</td><td>{side}</td>"
            f"{''.join(map(_heat, values))}</tr>"
        )
    return (
        "<h2>Sequences</h2><p>AUC of every sequence, the hardest first; a click on a heading sorts. Side is the median "
        'over visible frames.</p><div class="card long"><table class=sortable><thead><tr><th>sequence</th>'
        f"<th>frames</th><th>visible</th><th>side px</th>{heads}</tr></thead><tbody>{''.join(rows)}</tbody>"
        "</table></div>"
    )


def _pictures(report, sequences, runs):
    trackers = report["trackers"][:SHOWN_TRACKERS]
    order = sorted((row for row in trackers[0]["sequences"] if not math.isnan(row["auc"])), key=lambda row: row["auc"])
    best = order[len(order) - min(BEST, len(order) // 2) :][::-1]
    worst = order[: min(WORST, len(order) - len(best))]
    by_name = {sequence.name: sequence for sequence in sequences}
    keys = "".join(f"<span>{_key(report, index)}</span>" for index in range(len(trackers)))
    parts = [
        f"<h2>Pictures</h2><p>Sequences where {escape(trackers[0]['label'])} did worst and best; at right "
        'of each frame what is around the target.</p><div class="legend"><span><i class="key" style="background:'
        f'{TRUTH}"></i>ground truth</span>{keys}<label>brighten <input class="gain" type="range" min="1" max="10" '
        'step="0.5" value="1" aria-label="brighten the pictures"></label></div>'
    ]
    for title, rows in (("worst", worst), ("best", best)):
        for row in rows:
            sequence = by_name[row["name"]]
            try:
                body = f'<div class="strip">{"".join(_views(report["dataset"], sequence, trackers, runs))}</div>'
            except UserError as error:
                body = f"<p>No pictures: {escape(str(error))}</p>"
            score = tables.number(100 * row["auc"], 1)
            parts.append(
                f'<div class="card"><h3>{escape(row["name"])}<small>{title}, AUC {score}, {len(sequence)} frames'
                f"</small></h3>{body}</div>"
            )
    return "".join(parts)


def _views(dataset, sequence, trackers, runs):
    visible = np.flatnonzero(sequence.visible)
    chosen = np.unique(visible[np.linspace(0, len(visible) - 1, VIEWS + 1).round().astype(int)[1:]])
    boxes = [(sequence.boxes_xywh, TRUTH)]
    for index, tracker in enumerate(trackers):
        path = results.find(runs[tracker["label"]], dataset, sequence.name)
        if path is not None:
            boxes.append((results.read(path, len(sequence))[0], plots.style(index)[0]))
    frames = sequence.frames()
    return [_view(frames[int(index)], index, [(box[index], colour) for box, colour in boxes]) for index in chosen]


def _view(image, index, boxes):
    import cv2

    height, width = image.shape[:2]
    x, y, w, h = boxes[0][0]
    side = int(min(np.clip(8 * np.sqrt(w * h), *ZOOM_SIDE), width, height))
    left = int(np.clip(x + w / 2 - side / 2, 0, width - side))
    top = int(np.clip(y + h / 2 - side / 2, 0, height - side))
    scale = min(1, FULL_WIDTH / width)
    full = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    zoom = image[top : top + side, left : left + side]
    rects = "".join(_rect(box, colour) for box, colour in boxes[::-1] if np.isfinite(box).all())
    return (
        f'<div class="view" style="grid-template-columns:{width / height:.3f}fr 1fr">'
        f'<svg viewBox="0 0 {width} {height}">'
        f"{_image(full, 0, 0, width, height, 85)}{rects}"
        f'<rect class="frame" x="{left}" y="{top}" width="{side}" height="{side}"/></svg>'
        f'<svg class="zoom" viewBox="{left} {top} {side} {side}">'
        f"{_image(zoom, left, top, side, side, 95)}{rects}</svg><span>frame {index}</span></div>"
    )


def _rect(box, colour):
    x, y, w, h = box
    return f'<rect x="{x:.2f}" y="{y:.2f}" width="{max(w, 0):.2f}" height="{max(h, 0):.2f}" stroke="{colour}"/>'


def _image(image, x, y, width, height, quality):
    import cv2

    _, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])
    source = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    return f'<image href="{source}" x="{x}" y="{y}" width="{width}" height="{height}" preserveAspectRatio="none"/>'


def _key(report, index):
    return _square(index) + escape(report["trackers"][index]["label"])


def _square(index):
    return f'<i class="key" style="background:{plots.style(index)[0]}"></i>'


def _heat(share):
    shade = 0 if math.isnan(share) else 0.38 * share
    return f'<td style="background:rgba(var(--cell), {shade:.2f})">{tables.percent(share)}</td>'


def _low(value):
    return -1 if math.isnan(value) else value
