"""Stages compiled by torch: on a GPU one CUDA graph each instead of hundreds of launches.

The first batch size is compiled as it is. From the second on, one program serves all sizes, and a CUDA graph is
recorded for each of them.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch._inductor.exc import InductorError

from ..contracts import Run, Stage
from ..errors import MachineError


def compile_stages(stages: Iterable[Stage], device: Any) -> dict[str, Run]:
    """Functions that run stages compiled; torch compiles each when it is first called.

    They raise MachineError if torch finds no compiler.

    Args:
        stages: of a tracker; those that are to be compiled are.
        device: torch.device of the network.

    Returns:
        {name of the stage: function}.
    """
    return {stage.name: _compiled(stage.module, device) for stage in stages if "compile" in stage.engines}


def _compiled(module: nn.Module, device: Any) -> Run:
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    run = torch.compile(module, fullgraph=True, mode=mode)

    def call(tensors: Sequence[Tensor]) -> list[Tensor]:
        try:
            found = run(*tensors)
        except InductorError as error:
            raise MachineError(f"TEST.COMPILE: torch cannot compile here: {str(error).splitlines()[0]}") from error
        # Copied, as a CUDA graph writes its next answer into the same memory.
        return [tensor.clone() for tensor in found]

    return call
