"""What each part of a tracker is worth: track with it switched off, and compare with the whole, sequence by sequence.

The rows are the ABLATION of the configuration's YAML, and those of --row. A change above 0 means that the tracker is
better without the part; * marks what is more than two standard errors over the videos.
"""

import logging
import shlex
import sys
from dataclasses import dataclass

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import IncompleteError, UserError, nearest

EXAMPLES = """
python tracking/ablate.py lunar tiny --dataset lunar_demo
python tracking/ablate.py lunar tiny --dataset /my/videos,lunar_demo --threads 2 --rows whole,"no window" --attributes
python tracking/ablate.py lunar tiny --dataset /my/videos --row "wide search: DATA.SEARCH.FACTOR=5"
"""


@dataclass(frozen=True)
class Row:
    """experiment: runner.Experiment. run: results.Run. made_with: {key: value} that decides the results."""

    label: str
    experiment: object
    run: object
    made_with: dict


@cli.command
def main(argv=None):
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    changes = _changes(options)
    paths = find_paths(options.data_root, options.save_dir)
    from ..data import benchmarks
    from ..test.analysis import ablation

    datasets = benchmarks.load_all(options.dataset, options.data_root)
    rows = [_row(label, overrides, options, paths) for label, overrides in changes.items()]
    for row in rows:
        for dataset in datasets:  # all of them before any work
            ablation.stale(row.run, dataset, row.made_with, options.overwrite)
    cli.set_threads(options.threads)

    failed, compared = {}, []
    for dataset, (sequences, folder) in datasets.items():
        for row in rows:
            reasons = _track(row, dataset, sequences, folder, options)
            failed.update({f"{row.run.config}/{dataset}/{name}": reason for name, reason in reasons.items()})
        compared.append(_compare(rows, dataset, sequences, options))
    _write(compared, options)
    if failed:
        raise IncompleteError.of(failed, "sequences")
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    add = arguments.add_argument
    add("tracker_name", help=f"one of {', '.join(registry.names())}")
    add("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    add("--dataset", "--dataset_name", default="lunar_demo", help="name, folder, or a comma list of them")
    add("--row", action="append", default=[], metavar='"LABEL: A.B=V ..."', help="one row more; again for others")
    add("--rows", metavar="LABEL,...", help="only these, and the whole")
    add("--attributes", action="store_true", help="also the change of AUC by attribute")
    add("--json", metavar="FILE", help="write all numbers, those of every sequence too")
    add("--markdown", metavar="FILE", help="write the tables as Markdown")
    add("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    add("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    add("--threads", type=int, default=0, metavar="N", help="processes; 0 tracks in this one")
    add("--overwrite", action="store_true", help="track finished sequences again")
    cli.add_config_flags(arguments)
    options = arguments.parse_args(argv)
    cli.at_least(options, threads=0)
    return options


# ---- what the words mean --------------------------------------------------------------------------------------------


def _changes(options):
    """{label: overrides} of the rows asked for, `whole` first. Answers a wrong word before torch is imported."""
    from ..test.analysis.ablation import WHOLE

    script, name, more = options.tracker_name, options.tracker_param, {}
    config.load(script, name, options.overrides)
    for text in options.row:
        label, _, overrides = text.partition(":")
        label, changes = label.strip(), _words(overrides)
        if not label or not changes or label in more:
            what = "expected LABEL: KEY=VALUE ..." if label not in more else "two rows are called that"
            raise UserError(f"--row {text!r}: {what}")
        more[label] = changes
    found = config.ablation(script, name, options.overrides, more)
    if not found:
        place = config.EXPERIMENTS / script / f"{name}.yaml"
        raise UserError("no ABLATION section here, and no --row: there is nothing to switch off", place)
    for label in found:
        if label == WHOLE or not label.strip() or set(label) & set(",|"):
            raise UserError(f"a row cannot be called {label!r}: expected a name without comma and |, not {WHOLE!r}")
    rows = {WHOLE: [], **found}
    wanted = [WHOLE, *(part.strip() for part in (options.rows or ",".join(rows)).split(",") if part.strip())]
    for label in wanted:
        if label not in rows:
            raise UserError(f"--rows {label}: no such row{nearest(label, rows)}; there are: {', '.join(rows)}")
    names = [_folder_name(name, label) for label in rows]
    if len(set(names)) < len(names):
        raise UserError("two rows differ in blanks only: their results would overwrite each other")
    return {label: overrides for label, overrides in rows.items() if label in wanted}


def _words(text):
    """The words of a row, parted and quoted as in a shell; none where a quotation does not end."""
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _folder_name(name, label):
    return f"{name}+{'_'.join(label.split())}"


def _row(label, overrides, options, paths):
    from ..test.analysis.ablation import digest
    from ..test.evaluation import results
    from ..test.evaluation.runner import Experiment
    from ..test.tracker.weights import find_weights

    script, name = options.tracker_name, options.tracker_param
    named = any(text.startswith("TEST.CHECKPOINT=") for text in overrides)  # a row may have weights of its own
    overrides = (*options.overrides, *overrides)
    settings = config.load(script, name, overrides)
    weights = find_weights(script, name, settings, paths, None if named else options.checkpoint)
    made_with = {**config.given(script, name, overrides), "weights": digest(weights)}
    enhancer = settings.get("MODEL", {}).get("ENHANCER", {})
    if enhancer.get("ENABLE") and enhancer.WEIGHTS:
        made_with["weights of the enhancer"] = digest(paths.weights(enhancer.WEIGHTS))
    run = results.Run(results.results_root(paths.output), script, _folder_name(name, label))
    return Row(label, Experiment(script, name, overrides, weights, device=options.device), run, made_with)


# ---- tracking and scoring -------------------------------------------------------------------------------------------


def _track(row, dataset, sequences, folder, options):
    """Track what is not finished. Returns {sequence: why it failed}."""
    from ..test.analysis.ablation import claim
    from ..test.evaluation.results import write_source
    from ..test.evaluation.runner import evaluate

    write_source(row.run, dataset, folder)
    claim(row.run, dataset, row.made_with, options.overwrite)
    line = cli.ProgressLine("frames")
    summary = evaluate(
        row.experiment,
        sequences,
        row.run,
        processes=options.threads,
        overwrite=options.overwrite,
        progress=lambda done, total, summary: line.show(
            done, total, f"{row.label} on {dataset}: {len(summary.done)} sequences,"
        ),
    )
    line.clear()
    there = f" ({len(summary.skipped)} were there already)" if summary.skipped else ""
    there += f", {len(summary.elsewhere)} meanwhile by others" if summary.elsewhere else ""
    print(f"{row.label} on {dataset}: {len(summary.done)} of {len(sequences)} sequences tracked{there}", flush=True)
    return summary.failed


def _compare(rows, dataset, sequences, options):
    """([(title, headers, rows)], what ablation.compare returns) of what every row has finished; prints the tables."""
    from ..test.analysis import ablation, scoring, tables
    from ..test.evaluation.results import finished

    whole = [each for each in sequences if all(finished(row.run, dataset, each.name) for row in rows)]
    if whole:
        report = scoring.evaluate({row.label: row.run for row in rows}, dataset, whole)
    else:
        report = {
            "dataset": dataset,
            "sequences": [],
            "trackers": [{"label": row.label, "sequences": []} for row in rows],
        }
    compared = ablation.compare(report, [row.label for row in rows])
    for row, values in zip(rows, compared["rows"], strict=True):
        values["made_with"] = row.made_with
    title = f"{options.tracker_name} {options.tracker_param} on {dataset}: "
    title += f"{len(compared['sequences'])} of {len(sequences)} sequences"
    shown = [(title, *ablation.score_table(compared))]
    if options.attributes and compared["attributes"]:
        shown.append((f"{title}, by attribute", *ablation.attribute_table(compared)))
    for name, headers, lines in shown:
        print(f"{name}\n{tables.table(headers, lines)}", flush=True)
    if options.attributes and not compared["attributes"]:
        print(f"no attribute that {ablation.LEAST} sequences have\n")
    return shown, compared


def _write(compared, options):
    from ..files import write_text
    from ..test.analysis import ablation, tables

    if options.json:
        write_text(options.json, tables.to_json([values for _, values in compared]))
    if options.markdown:
        text = "# Ablation\n\nIn percent; change to the whole ± standard error over videos, * above two of them.\n\n"
        sections = [ablation.markdown(*each) for shown, _ in compared for each in shown]
        write_text(options.markdown, text + "\n".join(section.rstrip() + "\n" for section in sections))
