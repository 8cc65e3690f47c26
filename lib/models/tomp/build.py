"""From a configuration to the network of this family."""

from typing import Any

from ..dimp.build import build_backbone
from .model import LAYER, ToMP, ToMPHead


def build_network(config: Any) -> ToMP:
    """The network that a `tomp` configuration describes, with random weights."""
    model, transformer = config.MODEL, config.MODEL.TRANSFORMER
    backbone = build_backbone(model.BACKBONE)
    head = ToMPHead(
        backbone.channels[LAYER],
        model.HIDDEN_DIM,
        transformer.NHEADS,
        transformer.ENC_LAYERS,
        transformer.DEC_LAYERS,
        transformer.DIM_FEEDFORWARD,
        config.DATA.SEARCH.SIZE // backbone.strides[LAYER],
        model.MARK_TEST,
    )
    return ToMP(backbone, head)
