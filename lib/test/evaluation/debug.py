"""Videos of what was tracked, to find out what went wrong."""

from pathlib import Path

from . import results


def save_videos(sequences, run, output, experiment):
    """Write a video of each tracked sequence.

    Args:
        sequences: of lib.data.sequence.Sequence, all tracked.
        run: where their boxes are.
        output: folder of all output.
        experiment: of a tracker with a query, to write also what the query saw, for which it tracks once more; or None.
    """
    from ...vis.maps import save_maps
    from ...vis.video import save_tracked

    tracker = experiment.build() if experiment and sequences else None
    for sequence in sequences:
        boxes = results.boxes_of(results.find(run, sequence.dataset, sequence.name), sequence)
        path = Path(output) / "test" / "debug" / run.tracker / run.config / sequence.dataset / f"{sequence.name}.mp4"
        save_tracked(path, sequence.frames(), boxes, sequence.boxes_xywh)
        print(f"wrote {path}")
        if tracker is not None:
            path = path.with_stem(f"{sequence.name}_maps")
            save_maps(path, tracker, sequence.frames(), sequence.first_box)
            print(f"wrote {path}")
