"""Score tracking results: tables, curves, HTML report, JSON. Without arguments, all that is in the results folder."""

import sys

from .. import cli
from ..errors import IncompleteError, UserError
from ..test.evaluation import selection

EXAMPLES = """
python tracking/analysis_results.py
python tracking/analysis_results.py --dataset /my/videos --per_sequence --html report.html --json scores.json
python tracking/analysis_results.py --trackers lunar:tiny:ours opencv:mil --dataset lunar_demo --plots plots
python tracking/analysis_results.py --dataset uav123 --protocol stark --result_rounding none trunc
python tracking/analysis_results.py --dataset otb --also /downloads/raw_results --tables table.tex
"""


def arguments():
    parser = cli.parser(__doc__, EXAMPLES)
    selection.add_flags(parser)
    add = parser.add_argument
    add(
        "--protocol",
        choices=("clean", "stark", "pytracking"),
        default="clean",
        help="what frames without a target count",
    )
    add(
        "--result_rounding",
        nargs="+",
        choices=("none", "round", "trunc"),
        default=["none"],
        help="round the results before scoring; of several the first is reported in full, the others beside it",
    )
    add("--allow_missing", action="store_true", help="score trackers that lack sequences of a --dataset, and say so")
    add("--attributes", action="store_true", help="also a table by attribute, annotated or derived from the boxes")
    add(
        "--darkness",
        action="store_true",
        help="also a table by brightness, and attributes derived from pixels; decodes eight frames a sequence",
    )
    add(
        "--absent_thr",
        type=float,
        default=0.0,
        metavar="T",
        help="datasets of points: what has a score below this reports no ball",
    )
    add("--per_sequence", action="store_true", help="also a table of every sequence")
    add("--plots", metavar="DIR", help="write the curves there, as PNG and PDF")
    add("--html", metavar="FILE", help="write a report in one file, with pictures")
    add("--tables", metavar="FILE", nargs="+", default=[], help="write all tables, as .tex, .md, .csv, .json or .txt")
    add("--json", metavar="FILE", help="write all numbers")
    add("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    return parser


@cli.command
def main(argv=None):
    args = arguments().parse_args(argv)
    from ..test.analysis import scoring, show, tables

    for path in args.tables:
        tables.form_of(path)  # a wrong suffix is answered before the work, not after it
    selected, lost = selection.select(args)

    evaluated = []
    for dataset, sequences, runs in selected:
        sequences = _labelled(dataset, sequences, args)
        if not sequences:
            continue
        report = scoring.evaluate(
            runs,
            dataset,
            sequences,
            args.protocol,
            args.result_rounding[0],
            also_rounded=args.result_rounding[1:],
            derive=args.attributes,
            dark=args.darkness,
            absent_thr=args.absent_thr,
            progress=_progress,
        )
        _refuse_partial(report, args)
        evaluated.append((report, sequences, runs))
    show.write(evaluated, args)  # before the tables, whose reader (head, less) may leave
    for report, *_ in evaluated:
        show.print_tables(report, args)
    if lost:
        raise IncompleteError(f"not scored: {', '.join(lost)}; pass --dataset FOLDER to say where the sequences are")
    return 0


def _labelled(dataset, sequences, args):
    """Those with more than the box that trackers are given; the others say nothing about any of them."""
    labelled = [sequence for sequence in sequences if sequence.visible[1:].any()]
    if not labelled:
        problem = f"{dataset}: only first frames are labelled; its server scores what lib/test/utils packs for it"
        if args.dataset:
            raise UserError(problem)
        print(f"lunar: not scored: {problem}", file=sys.stderr)
    elif len(labelled) < len(sequences):
        count = len(sequences) - len(labelled)
        print(f"lunar: {dataset}: left out {count} sequences without a label beyond the first frame", file=sys.stderr)
    return labelled


def _refuse_partial(report, args):
    """A benchmark that was asked for by name is scored whole or not at all, unless the user says otherwise."""
    partial = [tracker for tracker in report["trackers"] if tracker["missing"]]
    if partial and args.dataset and not args.allow_missing:
        missing, label = partial[0]["missing"], partial[0]["label"]
        some = ", ".join(missing[:3]) + (" ..." if len(missing) > 3 else "")
        raise UserError(
            f"{label} has no results for {len(missing)} of the {len(report['sequences'])} sequences of "
            f"{report['dataset']}: {some}. --allow_missing scores the others"
        )


def _progress(sequences):
    line = cli.ProgressLine("sequences")
    for index, sequence in enumerate(sequences):
        line.show(index, len(sequences), "looking at frames:")
        yield sequence
    line.clear()
