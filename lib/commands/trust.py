"""Does a score say when the target is lost? A reliability table and the AUROC of the score, for any results."""

from .. import cli
from ..errors import UserError
from ..test.evaluation import selection

EXAMPLES = """
python tracking/trust.py
python tracking/trust.py --trackers lunar:tiny opencv:nano --dataset /my/videos
"""


@cli.command
def main(argv=None):
    parser = cli.parser(__doc__, EXAMPLES)
    selection.add_flags(parser)
    parser.add_argument("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    options = parser.parse_args(argv)
    selected, _ = selection.select(options)
    from ..test.analysis import tables, trust
    from ..test.evaluation import results

    shown = 0
    for dataset, sequences, runs in selected:
        found = {}
        for label, run in runs.items():
            answers = [_answer(run, dataset, sequence, results) for sequence in sequences]
            measured = trust.reliability([answer for answer in answers if answer is not None])
            if measured is None:
                print(f"{label} on {dataset}: no score files")
            else:
                found[label] = measured
        if not found:
            continue
        shown += 1
        table = trust.table(found, dataset)
        print(f"{table.title}. {table.note}")
        print(tables.render(table, "text"))
        for label, one in found.items():
            print(
                f"{label}: AUROC {100 * one['auroc']:.1f} % for `the target is there and held`; best threshold "
                f"{one['threshold']:.3f}, above which {100 * one['present']:.1f} % of the frames are"
            )
        print()
    if not shown:
        raise UserError("none of the results has scores beside its boxes, <sequence>_score.txt")
    return 0


def _answer(run, dataset, sequence, results):
    path = results.find(run, dataset, sequence.name)
    if path is None:
        return None
    boxes = results.boxes_of(path, sequence)
    scores = results.read_companion(path, "_score", len(sequence))
    return boxes, sequence.boxes_xywh, sequence.visible, scores
