"""Success, precision and normalised precision curves, and scores by attribute, as matplotlib figures.

Colours are those of Okabe and Ito, told apart by every kind of colour vision; line styles repeat the distinction.
"""

import io
import logging

from lib.errors import MachineError
from lib.files import atomic_path
from lib.test.analysis import metrics, tables

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
DASHES = ("-", (0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1.5, 2)))
INK = "#4a4f57"
KINDS = {  # curve -> (thresholds, title, axis, score in the legend)
    "success": (metrics.OVERLAPS, "Success", "overlap threshold", "auc"),
    "precision": (metrics.PIXELS, "Precision", "centre error threshold [px]", "p20"),
    "normalised": (metrics.FRACTIONS, "Normalised precision", "centre error threshold [target size]", "np_auc"),
}


def style(index):
    """(colour, dashes) of the index-th tracker, the same in every figure."""
    return COLOURS[index % len(COLOURS)], DASHES[index // len(COLOURS) % len(DASHES)]


def curves(report, kind, bare=False):
    """A figure of one of KINDS for a report of `scoring.evaluate`. bare: small, without title and legend."""
    thresholds, title, axis_name, score = KINDS[kind]
    figure, axes = _axes((4.1, 3.0) if bare else (5.2, 3.9))
    for index, label in ranking(report, kind):
        colour, dashes = style(index)
        values = report["trackers"][index]["curves"][kind]
        axes.plot(thresholds, values, color=colour, linestyle=dashes, linewidth=1.8, label=label, clip_on=False)
    if kind == "precision":
        axes.axvline(20, color=INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
    axes.set(xlabel=axis_name, ylabel="share of frames", xlim=(thresholds[0], thresholds[-1]), ylim=(0, 1))
    if not bare:
        axes.set_title(f"{title}: {tables.title(report)}", fontsize=11, loc="left")
        _legend(axes, tables.HEADERS[score])
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
    figure, axes = _axes((6.2, 1.3 + 0.32 * len(rows)))
    for index, tracker in enumerate(report["trackers"]):
        values = [100 * row["auc"] for row in tracker["by_attribute"]]
        marker = "osD^vP"[index % 6]
        axes.plot(values, range(len(rows)), marker, color=style(index)[0], markersize=6, label=tracker["label"])
    axes.set(xlabel="AUC [%]", xlim=(0, 100), ylim=(len(rows) - 0.5, -0.5))
    axes.set_yticks(range(len(rows)), [f"{row['attribute']} ({row['sequences']})" for row in rows])
    axes.set_title(f"AUC by attribute: {tables.title(report)}", fontsize=11, loc="left")
    _legend(axes)
    return figure


def save(report, folder):
    """Write every figure of a report as <dataset>_<kind>.png and .pdf into `folder`. Returns the Paths."""
    figures = {kind: curves(report, kind) for kind in KINDS}
    if any(tracker["by_attribute"] for tracker in report["trackers"]):
        figures["attributes"] = attributes(report)
    written = []
    for kind, figure in figures.items():
        for suffix in ("png", "pdf"):
            path = folder / f"{report['dataset']}_{kind}.{suffix}"
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


def _axes(size):
    try:
        import matplotlib
    except ImportError:
        raise MachineError("plots need matplotlib: pip install matplotlib") from None
    from matplotlib.figure import Figure  # without pyplot: no display is looked for, no figure kept alive

    logging.getLogger("fontTools").setLevel(logging.WARNING)
    with matplotlib.rc_context({"text.color": INK, "axes.labelcolor": INK, "font.size": 9, "pdf.fonttype": 42}):
        figure = Figure(figsize=size)
        axes = figure.add_subplot()
        axes.tick_params(colors=INK, length=3, width=0.7)
        axes.title.set_color(INK)
    axes.grid(color=INK, alpha=0.18, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=INK, linewidth=0.7)
    return figure, axes


def _legend(axes, title=None):
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
