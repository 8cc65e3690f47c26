"""From a configuration to the network of this family."""

from typing import Any

from ..parts.frozen_resnet import FrozenResNet
from .model import Stark


def build_network(config: Any) -> Stark:
    """The network that a `stark` configuration describes, with random weights."""
    model = config.MODEL
    return Stark(
        FrozenResNet(model.BACKBONE.TYPE),
        **sizes(model),
        half_cell=not model.FAITHFUL,
        classify=model.CLASSIFY,
    )


def sizes(model: Any) -> dict[str, Any]:
    """Arguments of the network's transformer and head, of section MODEL of a configuration."""
    transformer = model.TRANSFORMER
    return {
        "dim": model.HIDDEN_DIM,
        "heads": transformer.NHEADS,
        "feedforward": transformer.DIM_FEEDFORWARD,
        "encoder_layers": transformer.ENC_LAYERS,
        "decoder_layers": transformer.DEC_LAYERS,
        "dropout": transformer.DROPOUT,
        "head_channels": model.HEAD.NUM_CHANNELS,
    }
