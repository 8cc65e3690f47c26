"""Accuracy, robustness and EAO of supervised results, as VOT's and pysot's toolkits write and measure them."""

from pathlib import Path

from .. import cli
from ..errors import UserError

EXAMPLES = """
python tracking/vot_results.py results/VOT2018 --truth VOT2018/VOT2018.json
python tracking/vot_results.py results --truth sequences/vot2019 --trackers SiamRPN DiMP --json vot2019.json
python tracking/vot_results.py results --truth mine.json --interval 100 356
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    add = arguments.add_argument
    add("results", help="folder with <tracker>/baseline/<sequence>/<sequence>_001.txt")
    add("--truth", required=True, metavar="FILE_OR_FOLDER", help="pysot's JSON, or a folder of VOT sequences")
    add("--trackers", nargs="+", metavar="NAME", help="which trackers (default: all that have results)")
    add("--experiment", default="baseline", help="the folder below a tracker: baseline or realtime")
    add(
        "--interval",
        nargs=2,
        type=int,
        metavar=("LOW", "HIGH"),
        help="lengths that EAO is the mean over, frames (default: by the name of --truth, vot2015 to vot2019)",
    )
    add("--json", metavar="FILE", help="write all numbers, with the curves and every sequence")
    add("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    options = arguments.parse_args(argv)
    from ..test.analysis import tables, vot

    root, truth = Path(options.results), Path(options.truth)
    interval = options.interval or vot.EAO_INTERVALS.get(truth.resolve().stem.lower())
    if interval is None:
        raise UserError(f"no interval of EAO is known for {truth.name!r}: pass --interval LOW HIGH")
    if not 1 <= interval[0] <= interval[1]:
        raise UserError(f"--interval {interval[0]} {interval[1]}: expected 1 <= LOW <= HIGH")
    found = vot.trackers(root, options.experiment)
    names = options.trackers or found
    lacking = [name for name in names if name not in found]
    if lacking or not names:
        what = f"of {', '.join(lacking)}" if lacking else "here"
        raise UserError(
            f"no results {what}; expected <tracker>/{options.experiment}/<sequence>/<sequence>_001.txt", root
        )
    sequences = vot.read_truth(truth)
    longest = max(len(one.corners) for one in sequences)
    if longest < interval[0]:
        raise UserError(
            f"no sequence has the {interval[0]} frames that EAO begins at, the longest has {longest}", truth
        )
    line = cli.ProgressLine("trackers")
    rows = []
    for done, name in enumerate(dict.fromkeys(names)):
        line.show(done, len(names), name)
        rows.append({"tracker": name, **vot.evaluate(root / name / options.experiment, sequences, interval)})
    line.clear()
    rows.sort(key=lambda row: (-row["eao"], row["tracker"]))
    report = {"dataset": truth.stem, "experiment": options.experiment, "interval": list(interval), "trackers": rows}
    frames = sum(len(one.corners) for one in sequences)
    print(f"{truth.stem} {options.experiment}: {len(sequences)} sequences, {frames} frames, ", end="")
    print(f"EAO over lengths {interval[0]} to {interval[1]}")
    headers = ("tracker", "EAO", "accuracy", "robustness", "failures")
    print(tables.render(tables.Table("vot", truth.stem, headers, [_cells(row) for row in rows]), "text"), end="")
    if options.json:
        from ..files import write_text

        write_text(options.json, tables.to_json([report]))
    return 0


def _cells(row):
    from ..test.analysis.tables import Cell, number_cell, word

    scores = (number_cell(row[name], 3) for name in ("eao", "accuracy", "robustness"))
    return [word(row["tracker"]), *scores, Cell(f"{row['failures']:g}", row["failures"])]
