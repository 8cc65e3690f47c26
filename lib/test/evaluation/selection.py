"""Which results a command looks at: the flags of those that read the results folder, and the runs that they choose."""

import sys
from pathlib import Path

from ...errors import UserError, nearest


def add_flags(parser):
    """The flags that `select` reads."""
    add = parser.add_argument
    add("--trackers", nargs="+", metavar="NAME:CONFIG[:LABEL]", help="which trackers (default: all that have results)")
    add("--also", nargs="+", metavar="FOLDER[:LABEL]", default=[], help="results of other projects, a folder or a zip")
    add(
        "--dataset", "--dataset_name", metavar="NAME_OR_FOLDER,...", help="which benchmarks (default: all with results)"
    )
    add("--data_root", metavar="DIR", help="where the benchmarks are (default: ./data, see local.yaml)")
    add("--results", metavar="DIR", help="the results, or the --save_dir of test.py (default: ./output)")
    add("--tracker_name", metavar="NAME", help="with --tracker_param: one tracker, as other projects spell it")
    add("--tracker_param", metavar="CONFIG", help="see --tracker_name")
    add("--run_ids", "--runid", nargs="+", type=int, metavar="N", help="the runs CONFIG_00N of --tracker_param")


def select(args):
    """The runs that the flags choose, by dataset.

    Returns ([(dataset, its sequences, {label: run})], [what has results but could not be loaded]); a run is a
    results.Run or an imported.Imported. Raises UserError where nothing is left.
    """
    from ...cli import invocation
    from ...config.paths import paths
    from . import results

    root = results.results_root(args.results or paths().output)
    if args.results and not root.is_dir():
        root = Path(args.results)
    found = results.discover(root)
    chosen = _chosen(args, root)
    if not found and not (args.also and args.dataset):
        hint = f"make some with: {invocation('test')} lunar tiny --dataset lunar_demo"
        raise UserError(f"no results here; {hint}", root)
    if args.dataset:
        from ...data.benchmarks import load_all

        datasets = {name: sequences for name, (sequences, _) in load_all(args.dataset, args.data_root).items()}
        lost = []
    else:
        datasets, lost = _datasets_of(found, chosen, args.data_root)
    selected = []
    for dataset, sequences in datasets.items():
        runs = chosen if args.dataset and chosen else _runs_of(found, chosen, dataset, sequences, bool(args.dataset))
        runs = {**runs, **_imported(args.also, dataset, sequences, runs)}
        if not runs:
            raise UserError(f"no tracker has results for {dataset}", root)
        selected.append((dataset, sequences, runs))
    return selected, lost


def _chosen(args, root):
    """{label: Run} of the trackers that were named, or None for all."""
    from .results import Run, run_name

    texts = list(args.trackers or [])
    if (args.tracker_name is None) != (args.tracker_param is None) or (args.run_ids and not args.tracker_param):
        raise UserError("--tracker_name, --tracker_param and --run_ids: the first two go together")
    if args.tracker_name:
        texts += [f"{args.tracker_name}:{run_name(args.tracker_param, run)}" for run in args.run_ids or [None]]
    chosen = {}
    for text in texts:
        parts = text.split(":", 2)
        if len(parts) < 2 or not all(parts):
            raise UserError(f"--trackers {text}: expected NAME:CONFIG or NAME:CONFIG:LABEL")
        run = Run(root, *parts[:2])
        label = parts[2] if len(parts) == 3 else str(run)
        if label in chosen:
            raise UserError(f"--trackers: {label!r} is given twice; NAME:CONFIG:LABEL tells them apart")
        chosen[label] = run
    return chosen or None


def _imported(texts, dataset, sequences, taken):
    """{label: Imported} of the folders of other projects' results named by --also."""
    from .imported import imported_runs

    names = [sequence.name for sequence in sequences]
    runs = {}
    for text in texts:
        folder, colon, label = (text, "", "") if Path(text).exists() else text.rpartition(":")
        there = imported_runs(Path(folder if colon else text), dataset, names)
        if label and len(there) > 1:
            raise UserError(f"--also {text}: one label for {len(there)} trackers ({', '.join(there)})")
        for name, run in there.items():
            name = label or name
            if name in taken or name in runs:
                raise UserError(f"--also {text}: {name!r} is there already; FOLDER:LABEL tells them apart")
            runs[name] = run
    return runs


def _datasets_of(found, chosen, data_root):
    """({name: sequences} of every dataset that the results folder has results for, [what could not be loaded])."""
    from ...data.benchmarks import load
    from .results import read_source

    datasets, lost = {}, []
    runs = [key for key in found if chosen is None or key[0] in chosen.values()]
    there = {run for run, _ in runs}
    lacking = [label for label, run in (chosen or {}).items() if run not in there]
    if lacking:
        hint = nearest(lacking[0], {str(run) for run, _ in found}) if len(lacking) == 1 else ""
        raise UserError(f"no results of {', '.join(lacking)}{hint}", chosen[lacking[0]].root)
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
