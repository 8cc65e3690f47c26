"""Engines on the CPU that run exported stages: ONNX Runtime and OpenVINO."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from ..contracts import Run, Stage
from ..errors import MachineError

ENGINES = ("onnx", "openvino")
NEEDED = {  # packages to install, by purpose
    "export": "onnx onnxscript",
    "int8": "onnx onnxruntime",
    "onnx": "onnxruntime",
    "openvino": "openvino",
}


def lacking(purpose: str) -> MachineError:
    """The error for missing packages; purpose: a key of NEEDED."""
    return MachineError(f"{purpose} needs packages that are not installed: pip install {NEEDED[purpose]}")


def stage_path(folder: str | Path, name: str, precision: str = "fp32") -> Path:
    """The file of a stage in a folder of exported stages; that in eight bits for precision "int8"."""
    return Path(folder) / ("int8" if precision == "int8" else "") / f"{name}.onnx"


def open_stages(stages: Iterable[Stage], folder: str | Path, engine: str, precision: str = "fp32") -> dict[str, Run]:
    """Functions by which an engine runs the exported stages.

    Args:
        stages: of a tracker; those that are for ONNX are opened.
        folder: where they were exported.
        engine: one of ENGINES.
        precision: "fp32", with openvino also "bf16", with onnx also "int8" (graphs.quantise).

    Returns:
        {name of the stage: function}.

    Raises:
        MachineError: the engine is not installed.
    """
    threads, runs = torch.get_num_threads(), {}
    for stage in stages:
        if "onnx" in stage.engines:
            path = stage_path(folder, stage.name, precision if precision in stage.engines else "fp32")
            try:
                runs[stage.name] = _onnx(path, threads) if engine == "onnx" else _openvino(path, threads, precision)
            except ImportError as error:
                raise lacking(engine) from error
    return runs


def to_array(tensor: Tensor):
    """A tensor as engines take it: a contiguous array."""
    return tensor.contiguous().numpy()


def _onnx(path, threads):
    """The Run of a file by ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        feed = dict(zip(names, map(to_array, tensors), strict=True))
        return [torch.from_numpy(values) for values in session.run(None, feed)]

    return run


def _openvino(path, threads, precision):
    """The Run of a file by OpenVINO."""
    import openvino

    options = {
        "INFERENCE_NUM_THREADS": threads,
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
        "PERFORMANCE_HINT": "LATENCY",
    }
    compiled = openvino.Core().compile_model(str(path), "CPU", options)

    def run(tensors: Sequence[Tensor]) -> list[Tensor]:
        found = compiled([to_array(tensor) for tensor in tensors])
        # Copied, as the engine writes its next answer into the same memory.
        return [torch.from_numpy(found[port].copy()) for port in compiled.outputs]

    return run
