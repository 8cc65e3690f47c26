"""A Lunar whose work on a frame is compiled: on a GPU three CUDA graphs instead of hundreds of launches.

The first batch size is compiled as it is. From the second on, one program serves all sizes, and a CUDA graph is
recorded for each of them.
"""

import torch
from torch._inductor.exc import InductorError

from ...errors import MachineError
from .model import TrackerOutput
from .query import QueryState, Readout


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
    """A Lunar to track with: `track`, `readout` and `write` are compiled, the enhancer is not.

    network: the Lunar itself, on the device where it stays.
    """

    def __init__(self, network):
        self.network = network
        bare, device = network.without_enhancer(), network.normalise.mean.device
        self._track, self._readout = compiled(bare.track, device), compiled(bare.readout, device)
        if network.remembers:
            self._write = compiled(network.query.write, device)

    def __getattr__(self, name):
        if name == "network":  # a copy in the making has none yet
            raise AttributeError(name)
        return getattr(self.network, name)

    def track(self, template, search, gate=None):
        """As Lunar.track."""
        return TrackerOutput(*_kept(self._track(template, self.network.enhance(search, gate))))

    def readout(self, template, search, state, windows, gate=None, attention=False):
        """As Lunar.readout; with `attention` nothing is compiled."""
        if attention:
            return self.network.readout(template, search, state, windows, gate, attention)
        output, readout = self._readout(template, self.network.enhance(search, gate), state, windows)
        return TrackerOutput(*_kept(output)), Readout(*_kept(readout))

    def write(self, state, readout, centre_size, confidence, windows):
        """As Lunar.write."""
        return QueryState(*_kept(self._write(state, readout, centre_size, confidence, windows).tensors()))


def _kept(tensors):
    """Copies, as a CUDA graph writes its next answer into the same memory."""
    return [None if each is None else each.clone() for each in tensors]
