"""Draw the results of several trackers, and the ground truth, into a video of every sequence. No display is needed."""

from pathlib import Path

from .. import cli
from ..errors import IncompleteError, MachineError, UserError
from ..test.evaluation import selection

EXAMPLES = """
python tracking/vis_results.py --dataset lunar_demo --zoom --save_video videos
python tracking/vis_results.py --trackers lunar:tiny:ours opencv:mil --dataset /my/videos --sequence bird
python tracking/vis_results.py --dataset lunar --sequence 0 --zoom --gain 4 --save_video first.mp4
"""


@cli.command
def main(argv=None):
    options = _parse(argv)
    selected, lost = selection.select(options)
    from ..config.paths import paths
    from ..data.sequence import named
    from ..vis.video import CODECS

    chosen = [
        (dataset, one, runs)
        for dataset, sequences, runs in selected
        for one in (sequences if options.sequence is None else named(sequences, options.sequence))
    ]
    if not chosen:
        names = ", ".join(dataset for dataset, *_ in selected)
        raise UserError(f"--sequence {options.sequence}: no such name, and no such number from 0, in {names}")
    target = Path(options.save_video or paths().output / "test" / "vis")
    is_file = target.suffix.lower() in CODECS
    if is_file and len(chosen) > 1:
        raise UserError(f"--save_video: one file for {len(chosen)} sequences; give a folder, or one --sequence", target)
    labels = list(dict.fromkeys(label for *_, runs in selected for label in runs))
    failed = {name: UserError("its sequences are not here; pass --dataset FOLDER") for name in lost}
    for dataset, sequence, runs in chosen:
        try:
            path = target if is_file else target / dataset / f"{sequence.name}.mp4"
            _draw(dataset, sequence, runs, labels, path, options)
        except UserError as error:
            if len(chosen) == 1 or isinstance(error, MachineError):
                raise
            failed[f"{dataset} {sequence.name}"] = error
    if failed:
        raise IncompleteError.of(failed, "sequences")
    return 0


def _parse(argv):
    parser = cli.parser(__doc__, EXAMPLES)
    selection.add_flags(parser)
    add = parser.add_argument
    add("--sequence", help="only this one: its name, or its number from 0")
    add("--save_video", metavar="FILE_OR_FOLDER", help="where to (default: test/vis in the output folder)")
    add("--zoom", action="store_true", help="show the surroundings of the target, enlarged, beside the frame")
    add("--gain", type=float, default=1.0, metavar="F", help="brighten: multiply every brightness by F")
    add("--debug", nargs="?", type=int, const=1, default=0, help="show the traceback of an error")
    options = parser.parse_args(argv)
    if not 0 < options.gain < 1000:
        raise UserError(f"--gain {options.gain:g}: expected a factor above 0 and below 1000")
    return options


def _draw(dataset, sequence, runs, labels, path, options):
    """Write one video, in the colours of the report.

    Raises UserError where no tracker has results of the sequence, FrameError where a frame cannot be read.
    """
    import numpy as np

    from ..data.frames import VideoFrames
    from ..test.analysis import plots, strips
    from ..test.evaluation import results
    from ..vis.compare import Answer, pictures, rgb
    from ..vis.video import VideoWriter

    answers = []
    for label, run in runs.items():
        found = results.find(run, dataset, sequence.name)
        if found is None:
            continue
        boxes = results.boxes_of(found, sequence)
        overlap = strips.overlaps(boxes, sequence.boxes_xywh, sequence.visible)
        answers.append(Answer(label, rgb(plots.style(labels.index(label))[0]), boxes, overlap))
    if not answers:
        raise UserError(f"no results of {sequence.name} by {', '.join(runs)}")
    truth = Answer("truth", rgb(plots.TRUTH), np.where(sequence.visible[:, None], sequence.boxes_xywh, np.nan))
    frames = sequence.frames()
    line = cli.ProgressLine("frames")
    inputs = [frames.path] if isinstance(frames, VideoFrames) else []
    with VideoWriter(path, getattr(frames, "fps", 30.0), inputs) as video:
        for index, picture in enumerate(pictures(frames, truth, answers, options.zoom, options.gain)):
            video.write(picture)
            line.show(index + 1, len(sequence), f"{sequence.name}:")
    line.clear()
    print(f"wrote {path}", flush=True)
