"""A Lunar whose work on a frame is compiled: on a GPU three CUDA graphs instead of hundreds of launches.

A batch size that is met first is compiled as it is; from the second on, all are served by one program for any size, of
which a CUDA graph is recorded for each.
"""

import torch
from torch._inductor.exc import InductorError

from ...errors import MachineError
from .model import TrackerOutput
from .query import Look


def compiled(function, device):
    """`function` of tensors by torch.compile, when it is first called; without a break in its graph.

    Raises, then, MachineError where torch finds nothing to compile with.
    """
    run = torch.compile(function, fullgraph=True, mode="reduce-overhead" if device.type == "cuda" else "default")

    def call(*inputs):
        try:
            return run(*inputs)
        except InductorError as error:
            raise MachineError(f"TEST.COMPILE: torch cannot compile here: {str(error).splitlines()[0]}") from error

    return call


class CompiledLunar:
    """A Lunar for those who track with one: `track` and `step` are compiled, but for the enhancer and the decision.

    network: the Lunar itself, on the device where it stays.
    """

    def __init__(self, network):
        self.network = network
        bare, device = network.without_enhancer(), network.image_mean.device
        self._track, self._look = compiled(bare.track, device), compiled(bare.look, device)
        if network.remembers:
            self._write = compiled(network.query.write, device)

    def __getattr__(self, name):
        if name == "network":  # a copy in the making has none yet
            raise AttributeError(name)
        return getattr(self.network, name)

    def track(self, template, search, gate=None):
        """As Lunar.track."""
        return TrackerOutput(*_kept(self._track(template, self.network.enhance(search, gate))))

    def step(self, template, search, state, windows, decide, gate=None, attention=False):
        """As Lunar.step; where `attention` is asked for, nothing is compiled."""
        if attention:
            return self.network.step(template, search, state, windows, decide, gate, attention)
        output, look = self._look(template, self.network.enhance(search, gate), state, windows)
        output, look = TrackerOutput(*_kept(output)), Look(*_kept(look))
        return output, look, self._write(state, look, *decide(output, look), windows).each(torch.clone)


def _kept(tensors):
    """Copies, as a CUDA graph writes its next answer into the same memory."""
    return [None if each is None else each.clone() for each in tensors]
