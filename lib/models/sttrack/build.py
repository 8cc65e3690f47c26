"""From a configuration to the network of this family."""

from typing import Any

from ..parts.frozen_resnet import FrozenResNet
from ..stark.build import sizes
from .model import STTrack


def build_network(config: Any) -> STTrack:
    """The network that an `sttrack` configuration describes, with random weights."""
    model = config.MODEL
    return STTrack(
        FrozenResNet(model.BACKBONE.TYPE),
        **sizes(model),
        temporal_layers=model.UPDATE_LAYERS,
        history=model.HISTORY,
        faithful=model.FAITHFUL,
    )
