#!/usr/bin/env python3
"""Score tracking results: tables, curves, HTML report, JSON. Without arguments, all that is in the results folder."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib import cli  # noqa: E402
from lib.errors import IncompleteError, UserError  # noqa: E402

EXAMPLES = """
python tracking/analysis_results.py
python tracking/analysis_results.py --dataset /my/videos --per_sequence --html report.html --json scores.json
python tracking/analysis_results.py --trackers lunar:tiny:ours opencv:mil --dataset lunar_demo --plots plots
python tracking/analysis_results.py --dataset uav123 --protocol stark --result_rounding trunc
"""


def arguments():
    parser = cli.parser(__doc__, EXAMPLES)
    add = parser.add_argument
    add("--trackers", nargs="+", metavar="NAME:CONFIG[:LABEL]", help="which trackers (default: all that have results)")
    add(
        "--dataset", "--dataset_name", metavar="NAME_OR_FOLDER,...", help="which benchmarks (default: all with results)"
    )
    add("--data_root", metavar="DIR", help="where the benchmarks are (default: ./data, see local.yaml)")
    add("--results", metavar="DIR", help="the results, or the --save_dir of test.py (default: ./output)")
    add(
        "--protocol",
        choices=("clean", "stark", "pytracking"),
        default="clean",
        help="what frames without a target count",
    )
    add(
        "--result_rounding", choices=("none", "round", "trunc"), default="none", help="round the results before scoring"
    )
    add("--allow_missing", action="store_true", help="score trackers that lack sequences of a --dataset, and say so")
    add("--attributes", action="store_true", help="also a table by attribute")
    add("--darkness", action="store_true", help="also a table by brightness; decodes eight frames a sequence")
    add("--per_sequence", action="store_true", help="also a table of every sequence")
    add("--plots", metavar="DIR", help="write the curves there, as PNG and PDF")
    add("--html", metavar="FILE", help="write a report in one file, with pictures")
    add("--json", metavar="FILE", help="write all numbers")
    add("--tracker_name", metavar="NAME", help="with --tracker_param: one tracker, as other projects spell it")
    add("--tracker_param", metavar="CONFIG", help="see --tracker_name")
    add("--run_ids", "--runid", nargs="+", type=int, metavar="N", help="the runs CONFIG_00N of --tracker_param")
    add("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    return parser


@cli.command
def main(argv=None):
    args = arguments().parse_args(argv)
    from lib.config.paths import paths
    from lib.test.analysis import scoring, tables
    from lib.test.evaluation import results

    root = results.results_root(args.results or paths().output)
    if args.results and not root.is_dir():
        root = Path(args.results)
    found = results.discover(root)
    if not found:
        hint = "make some with: python tracking/test.py lunar baseline --dataset lunar_demo"
        raise UserError(f"no results here; {hint}", root)
    chosen = _chosen(args, root)
    if args.dataset:
        from lib.data.benchmarks import load_all

        datasets = {name: sequences for name, (sequences, _) in load_all(args.dataset, args.data_root).items()}
        lost = []
    else:
        datasets, lost = _datasets_of(found, chosen, args.data_root)

    evaluated = []
    for dataset, sequences in datasets.items():
        runs = chosen if args.dataset and chosen else _runs_of(found, chosen, dataset, sequences, bool(args.dataset))
        if not runs:
            raise UserError(f"no tracker has results for {dataset}", root)
        report = scoring.evaluate(
            runs, dataset, sequences, args.protocol, args.result_rounding, args.darkness, _progress
        )
        _refuse_partial(report, args)
        evaluated.append((report, sequences, runs))
        _show(report, args, tables)
    _write(evaluated, args)
    if lost:
        raise IncompleteError(f"not scored: {', '.join(lost)}; pass --dataset FOLDER to say where the sequences are")
    return 0


def _chosen(args, root):
    """{label: Run} of the trackers that were named, or None for all."""
    from lib.test.evaluation.results import Run, run_name

    texts = list(args.trackers or [])
    if (args.tracker_name is None) != (args.tracker_param is None) or (args.run_ids and not args.tracker_param):
        raise UserError("--tracker_name, --tracker_param and --run_ids: the first two go together")
    if args.tracker_name:
        texts += [f"{args.tracker_name}:{run_name(args.tracker_param, run)}" for run in args.run_ids or [None]]
    chosen = {}
    for text in texts:
        parts = text.split(":", 2)
        if len(parts) < 2:
            raise UserError(f"--trackers {text}: expected NAME:CONFIG or NAME:CONFIG:LABEL")
        run = Run(root, *parts[:2])
        label = parts[2] if len(parts) == 3 else str(run)
        if label in chosen:
            raise UserError(f"--trackers: {label!r} is given twice; NAME:CONFIG:LABEL tells them apart")
        chosen[label] = run
    return chosen or None


def _datasets_of(found, chosen, data_root):
    """({name: sequences} of every dataset that the results folder has results for, [what could not be loaded])."""
    from lib.data.benchmarks import load
    from lib.test.evaluation.results import read_source

    datasets, lost = {}, []
    runs = [key for key in found if chosen is None or key[0] in chosen.values()]
    if not runs:
        raise UserError(f"no results of {', '.join(chosen)}", next(iter(chosen.values())).root)
    for name in sorted({dataset for _, dataset in runs if dataset}):
        sources = [read_source(run, dataset) for run, dataset in runs if dataset == name]
        try:
            datasets[name] = load(next(filter(None, sources), name), data_root)
        except UserError as error:
            lost.append(name)
            print(f"lunar: {name}: {error}", file=sys.stderr)
    for run, dataset in runs:
        if dataset is None:
            lost.append(f"{run} (flat layout)")
    return datasets, lost


def _runs_of(found, chosen, dataset, sequences, flat):
    """{label: Run} of the runs that have results of a dataset, in its folder or, if `flat`, beside all others."""
    names = {sequence.name for sequence in sequences}
    labels = {run: label for label, run in (chosen or {}).items()}
    return {
        labels.get(run, str(run)): run
        for (run, where), have in found.items()
        if (chosen is None or run in labels)
        and (where == dataset or (flat and where is None and (run, dataset) not in found))
        and names & set(have)
    }


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


def _show(report, args, tables):
    frames = sum(fact["frames"] for fact in report["sequences"])
    print(f"{tables.title(report)}: {len(report['sequences'])} sequences, {frames} frames")
    parts = [tables.summary(report), tables.by_size(report)]
    if args.attributes:
        parts.append(tables.by_attribute(report))
    if args.darkness:
        parts.append(tables.by_darkness(report))
    if args.per_sequence:
        parts.append(tables.per_sequence(report))
    print("\n".join(parts), flush=True)
    for tracker in report["trackers"]:
        if tracker["notes"]:
            count = len(tracker["notes"])
            more = f" (and {count - 1} files more)" if count > 1 else ""
            print(f"lunar: {tracker['label']}: {tracker['notes'][0]}{more}", file=sys.stderr)


def _write(evaluated, args):
    from lib.files import write_text

    if args.json:
        from lib.test.analysis.tables import to_json

        write_text(args.json, to_json([report for report, *_ in evaluated]))
    if args.plots:
        from lib.test.analysis.plots import save

        for report, *_ in evaluated:
            save(report, Path(args.plots))
    if args.html:
        from lib.test.analysis.report import html

        write_text(args.html, html(evaluated))


def _progress(sequences):
    line = cli.ProgressLine("sequences")
    for index, sequence in enumerate(sequences):
        line.show(index, len(sequences), "brightness:")
        yield sequence
    line.clear()


if __name__ == "__main__":
    sys.exit(main())
