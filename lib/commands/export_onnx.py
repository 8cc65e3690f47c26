"""Write a tracker's network as ONNX graphs, and compare them with torch on frames of a video."""

from pathlib import Path

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..contracts import Staged
from ..errors import MachineError, UserError

EXAMPLES = """
python tracking/export_onnx.py lunar tiny
python tracking/export_onnx.py lunar tiny --out deploy --engine openvino --frames night.mp4 --box 311 120 9 7
python tracking/export_onnx.py lunar tiny --set TEST.PRECISION=int8
"""
BALL = "ball_rendered_train#rally_000*"  # to compare trackers of balls on
LARGEST = 1e-4  # in fp32; maps are in [0, 1], features about 1


@cli.command
def main(argv=None):
    options = _parse(argv)
    family = registry.family(options.tracker_name)
    if not (family.network and family.tracker and issubclass(registry.tracker(options.tracker_name), Staged)):
        raise UserError(f"{options.tracker_name} has no network to export")
    clips = registry.finds_balls(options.tracker_name)
    if options.box is not None if clips else (options.frames is None) != (options.box is None):
        raise UserError("--box: this tracker takes none" if clips else "--frames and --box go together")
    settings, plain = (
        config.load(options.tracker_name, options.tracker_param, [*options.overrides, f"TEST.BACKEND={engine}", *more])
        for engine, more in ((options.engine, ()), ("torch", ["TEST.PRECISION=fp32"]))
    )
    paths = find_paths(output=options.save_dir)
    from ..test.tracker.weights import find_weights

    weights = find_weights(options.tracker_name, options.tracker_param, settings, paths, options.checkpoint)
    cli.set_threads()
    from ..export import graphs
    from ..export.compare import compare
    from ..export.engines import open_stages

    tracker = registry.tracker(options.tracker_name)(plain, weights)
    stages = tracker.stages()
    folder = Path(options.out or paths.output / "export" / f"{options.tracker_name}_{options.tracker_param}")
    folder.mkdir(parents=True, exist_ok=True)
    precision = settings.TEST.PRECISION
    written = graphs.export(stages, folder)
    if precision == "int8":
        written += graphs.quantise(tracker, folder)
    for path in written:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    runs = open_stages(stages, folder, options.engine, precision)
    difference = compare(tracker, runs, *_video(options, clips), options.count)
    engine = options.engine if precision == "fp32" else f"{options.engine} in {precision}"
    print(f"{engine} and torch, of {options.count} frames: they differ by at most {difference:.1e}")
    if precision == "fp32" and difference > LARGEST:
        raise MachineError(f"{options.engine} differs from torch by more than {LARGEST:g}: do not use these files here")
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help="a tracker with a network")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    arguments.add_argument("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    arguments.add_argument("--out", metavar="DIR", help="where to write (default: <output>/export/<tracker>_<config>)")
    arguments.add_argument("--engine", choices=("onnx", "openvino"), default="onnx", help="what to compare with torch")
    arguments.add_argument(
        "--frames", metavar="VIDEO", help="video, folder or zip to compare on (default: a rendered one)"
    )
    arguments.add_argument("--box", type=float, nargs=4, metavar=("X", "Y", "W", "H"), help="first box in --frames, px")
    arguments.add_argument("--count", type=int, default=20, help="frames to compare on")
    cli.add_config_flags(arguments)
    options = arguments.parse_args(argv)
    cli.at_least(options, count=2)
    return options


def _video(options, clips):
    """(frames, first box). clips: whether the tracker finds a ball, and takes no box."""
    if options.frames:
        from ..data.frames import open_frames

        return open_frames(options.frames), options.box
    from ..data import benchmarks

    sequence = benchmarks.load(BALL if clips else benchmarks.DEMO)[0]
    return sequence.frames(), sequence.first_box
