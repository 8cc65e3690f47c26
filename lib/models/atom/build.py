"""From a configuration to the network of this family."""

from typing import Any

from ..dimp.build import build_backbone
from ..parts.iounet import build_iou_net
from .model import ATOM


def build_network(config: Any) -> ATOM:
    """The network that an `atom` configuration describes, with random weights."""
    backbone = build_backbone(config.MODEL.BACKBONE)
    return ATOM(backbone, build_iou_net(backbone.channels, backbone.strides, config.MODEL.BOX_WIDTH))
