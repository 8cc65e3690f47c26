"""What a dataset consists of, in the form of LaTOT's Table I: videos, frames, sizes of targets, light, attributes.

`take` measures a dataset into one plain dictionary; everything else shows it. Attributes are those annotated and those
of lib/data/attributes.py.
"""

import json
import math

import numpy as np

from ...data import attributes
from ...files import write_text
from . import plots, tables
from .metrics import DARKNESS_EDGES, intervals

SIDE_EDGES = (4.0, 8.0, 16.0, 32.0, 64.0, 128.0)  # px, of the table
FINE_SIDES = 2 ** (np.arange(0, 41) / 4)  # px, of the figure: 1 to 1024
FINE_SHARES = 10 ** (np.arange(-24, 1) / 4)  # of the image's area, of the figure
FINE_LIGHT = np.linspace(0, 1, 21)  # brightness, of the figure


def take(dataset, sequences, pixels=False, progress=iter):
    """Measure a dataset. sequences: list of lib.data.sequence.Sequence. progress: wraps the list.

    pixels: also decode eight frames a sequence, for brightness and the attributes that only pixels tell; else nothing
    is decoded but a video's first frame. Returns {"dataset", "pixels", "videos", "classes" (None where unknown), "min",
    "mean", "max", "frames", "seconds", "labelled" and "unlabelled" (frames with a box and without), "sized" (videos
    whose sizes are known), "tiny" {rule: share of them}, "tiny_frames" {rule: share of their labelled frames},
    "median_side" px, "sides", "relative_sizes" and "brightnesses" (counts of frames, frames and videos between
    FINE_SIDES, FINE_SHARES and FINE_LIGHT), "side_buckets" (of frames between SIDE_EDGES), "light_buckets" (of videos
    between DARKNESS_EDGES), "attributes" and "derived" {word: videos}, "sequences": [{"name", "category", "frames",
    "fps", "width", "height", "attributes", "derived", and the values of lib/data/attributes.py}]}; NaN where unknown.
    Raises UserError for frames that are missing, damaged or not as many as rows of ground truth.
    """
    rows, sides, shares = [], [np.empty(0)], [np.empty(0)]
    for sequence in progress(sequences):
        row = _measure(sequence, pixels)
        rows.append(row)
        if _sized(row):
            boxes = sequence.boxes_xywh[sequence.visible]
            sides.append(np.sqrt(boxes[:, 2] * boxes[:, 3]))
            shares.append(sides[-1] ** 2 / (row["width"] * row["height"]))
    sides, shares = np.concatenate(sides), np.concatenate(shares)
    lengths = [row["frames"] for row in rows]
    labelled = sum(row["labelled"] for row in rows)
    lights = [row["brightness"] for row in rows if not math.isnan(row["brightness"])]
    return {
        "dataset": dataset,
        "pixels": pixels,
        "videos": len(rows),
        "classes": len({row["category"] for row in rows} - {""}) or None,
        "min": min(lengths),
        "mean": sum(lengths) / len(lengths),
        "max": max(lengths),
        "frames": sum(lengths),
        "seconds": sum(row["frames"] / row["fps"] for row in rows),
        "labelled": labelled,
        "unlabelled": sum(lengths) - labelled,
        **_tiny(rows),
        "median_side": float(np.median(sides)) if len(sides) else math.nan,
        "sides": _histogram(sides, FINE_SIDES),
        "relative_sizes": _histogram(shares, FINE_SHARES),
        "brightnesses": _histogram(lights, FINE_LIGHT),
        "side_buckets": _buckets(sides, SIDE_EDGES),
        "light_buckets": _buckets(lights, DARKNESS_EDGES),
        "attributes": _counts(rows, "attributes"),
        "derived": _counts(rows, "derived"),
        "sequences": rows,
    }


def _measure(sequence, pixels):
    frames = sequence.frames()
    width, height = attributes.frame_size(frames)
    values = attributes.measure_boxes(sequence, (width, height), frames.fps)
    derived = attributes.words(attributes.FROM_BOXES, values)
    light = {"brightness": math.nan, "colour": math.nan, "contrast": math.nan, "similarity": math.nan}
    if pixels:
        light = attributes.measure_pixels(sequence, frames)
        derived += attributes.words(attributes.FROM_PIXELS, light)
    return {
        "name": sequence.name,
        "category": sequence.category,
        "frames": len(sequence),
        "fps": float(frames.fps),
        "width": width,
        "height": height,
        "attributes": list(sequence.attributes),
        "derived": list(derived),
        **values,
        **light,
        "labelled": int(values["labelled"]),
        "tiny_by_area": attributes.tiny_by_area(values),
    }


def _sized(row):
    return row["labelled"] >= 2 and not math.isnan(row["side"])


def _tiny(rows):
    """Shares of videos and of frames that are tiny, by LaTOT's rule, by it read as an area, and by NT-VOT211's."""
    sized = [row for row in rows if _sized(row)]
    frames = sum(row["labelled"] for row in sized)
    has = {
        "LaTOT": lambda row: "tiny (LaTOT)" in row["derived"],
        "LaTOT, as an area": lambda row: row["tiny_by_area"],
        "NT-VOT211": lambda row: "tiny (NT-VOT211)" in row["derived"],
    }
    share_of = {"LaTOT": "tiny_frames", "NT-VOT211": "narrow_frames"}
    return {
        "sized": len(sized),
        "tiny": {rule: sum(map(holds, sized)) / len(sized) if sized else math.nan for rule, holds in has.items()},
        "tiny_frames": {
            rule: sum(row[name] * row["labelled"] for row in sized) / frames if frames else math.nan
            for rule, name in share_of.items()
        },
    }


def _histogram(values, edges):
    """Counts between the edges; what is below the first or above the last counts there."""
    return np.histogram(np.clip(values, edges[0], edges[-1]), edges)[0].tolist()


def _buckets(values, edges):
    return np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1).tolist()


def _counts(rows, key):
    found = [word for row in rows for word in row[key]]
    return {word: found.count(word) for word in dict.fromkeys(sorted(found))}


def all_tables(censuses, per_sequence=False):
    """The tables of one or several results of `take`, as tables.Table; those without rows are left out."""
    made = [_overview(censuses), _sizes(censuses), _light(censuses), _attributes(censuses)]
    made += [_per_sequence(census) for census in censuses if per_sequence]
    return [one for one in made if one.rows]


def to_text(shown):
    """Tables as text, each under its title and above its note."""
    return "\n".join(f"{one.title}\n{tables.render(one, 'text')}{one.note}\n" for one in shown)


def write_latex(path, shown):
    """Write tables as LaTeX (booktabs, longtable)."""
    write_text(path, tables.LATEX_HEAD + "\n".join(tables.render(one, "latex") for one in shown))


def write_csv(path, shown):
    """Write tables as CSV: the first to `path` (Path), each other as <stem>_<name><suffix> beside it. Returns Paths."""
    places = [path, *(path.with_name(f"{path.stem}_{one.name}{path.suffix}") for one in shown[1:])]
    for place, one in zip(places, shown, strict=True):
        write_text(place, tables.render(one, "csv"))
    return places


def to_json(censuses):
    """Everything, for other programs: null where unknown. Returns text."""
    edges = {"sides": FINE_SIDES.tolist(), "relative_sizes": FINE_SHARES.tolist(), "brightnesses": FINE_LIGHT.tolist()}
    edges |= {"side_buckets": SIDE_EDGES, "light_buckets": DARKNESS_EDGES}
    return json.dumps(tables.without_nan({"edges": edges, "datasets": censuses}), indent=1, allow_nan=False) + "\n"


def figures(censuses):
    """{kind: figure} of the distributions, a line a dataset: side, relative_size and, with pixels, brightness."""
    drawn = {
        "side": _figure(censuses, "sides", FINE_SIDES, "side of the target, sqrt(w h) [px]", "frames", 2),
        "relative_size": _figure(censuses, "relative_sizes", FINE_SHARES, "area of the target / image", "frames", 10),
    }
    lit = [census for census in censuses if census["pixels"]]
    if lit:
        drawn["brightness"] = _figure(lit, "brightnesses", FINE_LIGHT, "median brightness about the target", "videos")
    return drawn


def save(censuses, folder):
    """Write the figures as census_<kind>.png and .pdf into `folder`. Returns the Paths."""
    return plots.write(figures(censuses), folder, "census")


def _figure(censuses, key, edges, name, what, base=None):
    figure, axes = plots.new_axes((5.2, 3.4))
    for index, census in enumerate(censuses):
        counts = np.array(census[key])
        colour, dashes = plots.style(index)
        shares = 100 * counts / max(counts.sum(), 1)
        axes.stairs(shares, edges, color=colour, linestyle=dashes, linewidth=1.8, label=census["dataset"])
    if base:
        axes.set_xscale("log", base=base)
        axes.minorticks_off()
    if key == "sides":
        axes.axvline(attributes.TINY_SIDE, color=plots.INK, linewidth=0.8, linestyle=(0, (2, 3)), zorder=0)
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set(xlabel=name, ylabel=f"{what} [%]", xlim=(edges[0], edges[-1]), ylim=(0, None))
    plots.add_legend(axes)
    return figure


def _overview(censuses):
    headers = ("dataset", "videos", "classes", "min", "mean", "max", "frames", "minutes", "no box")
    headers += ("tiny videos", "tiny frames")
    rows = [
        [
            tables.word(census["dataset"]),
            _count(census["videos"]),
            _count(census["classes"]),
            _count(census["min"]),
            tables.number_cell(census["mean"], 1),
            _count(census["max"]),
            _count(census["frames"]),
            tables.number_cell(census["seconds"] / 60, 1),
            _percent(census["unlabelled"], census["frames"]),
            *(tables.number_cell(100 * census[key]["LaTOT"], 1) for key in ("tiny", "tiny_frames")),
        ]
        for census in censuses
    ]
    note = "Min, mean, max in frames. Tiny by LaTOT's rule. No box: frames without one. Last three columns in percent."
    return tables.Table("overview", "Census", headers, rows, note=note)


def _sizes(censuses):
    """A column a dataset: how large the targets are, and how many are tiny by each rule."""
    known = [census for census in censuses if census["sized"]]
    rows = [
        [
            tables.word(tables.interval({"from": low, "below": high}, "g", " px")),
            *(_percent(census["side_buckets"][index], sum(census["side_buckets"])) for census in known),
        ]
        for index, (low, high) in enumerate(intervals(SIDE_EDGES))
    ]
    rows.append([tables.word("median side, px"), *(tables.number_cell(census["median_side"], 1) for census in known)])
    for key, what in (("tiny_frames", "frames"), ("tiny", "videos")):
        for rule in known[0][key] if known else ():
            cells = (tables.number_cell(100 * census[key][rule], 1) for census in known)
            rows.append([tables.word(f"tiny {what} ({rule})"), *cells])
    headers = ("side of the target", *(census["dataset"] for census in known))
    return tables.Table("sizes", "Size of the targets", headers, rows if known else [], note="Frames in percent.")


def _light(censuses):
    lit = [census for census in censuses if census["pixels"]]
    rows = [
        [
            tables.word(tables.interval({"from": low, "below": high}, "g", "")),
            *(_percent(census["light_buckets"][index], sum(census["light_buckets"])) for census in lit),
        ]
        for index, (low, high) in enumerate(intervals(DARKNESS_EDGES))
    ]
    headers = ("brightness about the target", *(census["dataset"] for census in lit))
    return tables.Table("brightness", "Light", headers, rows if lit else [], note="Videos in percent.")


def _attributes(censuses):
    """Annotated words as they are, derived ones with an asterisk, those of pixels only where pixels were looked at."""
    rows = []
    for word in sorted({word for census in censuses for word in census["attributes"]}):
        counts = (census["attributes"].get(word, 0) if census["attributes"] else None for census in censuses)
        rows.append([tables.word(word), *map(_count, counts)])
    looked = any(census["pixels"] for census in censuses)
    for word in (*attributes.FROM_BOXES, *(attributes.FROM_PIXELS if looked else ())):
        cells = (_count(census["derived"].get(word, 0) if _can_tell(census, word) else None) for census in censuses)
        rows.append([tables.word(f"{word} *"), *cells])
    headers = ("attribute", *(census["dataset"] for census in censuses))
    note = "Videos. * derived from boxes or pixels, not annotated."
    return tables.Table("attributes", "Attributes", headers, rows, note=note)


def _can_tell(census, word):
    """Whether any video has what a derived word is told from: sizes, or two labelled frames whose pixels were seen."""
    if word in attributes.FROM_BOXES:
        return census["sized"] > 0
    return census["pixels"] and any(row["labelled"] >= 2 for row in census["sequences"])


def _per_sequence(census):
    values = {"px": "side", "speed": "speed", "scale": "scale"}
    if census["pixels"]:
        values |= {"light": "brightness", "contrast": "contrast", "alike": "similarity"}
    rows = [
        [
            tables.word(row["name"]),
            tables.word(", ".join(row["derived"]) or "-"),
            _count(row["frames"]),
            tables.word(f"{row['width']}x{row['height']}"),
            *(tables.number_cell(row[name], 2) for name in values.values()),
        ]
        for row in census["sequences"]
    ]
    name = census["dataset"]
    headers = ("sequence", "derived attributes", "frames", "image", *values)
    note = "px: mean side. Speed: largest step between frames, in sides. Scale: largest ratio of areas in a second."
    return tables.Table(f"sequences_{name}", f"Sequences of {name}", headers, rows, left=2, note=note)


def _count(number):
    return tables.Cell("-", math.nan) if number is None else tables.Cell(str(number), number)


def _percent(part, whole):
    return tables.number_cell(100 * part / whole if whole else math.nan, 1)
