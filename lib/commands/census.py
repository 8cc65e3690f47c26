"""What datasets consist of: videos, classes, lengths, sizes of targets, light, attributes annotated and derived."""

from pathlib import Path

from .. import cli

EXAMPLES = """
python tracking/census.py lunar_demo
python tracking/census.py /my/videos,lunar_night --pixels --plots plots --per_sequence
python tracking/census.py latot,lasot --data_root /datasets --latex census.tex --csv census.csv --json census.json
"""


def arguments():
    parser = cli.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("dataset", metavar="NAME_OR_FOLDER,...", help="a benchmark, or a folder, zip or LMDB of yours; or several")
    add("--data_root", metavar="DIR", help="where the benchmarks are (default: ./data, see local.yaml)")
    add("--pixels", action="store_true", help="also light, contrast and look-alikes; decodes eight frames a sequence")
    add("--per_sequence", action="store_true", help="also a table of every sequence")
    add("--plots", metavar="DIR", help="write the distributions there, as PNG and PDF")
    add("--json", metavar="FILE", help="write all numbers, those of every sequence too")
    add("--latex", metavar="FILE", help="write the tables as LaTeX")
    add("--csv", metavar="FILE", help="write the tables as CSV: the first there, the others beside it")
    add("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    return parser


@cli.command
def main(argv=None):
    args = arguments().parse_args(argv)
    from ..data.benchmarks import load_all
    from ..files import write_text
    from ..test.analysis import census

    datasets = load_all(args.dataset, args.data_root)
    taken = [
        census.take(name, sequences, args.pixels, lambda each, name=name: _progress(each, name))
        for name, (sequences, _) in datasets.items()
    ]
    shown = census.all_tables(taken, args.per_sequence)
    print(census.to_text(shown), end="", flush=True)
    if args.json:
        write_text(args.json, census.to_json(taken))
    if args.latex:
        census.write_latex(args.latex, shown)
    if args.csv:
        census.write_csv(Path(args.csv), shown)
    if args.plots:
        census.save(taken, Path(args.plots))
    return 0


def _progress(sequences, name):
    line = cli.ProgressLine("sequences")
    try:
        for index, sequence in enumerate(sequences):
            line.show(index, len(sequences), f"{name}:")
            yield sequence
    finally:
        line.clear()
