"""From a configuration to the network of this family."""

from typing import Any

from ..parts.lite_features import LiteFeatures
from ..parts.resnet import ResNet
from .model import LAYER, DiMP, compose, dimp_optimiser, prdimp_optimiser, simple_optimiser


def build_backbone(options: Any) -> ResNet | LiteFeatures:
    """The backbone that a section MODEL.BACKBONE describes, with random weights."""
    if options.TYPE == "lite0":
        return LiteFeatures(options.WIDTH)
    return ResNet(int(options.TYPE.removeprefix("resnet")))


def build_network(config: Any) -> DiMP:
    """The network that a `dimp` configuration describes, with random weights."""
    model, search = config.MODEL, config.DATA.SEARCH
    backbone = build_backbone(model.BACKBONE)
    stride = backbone.strides[LAYER]
    sigma = search.SIZE / stride / search.FACTOR / 4  # a quarter of the target's mean side, in cells
    if model.CLASSIFIER.TYPE == "prdimp":
        optimiser = prdimp_optimiser(stride, sigma)
    else:
        optimiser = dimp_optimiser(stride, sigma) if model.CLASSIFIER.TYPE == "dimp" else simple_optimiser()
    return compose(
        backbone,
        optimiser,
        width=model.CLASSIFIER.WIDTH,
        block=model.CLASSIFIER.BLOCK,
        box_width=model.BOX_WIDTH,
        zero_filter=model.CLASSIFIER.TYPE == "prdimp",
    )
