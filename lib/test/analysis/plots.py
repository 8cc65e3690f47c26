"""Success, precision and normalised precision curves, scores with intervals and by attribute, as matplotlib figures.

Colours are those of Okabe and Ito, told apart by every kind of colour vision; line styles repeat the distinction.
"""

import io
import logging
import math

from ...errors import MachineError
from ...files import atomic_path
from . import metrics, tables

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
MARKERS = "osD^vP"
TRUTH = "#F0E442"
INK = "#4a4f57"
AXES, LINES = (3, 14), 8  # attributes of a radar, at least and at most; trackers, at most
KINDS = {  # curve -> (thresholds, title, axis, score in the legend)
    "success": (metrics.OVERLAPS, "Success", "overlap threshold", "auc"),
    "precision": (metrics.PIXELS, "Precision", "centre error threshold [px]", "p20"),
    "normalised": (metrics.FRACTIONS, "Normalised precision", "centre error threshold [target size]", "np_auc"),
}


def style(place):
    """(colour, dashes) of the tracker that was named at a place from 0, the same in every figure, page and video."""
    return COLOURS[place % len(COLOURS)], DASHES[place // len(COLOURS) % len(DASHES)]


def placed(report, labels):
    """A copy of a report whose trackers take their colours from their place among `labels`, in every dataset the same.

    Without it they take them from their rank.
    """
    trackers = [{**tracker, "place": labels.index(tracker["label"])} for tracker in report["trackers"]]
    return {**report, "trackers": trackers}


def places(report):
    """The place of each tracker of a report, for `style`."""
    return [tracker.get("place", index) for index, tracker in enumerate(report["trackers"])]


def curves(report, kind, bare=False):
    """A figure of one of KINDS for a report of `scoring.evaluate`. bare: small, without title and legend."""
    thresholds, title, axis_name, score = KINDS[kind]
    figure, axes = new_axes((4.1, 3.0) if bare else (5.2, 3.9))
    for index, label in ranking(report, kind):
        colour, dashes = style(places(report)[index])
        values = report["trackers"][index]["curves"][kind]
        axes.plot(thresholds, values, color=colour, linestyle=dashes, linewidth=1.8, label=label, clip_on=False)
    if kind == "precision":
        axes.axvline(20, color=INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    axes.set(xlabel=axis_name, ylabel="share of frames", xlim=(thresholds[0], thresholds[-1]), ylim=(0, 1))
    if not bare:
        axes.set_title(f"{title}: {tables.title(report)}", fontsize=11, loc="left")
        add_legend(axes, tables.HEADERS[score])
    return figure


def ranking(report, kind):
    """[(index of a tracker, its score and label)] for the legend of one of KINDS, best first."""
    score = KINDS[kind][3]
    entries = []
    for index, tracker in enumerate(report["trackers"]):
        partial = f" ({tracker['scored']}/{len(report['sequences'])} seq.)" if tracker["missing"] else ""
        value = tracker["scores"][score]
        entries.append((-_known(value), index, f"{tables.number(100 * value, 1)}  {tracker['label']}{partial}"))
    return [entry[1:] for entry in sorted(entries)]


def attributes(report):
    """A figure of the AUC by attribute: a row an attribute, a mark a tracker."""
    rows = report["trackers"][0]["by_attribute"]
    figure, axes = new_axes((6.2, 1.3 + 0.32 * len(rows)))
    for place, tracker in zip(places(report), report["trackers"], strict=True):
        values = [100 * row["auc"] for row in tracker["by_attribute"]]
        marker = MARKERS[place % len(MARKERS)]
        axes.plot(values, range(len(rows)), marker, color=style(place)[0], markersize=6, label=tracker["label"])
    axes.set(xlabel="AUC [%]", xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [f"{tables.attribute_name(row)} ({row['sequences']})" for row in rows])
    axes.set_title(f"AUC by attribute: {tables.title(report)}", fontsize=11, loc="left")
    add_legend(axes)
    return figure


def intervals(report, score="auc", bare=False):
    """A figure of a score of every tracker with its 95 % confidence interval, or None where no interval is known."""
    pairs = zip(places(report), report["trackers"], strict=True)
    known = [(place, one) for place, one in pairs if _interval(one, score) is not None]
    if not known:
        return None
    figure, axes = new_axes((5.4 if bare else 6.2, 0.9 + 0.34 * len(known)))
    for row, (place, tracker) in enumerate(known):
        low, high = _interval(tracker, score)
        colour, value = style(place)[0], 100 * tracker["scores"][score]
        axes.plot([low, high], [row, row], color=colour, linewidth=2.2, solid_capstyle="butt")
        axes.plot([low, low, high, high], [row - 0.12, row + 0.12] * 2, "|", color=colour, markersize=7)
        axes.plot([value], [row], MARKERS[place % len(MARKERS)], color=colour, markersize=7)
    axes.set(xlabel=f"{tables.HEADERS[score]} [%], 95 % interval over sequences", ylim=(len(known) - 0.5, -0.5))
    axes.set_yticks(range(len(known)), [tracker["label"] for _, tracker in known])
    axes.grid(visible=False, axis="y")
    if not bare:
        axes.set_title(tables.title(report), fontsize=11, loc="left")
    return figure


def radar(report, score="auc", bare=False):
    """A radar of a score by attribute, a line a tracker, or None where there is too little to draw.

    An axis is an attribute, with the least and the greatest score beside it; all axes have one scale, in percent, and
    its rings say which. Of more than 14 attributes the most frequent, of more than 8 trackers the first are drawn;
    trackers that were scored on a part are left out.
    """
    shown = radar_trackers(report)
    rows = _radar_rows([tracker for _, tracker in shown], score)
    if len(rows) < AXES[0]:
        return None
    figure, axes = new_axes((4.6, 4.0) if bare else (5.6, 5.2), projection="polar")
    angles = [2 * math.pi * place / len(rows) for place in range(len(rows))]
    low, high = _scale([value for _, values in rows for value in values])
    for line, (place, tracker) in enumerate(shown):
        colour, dashes = style(place)
        values = [values[line] for _, values in rows]
        closed = {"x": [*angles, angles[0]], "y": [*values, values[0]]}
        axes.plot(closed["x"], closed["y"], color=colour, linestyle=dashes, linewidth=1.8, label=tracker["label"])
        axes.plot(angles, values, MARKERS[place % len(MARKERS)], color=colour, markersize=3.5)
        if len(shown) <= 3:
            axes.fill(closed["x"], closed["y"], color=colour, alpha=0.07)
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.set(ylim=(low, high))
    rings = list(range(low, high + 1, 10 if high - low <= 50 else 20))
    axes.set_yticks(rings, [str(ring) for ring in rings[:-1]] + [""], fontsize=7.5)
    axes.grid(color=INK, alpha=0.3, linewidth=0.6)
    axes.set_rlabel_position(180 / len(rows))
    axes.set_xticks(angles, [])
    for angle, (name, values) in zip(angles, rows, strict=True):
        across, up = math.sin(angle), math.cos(angle)
        axes.annotate(
            f"{name}\n{min(values):.1f}\u2013{max(values):.1f}",
            (angle, high),
            (7 * across, 7 * up),
            textcoords="offset points",
            ha="center" if abs(across) < 0.2 else "left" if across > 0 else "right",
            va="bottom" if up > 0.9 else "top" if up < -0.9 else "center",
            color=INK,
            fontsize=8.5,
            linespacing=1.15,
            annotation_clip=False,
        )
    if not bare:
        axes.set_title(f"{tables.HEADERS[score]} by attribute: {tables.title(report)}", fontsize=11, pad=34)
        axes.legend(
            frameon=False,
            fontsize=9,
            handlelength=2.6,
            labelcolor=INK,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.13),
            ncols=min(3, len(shown)),
        )
    return figure


def radar_trackers(report):
    """[(place, tracker)] of those that a radar shows: complete, and at most LINES."""
    pairs = zip(places(report), report["trackers"], strict=True)
    return [(place, tracker) for place, tracker in pairs if not tracker["missing"]][:LINES]


def save(report, folder):
    """Write every figure of a report as <dataset>_<kind>.png and .pdf into `folder`. Returns the Paths."""
    figures = {kind: curves(report, kind) for kind in KINDS}
    if any(tracker["by_attribute"] for tracker in report["trackers"]):
        figures["attributes"] = attributes(report)
    more = {"radar": radar(report), "intervals": intervals(report)}
    figures |= {kind: figure for kind, figure in more.items() if figure is not None}
    return write(figures, folder, report["dataset"])


def write(figures, folder, stem):
    """Write {kind: figure} as <stem>_<kind>.png and .pdf into `folder`. Returns the Paths."""
    written = []
    for kind, figure in figures.items():
        for suffix in ("png", "pdf"):
            path = folder / f"{stem}_{kind}.{suffix}"
            when = {"CreationDate": None} if suffix == "pdf" else None  # same results, same bytes
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=suffix, dpi=180, bbox_inches="tight", metadata=when)
            written.append(path)
    return written


def to_svg(figure):
    """A figure as an <svg> element for a page whose text colour and font it takes over."""
    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "lunar"}):
        figure.savefig(text, format="svg", bbox_inches="tight", transparent=True, metadata={"Date": None})
    return text.getvalue()[text.getvalue().index("<svg") :].replace(INK, "currentColor")


def new_axes(size, projection=None):
    """(figure, axes) of a size in inches, in the style of all figures. Raises MachineError without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise MachineError("plots need matplotlib: pip install matplotlib") from None
    from matplotlib.figure import Figure  # without pyplot: no display is looked for, no figure kept alive

    logging.getLogger("fontTools").setLevel(logging.WARNING)
    with matplotlib.rc_context({"text.color": INK, "axes.labelcolor": INK, "font.size": 9, "pdf.fonttype": 42}):
        figure = Figure(figsize=size)
        axes = figure.add_subplot(projection=projection)
        axes.tick_params(colors=INK, length=3, width=0.7)
        axes.title.set_color(INK)
    axes.grid(color=INK, alpha=0.18, linewidth=0.6)
    axes.set_axisbelow(True)
    for side, spine in axes.spines.items():
        spine.set(color=INK, linewidth=0.7, visible=side in ("left", "bottom"))
    return figure, axes


def _interval(tracker, score):
    """(low, high) in percent, or None where it is not known."""
    low, high = tracker.get("intervals", {}).get(score, (math.nan, math.nan))
    return None if math.isnan(low) or math.isnan(high) else (100 * low, 100 * high)


def _radar_rows(trackers, score):
    """[(name of an attribute, [percent of every tracker])] of the axes of a radar, in the order of the report.

    Attributes that some tracker has no score for are left out, and the rarest where there are too many.
    """
    lines = [
        (rows[0]["sequences"], tables.attribute_name(rows[0]), [100 * row[score] for row in rows])
        for rows in zip(*(tracker["by_attribute"] for tracker in trackers), strict=True)
        if not any(math.isnan(row[score]) for row in rows)
    ]
    frequent = sorted(range(len(lines)), key=lambda place: -lines[place][0])[: AXES[1]]
    return [lines[place][1:] for place in sorted(frequent)]


def _scale(values):
    """The (low, high) percent of a radar: tens around the values, the lowest one a good way from the middle."""
    high = min(100, 10 * math.ceil(max(values) / 10 + 0.01))
    low = max(0, 10 * math.floor(min(values) / 10) - 10)
    return low, max(high, low + 20)


def add_legend(axes, title=None):
    """Beside the axes, where it hides nothing however many trackers there are."""
    legend = axes.legend(
        title=title,
        title_fontsize=9,
        alignment="left",
        frameon=False,
        fontsize=9,
        handlelength=2.6,
        labelcolor=INK,
        loc="upper left",
        bbox_to_anchor=(1.01, 1.02),
    )
    legend.get_title().set_color(INK)


def _known(value):
    return -1 if value != value else value
