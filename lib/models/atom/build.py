"""From a configuration to the network of this family."""

from typing import Any

from ..dimp.build import build_backbone
from ..parts.iounet import IoUNet
from .model import ATOM


def build_network(config: Any) -> ATOM:
    """The network that an `atom` configuration describes, with random weights."""
    backbone, width = build_backbone(config.MODEL.BACKBONE), config.MODEL.BOX_WIDTH
    return ATOM(
        backbone,
        IoUNet(
            (backbone.channels["layer2"], backbone.channels["layer3"]),
            hidden=(width, width),
            outputs=(width, width),
            width=width,
            strides=(backbone.strides["layer2"], backbone.strides["layer3"]),
        ),
    )
