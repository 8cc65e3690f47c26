"""The stages of a tracker as ONNX files: written, made int8, and kept so that one export serves all runs."""

import hashlib
import inspect
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import torch
from filelock import FileLock
from torch import Tensor

from ..contracts import Run, Stage, Staged
from ..files import atomic_path
from .calibration import track_demo
from .engines import lacking, open_stages, stage_path, to_array

log = logging.getLogger(__name__)

NARROW = 32  # channels; convolutions with fewer on either side take little time, and eight bits hurt them most


def use_engine(tracker: Staged, settings: str, root: Path, engine: str, precision: str) -> None:
    """Let an engine run a tracker. Its stages are exported the first time; the folder may always be deleted.

    Args:
        tracker: on the CPU, running by torch.
        settings: text of what the tracker's network depends on beside its weights.
        root: folder of all exported networks.
        engine, precision: see open_stages.

    Raises:
        MachineError: packages are missing.
    """
    stages = tracker.stages()
    folder = root / digest(stages, settings)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [stage for stage in stages if "onnx" in stage.engines]
    with FileLock(folder / ".lock"):  # processes that start together export once
        if not all(stage_path(folder, stage.name).is_file() for stage in wanted):
            log.info("exporting the network to %s", folder)
            export(stages, folder)
        small = [stage for stage in wanted if precision == "int8" and "int8" in stage.engines]
        if not all(stage_path(folder, stage.name, "int8").is_file() for stage in small):
            log.info("making its int8 form")
            quantise(tracker, folder)
    tracker.use(open_stages(stages, folder, engine, precision))


def export(stages: Iterable[Stage], folder: str | Path) -> list[Path]:
    """Write stages as ONNX files. Batches may have any size.

    Args:
        stages: of a tracker on the CPU; those that are for ONNX are written.
        folder: where to.

    Returns:
        The files.

    Raises:
        MachineError: the packages that write ONNX are missing.
    """
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise lacking("export") from error
    for talker in ("onnxscript", "onnx_ir"):
        logging.getLogger(talker).setLevel(logging.ERROR)
    written = []
    for stage in stages:
        if "onnx" not in stage.engines:
            continue
        stage_path(folder, stage.name, "int8").unlink(missing_ok=True)  # of the file that is replaced
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter, about its own future
            program = torch.onnx.export(
                stage.module.eval(),
                tuple(stage.inputs.values()),
                input_names=list(stage.inputs),
                dynamic_shapes=_dynamic(stage),
                dynamo=True,
                verbose=False,
            )
        path = stage_path(folder, stage.name)
        with atomic_path(path) as temporary:
            temporary.write_bytes(program.model_proto.SerializeToString())
        written.append(path)
    return written


def _dynamic(stage):
    """The batch axis of every input, arranged as the arguments of the module's forward."""
    axes = [{stage.batch_axes.get(name, 0): "batch"} for name in stage.inputs]
    *named, last = inspect.signature(stage.module.forward).parameters.values()
    if last.kind is last.VAR_POSITIONAL:  # it takes all other inputs, as one tuple
        return [*axes[: len(named)], tuple(axes[len(named) :])]
    return axes


def quantise(tracker: Staged, folder: str | Path, use: Callable = track_demo) -> list[Path]:
    """Write the stages that may be int8 in eight bits.

    Args:
        tracker: whose stages were exported to the folder. It tracks meanwhile, and runs by torch afterwards.
        folder: of the exported stages.
        use: called with the tracker, tracks something typical.

    Returns:
        The files.

    Raises:
        MachineError: onnx or onnxruntime is missing.
    """
    stages = tracker.stages()
    runs, seen = open_stages(stages, folder, "onnx"), {}
    for stage in stages:
        if "int8" in stage.engines:
            runs[stage.name], seen[stage.name] = recorded(runs[stage.name])
    tracker.use(runs)
    use(tracker)
    tracker.use({})
    return [
        quantise_stage(folder, stage.name, seen[stage.name], stage.in_float) for stage in stages if stage.name in seen
    ]


def recorded(run: Run) -> tuple[Run, list[list[Tensor]]]:
    """A Run that also keeps copies of its inputs, and the list that they go to."""
    seen = []

    def recording(tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        seen.append([tensor.clone() for tensor in tensors])
        return run(tensors)

    return recording, seen


def quantise_stage(
    folder: str | Path, name: str, inputs: Iterable[Sequence[Tensor]], in_float: Sequence[str] = ()
) -> Path:
    """Write a stage with its convolutions and products with weights in eight bits, a scale per output channel.

    Convolutions keep the range of inputs that they have on these examples; matrix products measure it in every frame.

    Args:
        folder: of the exported stages.
        name: of the stage.
        inputs: examples of its inputs.
        in_float: see Stage.

    Returns:
        The file.

    Raises:
        MachineError: onnx or onnxruntime is missing.
    """
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError as error:
        raise lacking("int8") from error
    model = onnx.load(stage_path(folder, name))
    del model.graph.value_info[:]  # the exporter's: some are of weights before they were transposed
    names = [each.name for each in model.graph.input]
    feeds = (dict(zip(names, map(to_array, tensors), strict=True)) for tensors in inputs)
    shapes = {each.name: each.dims for each in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    kept = [
        node.name
        for node in convolutions
        if min(shapes[node.input[1]][:2]) < NARROW or any(part in node.input[1] for part in in_float)
    ]
    path = stage_path(folder, name, "int8")
    weights = {
        "weight_type": quantization.QuantType.QInt8,
        "per_channel": True,
        "reduce_range": True,  # seven bits of weights: without VNNI, products of eight overflow their 16-bit sums
    }
    with atomic_path(path) as temporary, _silence():
        quantization.quantize_static(
            model,
            temporary,
            SimpleNamespace(get_next=partial(next, feeds, None)),
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=kept,
            activation_type=quantization.QuantType.QUInt8,
            **weights,
        )
        quantization.quantize_dynamic(
            onnx.load(temporary), temporary, op_types_to_quantize=["MatMul", "Gemm"], **weights
        )
    return path


@contextmanager
def _silence():
    """No warnings of onnxruntime's quantisation, which go to the root logger."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def digest(stages: Sequence[Stage], settings: str = "") -> str:
    """What stages compute, as 16 hexadecimal digits: of their weights, their settings and the code that they run."""
    sums, known = hashlib.sha256(torch.__version__.encode()), set()
    package = Path(__file__).parents[1]
    for path in sorted([*(package / "models").rglob("*.py"), *(package / "export").rglob("*.py")]):
        sums.update(path.read_bytes())
    sums.update(f"{[stage.module for stage in stages]}{settings}".encode())
    for stage in stages:
        for name, tensor in stage.module.state_dict(keep_vars=True).items():
            if id(tensor) not in known:  # stages share a network
                known.add(id(tensor))
                sums.update(name.encode() + tensor.detach().cpu().numpy().tobytes())
    return sums.hexdigest()[:16]
