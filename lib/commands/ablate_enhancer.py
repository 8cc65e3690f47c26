"""Compare low-light enhancers: on photographs darkened, on real night photographs, and before trackers.

What is measured is kept in OUTPUT/ablation.jsonl and not measured again; the tables are also written to
OUTPUT/ablation.md. "none" is always the first row: images as they are.
"""

from pathlib import Path

from .. import cli
from ..config.paths import paths as find_paths
from ..errors import IncompleteError, UserError

EXAMPLES = """
python tracking/ablate_enhancer.py --enhancers gamma,blur_gamma,ours=enhancer.safetensors --photographs /my/day
python tracking/ablate_enhancer.py --enhancers blur_gamma,one=a.safetensors:b.safetensors --stills /my/night
python tracking/ablate_enhancer.py --enhancers blur,average+blur --dataset lunar_demo --trackers opencv/mil --frames 20
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    paths = find_paths()
    folder = Path(options.output) if options.output else paths.output / "ablation"
    cli.set_threads(options.threads)
    from ..test.analysis import enhancer_study as study
    from ..test.analysis import enhancer_words as asked
    from ..test.analysis.enhancers import Bench
    from ..train.image_losses import psnr, ssim

    rows = asked.rows(options.enhancers)
    reference = asked.reference(options.reference, rows)
    trackers = [asked.tracker(text, paths) for text in asked.parts(options.trackers)]
    datasets = asked.datasets(options.dataset, trackers)
    photographs, stills = asked.photographs(options.photographs), asked.stills(options.stills)

    bench, ledger = Bench((psnr, ssim)), study.Ledger(folder / "ablation.jsonl", options.overwrite)
    shown, failed = [], {}
    if photographs:
        study.measure_images("photograph", photographs, rows, ledger, bench, options.threads)
        shown.append(study.photograph_table(photographs, rows, ledger))
    if stills:
        study.measure_images("still", stills, rows, ledger, bench, options.threads)
        shown.append(study.still_table(stills, rows, ledger))
    if datasets:
        failed = study.measure_clips(datasets, trackers, rows, options.frames, ledger, bench, options.threads)
        for tracker in trackers:
            shown += study.tracked_tables(tracker, datasets, rows, reference, options.frames, ledger)
    _write(shown, folder / "ablation.md", ledger)
    if failed:
        raise IncompleteError.of(failed, "clips")
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument(
        "--enhancers",
        required=True,
        help="comma list of NAME, FILE or LABEL=FILE[:FILE...], the files being one enhancer trained with several "
        "seeds; average+ before a name or file averages frames over time first",
    )
    arguments.add_argument("--reference", metavar="LABEL", help="also show differences to this one, such as blur_gamma")
    arguments.add_argument("--photographs", metavar="FOLDER", help="day photographs, which are darkened")
    arguments.add_argument("--stills", metavar="FOLDER", help="real night photographs")
    arguments.add_argument("--dataset", default="", help="videos: name[@strength], folder, or a comma list of them")
    arguments.add_argument("--trackers", default="", help="for --dataset: comma list of SCRIPT/CONFIG[=WEIGHTS]")
    arguments.add_argument("--frames", type=int, default=100, metavar="N", help="only the first N of a video; 0: all")
    arguments.add_argument("--threads", type=int, default=1, metavar="N", help="processes; 1 works in this one")
    arguments.add_argument("--output", metavar="FOLDER", help="default: ablation/ in the folder of results")
    arguments.add_argument("--overwrite", action="store_true", help="measure everything again")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    cli.at_least(options, frames=0, threads=1)
    if not (options.photographs or options.stills or options.dataset):
        raise UserError("nothing to measure on: pass --photographs, --stills or --dataset")
    if bool(options.dataset) != bool(options.trackers):
        raise UserError("--dataset and --trackers go together: pass both or neither")
    return options


def _write(shown, path, ledger):
    from ..files import write_text
    from ..test.analysis.tables import render

    for one in shown:
        print(f"{one.title}\n{render(one, 'text')}")
    write_text(path, "# Enhancers compared\n\n" + "\n".join(render(one, "markdown") for one in shown))
    print(f"{ledger.added} measured, the others known before; wrote {path} and {ledger.path.name} beside it")
