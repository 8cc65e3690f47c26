"""From a configuration to the network of this family."""

from ...config.paths import paths
from ...errors import UserError
from ..enhancer import Enhancer, load_enhancer
from ..enhancer.build import from_options
from .model import Lunar


def build_network(config) -> Lunar:
    """The one-stream network (lib/models/lunar) that a `lunar` configuration describes, with random weights.

    Only an enhancer may have weights already, those of MODEL.ENHANCER.WEIGHTS; then it is what that file says.
    Raises UserError for a compact backbone with joint attention, and for a file that is no enhancer's.
    """
    data, backbone, head, plugin = config.DATA, config.MODEL.BACKBONE, config.MODEL.HEAD, config.MODEL.ENHANCER
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
        head=head.TYPE.lower(),
        head_channels=head.NUM_CHANNELS,
        head_stride=head.STRIDE,
        image_mean=data.MEAN,
        image_std=data.STD,
        enhancer=_plugin(plugin) if plugin.ENABLE else None,
        query=_query(config.MODEL.QUERY) if config.MODEL.QUERY.ENABLE else None,
    )


def _plugin(options) -> Enhancer:
    return load_enhancer(paths().weights(options.WEIGHTS)) if options.WEIGHTS else from_options(options)


def _query(options):
    names = ("DIM", "HEADS", "LAYERS", "SLOTS", "TRAIL", "MODULATE", "WRITE", "HOLD", "DECAY", "RESET", "GRADIENT")
    return {"inject": options.INJECT == "token"} | {name.lower(): options[name] for name in names}
