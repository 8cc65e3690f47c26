"""What each part of a tracker is worth: track with it switched off, and compare with the whole, sequence by sequence.

The rows are the ABLATION of the configuration's YAML, and those of --row. A change above 0 means that the tracker is
better without the part; * marks what is more than two standard errors over the videos.
"""

import logging
import shlex
import sys

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import IncompleteError, UserError, nearest

EXAMPLES = """
python tracking/ablate.py lunar tiny --dataset lunar_demo
python tracking/ablate.py lunar tiny --dataset /my/videos,lunar_demo --threads 2 --rows whole,"no window" --attributes
python tracking/ablate.py lunar tiny --dataset /my/videos --row "wide search: DATA.SEARCH.FACTOR=5"
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    changes = _changes(options)
    from ..data import benchmarks
    from ..test.analysis.ablation_study import Study

    datasets = benchmarks.load_all(options.dataset, options.data_root)
    study = Study(options, changes, find_paths(options.data_root, options.save_dir))
    study.check(datasets)  # all of them before any work
    cli.set_threads(options.threads)
    failed = {}
    for dataset, (sequences, folder) in datasets.items():
        failed |= study.track(dataset, sequences, folder)
        study.compare(dataset, sequences)
    study.write(options.json, options.markdown)
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
    from ..test.analysis.ablation import WHOLE, folder_name

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
    names = [folder_name(name, label) for label in rows]
    if len(set(names)) < len(names):
        raise UserError("two rows differ in blanks only: their results would overwrite each other")
    return {label: overrides for label, overrides in rows.items() if label in wanted}


def _words(text):
    """The words of a row, parted and quoted as in a shell; none where a quotation does not end."""
    try:
        return shlex.split(text)
    except ValueError:
        return []
