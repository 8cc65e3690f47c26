"""From a configuration to the network of this family."""

from typing import Any

from ..stark.build import shared
from .model import STTrack


def build_network(config: Any) -> STTrack:
    """The network that an `sttrack` configuration describes, with random weights."""
    model = config.MODEL
    return STTrack(
        **shared(config),
        temporal_layers=model.UPDATE_LAYERS,
        history=model.HISTORY,
        faithful=model.FAITHFUL,
    )
