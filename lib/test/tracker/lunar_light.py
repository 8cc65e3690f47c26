"""The one-stream tracker without torch: numpy, OpenCV and ONNX Runtime run the graphs that ship with the weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ... import config as configuration
from ...cli import share_of_cores
from ...config.paths import paths
from ...data.crop import Crop
from ...errors import MachineError, UserError
from .lunar_rules import OneStreamRules, State

STAGES = ("template", "track", "find", "write")  # of lib/models/lunar/stages.py and lunar.py, without an enhancer
# Inputs of `track` that are not tensors of the template: the crop, the windows and the state of the query.
QUERY = ("prior", "memory", "marks", "trajectory", "prediction_error", "lost", "time")


class LightLunarTracker(OneStreamRules):
    """As LunarTracker, to the same boxes (1e-3 px), on the CPU.

    Args:
        config: a `lunar` configuration with a query and without an enhancer.
        folder: holds one ONNX file for each of STAGES, as `export_onnx.py` writes them.
        threads: of ONNX Runtime.

    Raises:
        UserError: a file is missing.
        MachineError: ONNX Runtime is not installed.
    """

    device = "cpu"
    partial = True
    remembers = True

    def __init__(self, config: Any, folder: str | Path, threads: int = 1) -> None:
        super().__init__(config)
        self._sessions = {name: _open(Path(folder) / f"{name}.onnx", threads) for name in STAGES}
        inputs = [each.name for each in self._sessions["track"].get_inputs()]
        self._known = [name for name in inputs if name not in ("search", "windows", *QUERY)]
        self._axes = dict.fromkeys(("keys", "values"), 1)  # batch axes other than 0

    def _run(self, stage: str, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        return self._sessions[stage].run(None, {name: np.ascontiguousarray(each) for name, each in inputs.items()})

    def _encode(self, patches: Sequence[tuple], level: float | None) -> dict[str, np.ndarray]:
        templates = np.stack([patch.transpose(2, 0, 1) for patch, _ in patches])[None]
        masks = np.stack([mask for _, mask in patches])[None]
        return dict(zip(self._known, self._run("template", {"templates": templates, "masks": masks}), strict=True))

    def _first_query(self) -> dict[str, np.ndarray]:
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64}
        inputs = {each.name: each for each in self._sessions["track"].get_inputs()}
        return {name: np.zeros((1, *inputs[name].shape[1:]), kinds[inputs[name].type]) for name in QUERY}

    def _look(self, states: Sequence[State], patches: np.ndarray, crops: Sequence[Crop]) -> tuple:
        template = {name: self._joined(name, [state.template[name] for state in states]) for name in self._known}
        query = {name: np.concatenate([state.query[name] for state in states]) for name in QUERY}
        windows = np.array([(crop.cx, crop.cy, crop.side) for crop in crops], np.float32)
        seen = {"search": patches.transpose(0, 3, 1, 2), **template, "windows": windows, **query}
        return self._run("track", seen), query, windows

    def _joined(self, name: str, parts: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(parts, axis=self._axes.get(name, 0))

    def _find(self, look: tuple, hann: tuple, cells: Sequence[int] | None = None) -> np.ndarray:
        assert cells is None, "association of candidates needs torch"
        (score_map, size_map, offset_map, _, query, expected), *_ = look
        inputs = {"score_map": score_map, "size_map": size_map, "offset_map": offset_map}
        inputs |= dict(zip(("factor", "addend"), hann, strict=False))
        return self._run("find", {**inputs, "query": query, "expected": expected})[0]

    def _write(self, look: tuple, centre_sizes: Sequence, confidences: Sequence[float]) -> list[dict]:
        (*_, spatial, query, expected), state, windows = look
        decided = {
            "centre_size": np.array(centre_sizes, np.float32),
            "confidence": np.array(confidences, np.float32),
            "windows": windows,
        }
        after = self._run("write", {"spatial": spatial, "query": query, "expected": expected, **decided, **state})
        return [
            {name: each[number : number + 1] for name, each in zip(QUERY, after, strict=True)}
            for number in range(len(windows))
        ]


def load(family: str, name: str) -> LightLunarTracker:
    """The tracker of a configuration whose graphs ship with the package.

    Raises:
        UserError: no graphs ship for it.
    """
    folder = paths().weights(f"{family}_{name}_onnx")
    if not folder.is_dir():
        raise UserError(
            f"{family} {name}: needs torch: pip install 'lunar-tracking[train]'; without it there is no", folder
        )
    return LightLunarTracker(configuration.load(family, name), folder, share_of_cores())


def _open(path: Path, threads: int) -> Any:
    if not path.is_file():
        raise UserError("no such graph; tracking/export_onnx.py writes it", path)
    try:
        import onnxruntime
    except ImportError as error:
        raise MachineError("tracking without torch: pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
