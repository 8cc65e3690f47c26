"""From a configuration to the network of this family."""

from typing import Any

from ..parts.efficientnet_lite import LastMap, Lite0
from ..parts.resnet import FrozenResNet
from .model import Stark


def build_network(config: Any) -> Stark:
    """The network that a `stark` configuration describes, with random weights."""
    model = config.MODEL
    return Stark(
        **shared(config),
        half_cell=not model.FAITHFUL,
        classify=model.CLASSIFY,
    )


def shared(config: Any) -> dict[str, Any]:
    """Constructor arguments that STARK and STTrack share: backbone, transformer and head."""
    data, model, transformer = config.DATA, config.MODEL, config.MODEL.TRANSFORMER
    kind = model.BACKBONE.TYPE
    return {
        "backbone": LastMap(Lite0()) if kind == "lite0" else FrozenResNet(kind),
        "dim": model.HIDDEN_DIM,
        "heads": transformer.NHEADS,
        "feedforward": transformer.DIM_FEEDFORWARD,
        "encoder_layers": transformer.ENC_LAYERS,
        "decoder_layers": transformer.DEC_LAYERS,
        "dropout": transformer.DROPOUT,
        "head_channels": model.HEAD.NUM_CHANNELS,
        "image_mean": data.MEAN,
        "image_std": data.STD,
    }
