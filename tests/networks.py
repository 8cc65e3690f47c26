"""Networks for tests, with the settings that a test does not care about filled in."""

from lib.models.lunar import CompactHybrid, Lunar, OneStreamViT, TemporalQuery, backbone, compact
from lib.models.parts.efficientnet_lite import Lite0
from lib.models.parts.head import CenterHead, SeparableHead

QUERY = {
    "dim": 96,
    "heads": 3,
    "layers": 1,
    "slots": 6,
    "inject": False,
    "modulate": True,
    "write": 0.6,
    "hold": 0.35,
}
TOKENS = {
    "template_size": 128,
    "search_size": 256,
    "position": "shared",
    "token_types": True,
    "register_tokens": 0,
    "drop_path": 0.1,
    "layer_scale": False,
}
VIT = {"attention": "joint", "elimination_layers": (), "elimination_keep": 1.0}


def temporal_query(channels, grid, **options):
    """A TemporalQuery. options: those of QUERY that differ."""
    return TemporalQuery(channels, grid, **(QUERY | options))


def make_lunar(
    *,
    kind="vit_base",
    patch_size=16,
    num_templates=1,
    head="center",
    head_channels=256,
    head_stride=None,
    image_mean=(0.485, 0.456, 0.406),
    image_std=(0.229, 0.224, 0.225),
    enhancer=None,
    query=None,
    **options,
):
    """A Lunar.

    Args:
        kind: of the backbone, as MODEL.BACKBONE.TYPE.
        patch_size: px; of a ViT.
        head: "center" or "separable".
        head_stride: px of the search crop per cell of the maps; None for that of the patches.
        query: options of `temporal_query`, or None for no query.
        options: embed_dim, depth, num_heads, and those of TOKENS and VIT that differ.
    """
    sizes = zip(("embed_dim", "depth", "num_heads"), (backbone.SIZES | compact.SIZES)[kind], strict=True)
    if kind in compact.SIZES:
        options = dict(sizes) | TOKENS | options
        patch_size = compact.STRIDE
        made = CompactHybrid(trunk=Lite0() if kind == "lite0" else None, **options)
    else:
        made = OneStreamViT(patch_size=patch_size, **(dict(sizes) | TOKENS | VIT | options))
    dim, grid = made.embed_dim, made.search_grid
    if head == "separable":
        box_head = SeparableHead(dim, head_channels)
    else:
        box_head = CenterHead(dim, head_channels, fine=head_stride not in (None, patch_size))
    return Lunar(
        backbone=made,
        head=box_head,
        query=None if query is None else temporal_query(dim, grid, **query),
        enhancer=enhancer,
        num_templates=num_templates,
        image_mean=image_mean,
        image_std=image_std,
    )
