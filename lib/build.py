"""From a configuration to a network: the one place that knows both."""

from lib.errors import UserError


def build_network(config):
    """The one-stream network (lib/models/lunar) that a `lunar` configuration describes, with random weights.

    Raises UserError for a compact backbone with joint attention.
    """
    from lib.models.lunar.model import Lunar

    data, backbone, head = config.DATA, config.MODEL.BACKBONE, config.MODEL.HEAD
    if backbone.TYPE == "compact" and backbone.ATTENTION == "joint":
        raise UserError("MODEL.BACKBONE.ATTENTION joint: TYPE compact has one_way alone")
    return Lunar(
        backbone=backbone.TYPE,
        patch_size=backbone.STRIDE,
        template_size=data.TEMPLATE.SIZE,
        search_size=data.SEARCH.SIZE,
        num_templates=data.TEMPLATE.NUMBER,
        attention=backbone.ATTENTION,
        position=backbone.POSITION,
        token_types=backbone.TOKEN_TYPES,
        drop_path=backbone.DROP_PATH,
        layer_scale=backbone.LAYER_SCALE,
        register_tokens=backbone.REGISTERS,
        elimination_layers=tuple(backbone.CE_LOC),
        elimination_keep=backbone.CE_KEEP_RATIO,
        head_channels=head.NUM_CHANNELS,
        head_stride=head.STRIDE,
        image_mean=data.MEAN,
        image_std=data.STD,
    )
