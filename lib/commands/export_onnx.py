"""Write a tracker's network as ONNX graphs, and compare them with torch on frames of a video."""

from functools import partial
from pathlib import Path

from .. import cli, config, registry
from ..config.paths import paths as find_paths
from ..errors import MachineError, UserError

EXAMPLES = """
python tracking/export_onnx.py lunar tiny
python tracking/export_onnx.py lunar tiny --out deploy --engine openvino --frames night.mp4 --box 311 120 9 7
python tracking/export_onnx.py lunar tiny --set TEST.PRECISION=int8
"""
LARGEST = 1e-4  # in fp32, of a map in [0, 1], of features of about 1


@cli.command
def main(argv=None):
    options = _parse(argv)
    if options.tracker_name != "lunar":
        raise UserError(f"{options.tracker_name} has no network to export: expected lunar")
    settings, plain = (
        config.load("lunar", options.tracker_param, [*options.overrides, f"TEST.BACKEND={engine}", *more])
        for engine, more in ((options.engine, ()), ("torch", ["TEST.PRECISION=fp32"]))
    )
    paths = find_paths(output=options.save_dir)
    from ..test.tracker.weights import find_weights

    weights = find_weights(options.tracker_name, options.tracker_param, settings, paths, options.checkpoint)
    cli.set_threads()
    from ..models.lunar.exported import ExportedLunar, export, quantise
    from ..test.tracker.calibration import track_demo

    tracker = registry.tracker("lunar")(plain, weights)
    folder = Path(options.out or paths.output / "export" / f"lunar_{options.tracker_param}")
    folder.mkdir(parents=True, exist_ok=True)
    precision = settings.TEST.PRECISION
    written = export(tracker.network, folder)
    if precision == "int8":
        written.append(quantise(tracker.network, folder, partial(track_demo, plain)))
    for path in written:
        print(f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)")
    other = ExportedLunar(tracker.network, folder, options.engine, precision)
    difference = _compare(tracker, other, *_video(options), options.count)
    engine = options.engine if precision == "fp32" else f"{options.engine} in {precision}"
    print(f"{engine} and torch, of {options.count} frames: they differ by at most {difference:.1e}")
    if precision == "fp32" and difference > LARGEST:
        raise MachineError(f"{options.engine} differs from torch by more than {LARGEST:g}: do not use these files here")
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("tracker_name", help="lunar")
    arguments.add_argument("tracker_param", help="configuration: experiments/<tracker_name>/<tracker_param>.yaml")
    arguments.add_argument("--checkpoint", help="weights: a file, `latest`, or the number of a trained epoch")
    arguments.add_argument("--out", metavar="DIR", help="where to write (default: <output>/export/lunar_<config>)")
    arguments.add_argument("--engine", choices=("onnx", "openvino"), default="onnx", help="what to compare with torch")
    arguments.add_argument("--frames", metavar="VIDEO", help="video, folder or zip to compare on (default: the demo)")
    arguments.add_argument("--box", type=float, nargs=4, metavar=("X", "Y", "W", "H"), help="first box in --frames, px")
    arguments.add_argument("--count", type=int, default=20, help="frames to compare on")
    cli.add_config_flags(arguments)
    options = arguments.parse_args(argv)
    cli.at_least(options, count=2)
    if (options.frames is None) != (options.box is None):
        raise UserError("--frames and --box go together")
    return options


def _video(options):
    """(frames, first box)"""
    if options.frames:
        from ..data.frames import open_frames

        return open_frames(options.frames), options.box
    from ..data import benchmarks

    sequence = benchmarks.load(benchmarks.DEMO)[0]
    return sequence.frames(), sequence.first_box


def _compare(tracker, other, frames, box, count):
    """The largest difference of anything that the networks say of the same frames, as the first tracks them."""
    tracker.network = compared = _Compared(tracker.network, other)
    state = tracker.start(frames[0], box)
    for number in range(1, min(count, len(frames))):
        (state,), _ = tracker.track_frames([state], [frames[number]])
    return compared.difference


class _Compared:
    """A network that also asks another one, of the very same things, and keeps by how much they differ."""

    def __init__(self, network, other):
        self.network, self.other, self.difference = network, other, 0.0

    def __getattr__(self, name):
        return getattr(self.network, name)

    def encode_template(self, *arguments):
        return self._same(self.network.encode_template(*arguments), self.other.encode_template(*arguments))

    def track(self, *arguments):
        return self._same(self.network.track(*arguments), self.other.track(*arguments))

    def readout(self, *arguments):
        output, readout = self.network.readout(*arguments)
        others, other = self.other.readout(*arguments)
        self._same(output, others)
        parts = ((each.spatial, each.query, each.expected) for each in (readout, other))
        self._same(*parts)
        return output, readout

    def write(self, *arguments):
        return self.network.write(*arguments)

    def _same(self, first, second):
        for one, two in zip(first, second, strict=True):
            if one is not None:
                self.difference = max(self.difference, float((one - two).abs().max()))
        return first
