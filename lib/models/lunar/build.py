"""From a configuration to the network of this family. Networks have no defaults of their own."""

from typing import Any

from ...config.paths import paths
from ...errors import UserError
from ..enhancer import load_enhancer
from ..enhancer.build import from_options
from ..parts.efficientnet_lite import Lite0
from ..parts.head import CenterHead, SeparableHead
from . import backbone, compact
from .backbone import OneStreamViT
from .compact import CompactHybrid
from .model import Lunar
from .query import TemporalQuery
from .tokens import TokenEnhancer


def build_network(config: Any) -> Lunar:
    """The network that a `lunar` configuration describes, with random weights.

    Only an enhancer may have weights already, those of MODEL.ENHANCER.WEIGHTS; then it is what that file says.

    Raises:
        UserError: settings that do not go together, or a file that is no enhancer's.
    """
    data, model = config.DATA, config.MODEL
    # In this order, in which a seed's random numbers are drawn.
    enhancer = _plugin(model.ENHANCER) if model.ENHANCER.ENABLE else None
    backbone = _backbone(data, model.BACKBONE)
    head = _head(model, backbone.embed_dim)
    query = None
    if model.QUERY.ENABLE:
        query = TemporalQuery(backbone.embed_dim, backbone.search_grid, **_query_options(model.QUERY))
    tokens = model.TOKEN_ENHANCER
    token_enhancer = TokenEnhancer(backbone.embed_dim, tokens.HEADS, tokens.HIDDEN) if tokens.ENABLE else None
    return Lunar(
        backbone=backbone,
        head=head,
        query=query,
        enhancer=enhancer,
        token_enhancer=token_enhancer,
        num_templates=data.TEMPLATE.NUMBER,
        image_mean=data.MEAN,
        image_std=data.STD,
    )


def _backbone(data, options):
    embed_dim, depth, num_heads = (backbone.SIZES | compact.SIZES)[options.TYPE]
    shared = {
        "embed_dim": embed_dim,
        "depth": depth,
        "num_heads": num_heads,
        "template_size": data.TEMPLATE.SIZE,
        "search_size": data.SEARCH.SIZE,
        "position": options.POSITION,
        "token_types": options.TOKEN_TYPES,
        "register_tokens": options.REGISTERS,
        "drop_path": options.DROP_PATH,
        "layer_scale": options.LAYER_SCALE,
    }
    if options.TYPE in compact.SIZES:
        if options.ATTENTION == "joint":
            raise UserError(f"MODEL.BACKBONE.ATTENTION joint: TYPE {options.TYPE} has one_way alone")
        return CompactHybrid(trunk=Lite0() if options.TYPE == "lite0" else None, **shared)
    return OneStreamViT(
        patch_size=options.STRIDE,
        attention=options.ATTENTION,
        elimination_layers=options.CE_LOC,
        elimination_keep=options.CE_KEEP_RATIO,
        **shared,
    )


def _head(model, channels):
    fine = model.HEAD.STRIDE != model.BACKBONE.STRIDE
    if model.HEAD.TYPE == "CENTER":
        return CenterHead(channels, model.HEAD.NUM_CHANNELS, fine=fine)
    if fine:
        stride = model.BACKBONE.STRIDE
        raise UserError(f"MODEL.HEAD.STRIDE {model.HEAD.STRIDE}: TYPE SEPARABLE needs that of the backbone, {stride}")
    return SeparableHead(channels, model.HEAD.NUM_CHANNELS)


def _plugin(options):
    return load_enhancer(paths().weights(options.WEIGHTS)) if options.WEIGHTS else from_options(options)


def _query_options(options):
    return {
        "dim": options.DIM,
        "heads": options.HEADS,
        "layers": options.LAYERS,
        "slots": options.SLOTS,
        "inject": options.INJECT == "token",
        "modulate": options.MODULATE,
        "write": options.WRITE,
        "hold": options.HOLD,
    }
