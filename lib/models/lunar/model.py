"""The network of `lunar` (and of OSTrack, as one of its settings): crops in, maps out."""

import copy
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..layers.head import CenterHead, SeparableHead
from .backbone import SIZES, OneStreamViT, TemplateState
from .compact import CompactHybrid
from .query import QueryState, Readout, TemporalQuery
from .trunk import Lite0

HYBRIDS = {"compact": lambda: None, "lite0": Lite0}  # the trunk of each
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class TrackerOutput(NamedTuple):
    """Maps over the search crop, float32, H cells a side.

    score_map: (B, 1, H, H) in (0, 1), how likely the target's centre lies in the cell.
    size_map: (B, 2, H, H) in (0, 1), width and height in shares of the crop.
    offset_map: (B, 2, H, H), centre (x, y) from the cell's upper left corner, in cells.
    """

    score_map: Tensor
    size_map: Tensor
    offset_map: Tensor


class Lunar(nn.Module):
    """One-stream tracker: templates and a search crop to score, size and offset maps.

    Tracking calls `encode_template` once and `track` for every frame; training calls `forward`, which is the one after
    the other. With a query both call `readout` instead of `track`, decide where the target is, and call `write`. The
    query's state goes in and comes out: nothing is kept on the module between calls.

    Images are RGB, uint8 or float in [0, 1]; normalisation is the first layer. State-dict keys are OSTrack's. See
    OneStreamViT for the arguments not listed here.

    Args:
        backbone: "vit_tiny", "vit_small", "vit_base", "vit_large", or a CompactHybrid: "compact" on a stem of 3x3
            convolutions, "lite0" on EfficientNet-Lite0. These two are for patch_size 8, attention "one_way" and no
            elimination.
        template_size, search_size: sides Z and S of the crops, px; multiples of patch_size (px).
        num_templates: templates T per sample.
        head: "center" (CenterHead, OSTrack's) or "separable" (SeparableHead, a light one).
        head_channels: width of the head's first convolution.
        head_stride: px of the search crop per cell of the maps: patch_size (None), or half of it for tiny targets.
        image_mean, image_std: of R, G, B in [0, 1].
        embed_dim, depth, num_heads: replace those of `backbone` where given.
        enhancer: an Enhancer through which crops go first (lib/models/enhancer), or None.
        query: options of a TemporalQuery, dict; None for a network that knows nothing but the templates.

    Raises:
        ValueError: sizes or options that do not go together.
    """

    def __init__(
        self,
        *,
        backbone="vit_base",
        patch_size=16,
        template_size=128,
        search_size=256,
        num_templates=1,
        attention="joint",
        position="shared",
        token_types=True,
        drop_path=0.1,
        head="center",
        head_channels=256,
        head_stride=None,
        elimination_layers=(),
        elimination_keep=1.0,
        register_tokens=0,
        layer_scale=False,
        image_mean=IMAGENET_MEAN,
        image_std=IMAGENET_STD,
        embed_dim=None,
        depth=None,
        num_heads=None,
        enhancer=None,
        query=None,
    ):
        super().__init__()
        head_stride = head_stride or patch_size
        if head_stride not in (patch_size, patch_size // 2):
            raise ValueError(f"head_stride {head_stride}: expected {patch_size} or {patch_size // 2}")
        dim, blocks, heads = SIZES[backbone]
        self.num_templates = num_templates
        if enhancer is not None:  # else there is no such module, and no such key in a checkpoint
            self.enhancer = enhancer
        self.template_size, self.search_size = template_size, search_size
        self.map_size = search_size // head_stride
        # Not saved: they are the configuration's, and OSTrack's checkpoints have no such keys.
        self.register_buffer("image_mean", torch.tensor(image_mean, dtype=torch.float32), persistent=False)
        self.register_buffer("image_std", torch.tensor(image_std, dtype=torch.float32), persistent=False)
        options = {
            "embed_dim": embed_dim or dim,
            "depth": depth or blocks,
            "num_heads": num_heads or heads,
            "template_size": template_size,
            "search_size": search_size,
            "position": position,
            "token_types": token_types,
            "drop_path": drop_path,
            "register_tokens": register_tokens,
            "layer_scale": layer_scale,
        }
        if backbone in HYBRIDS:
            if (patch_size, attention, tuple(elimination_layers)) != (8, "one_way", ()):
                raise ValueError(f"{backbone}: expected patch_size 8, attention 'one_way' and no elimination")
            self.backbone = CompactHybrid(trunk=HYBRIDS[backbone](), **options)
        else:
            self.backbone = OneStreamViT(
                patch_size=patch_size,
                attention=attention,
                elimination_layers=elimination_layers,
                elimination_keep=elimination_keep,
                **options,
            )
        if head == "separable":
            if head_stride != patch_size:
                raise ValueError(f"head_stride {head_stride}: a separable head has that of the patches, {patch_size}")
            self.box_head = SeparableHead(embed_dim or dim, head_channels)
        else:
            self.box_head = CenterHead(embed_dim or dim, head_channels, fine=head_stride != patch_size)
        if query is not None:
            self.query = TemporalQuery(embed_dim or dim, search_size // patch_size, **query)

    @property
    def remembers(self):
        """Whether there is a query."""
        return hasattr(self, "query")

    @property
    def enhances(self):
        """Whether crops go through an enhancer."""
        return hasattr(self, "enhancer")

    def without_enhancer(self):
        """The same network, with the same weights, for crops that are enhanced already."""
        bare = copy.copy(self)
        bare._modules = {name: part for name, part in self._modules.items() if name != "enhancer"}
        return bare

    def enhance(self, images, gate=None):
        """(..., 3, H, W) uint8 or float in [0, 1] -> the same or, through the enhancer, float in [0, 1].

        gate: (B,) for the leading B, how far the enhancer's gate is open; None: each crop's own brightness says it.
        """
        if not self.enhances:
            return images
        flat = images.flatten(0, -4)
        flat = flat / 255 if images.dtype == torch.uint8 else flat
        if gate is not None:
            gate = gate.repeat_interleave(len(flat) // len(gate))
        return self.enhancer(flat, gate).view(images.shape)

    def normalise(self, images):
        """(..., 3, H, W) uint8 or float in [0, 1] -> float, of zero mean and unit deviation over ImageNet."""
        flat = images.flatten(0, -4).contiguous().to(self.image_mean.dtype)
        if images.dtype == torch.uint8:
            flat = flat / 255
        # Batch norm with fixed statistics is (x - mean) / std in one pass, several times faster than in two.
        return functional.batch_norm(flat, self.image_mean, self.image_std**2, eps=0).view(images.shape)

    def encode_template(self, templates, masks=None, gate=None):
        """What `track` needs to know of the target.

        Args:
            templates: (B, T, 3, Z, Z), uint8 or float in [0, 1].
            masks: (B, T, Lz) from template_mask; needed with token types only.
            gate: see enhance.

        Returns:
            TemplateState.

        Raises:
            ValueError: templates or masks of another shape than the network was built for.
        """
        Z, T = self.template_size, self.num_templates
        if templates.ndim != 5 or templates.shape[1:] != (T, 3, Z, Z):
            raise ValueError(f"templates {tuple(templates.shape)}: expected (B, {T}, 3, {Z}, {Z})")
        return self.backbone.encode_template(self.normalise(self.enhance(templates, gate)), masks)

    def track(self, template, search, gate=None):
        """Maps of one frame.

        Args:
            template: TemplateState of B samples.
            search: (B, 3, S, S), uint8 or float in [0, 1].
            gate: see enhance.

        Returns:
            TrackerOutput.

        Raises:
            ValueError: a search crop of another shape than the network was built for.
        """
        return self.locate(*self.features(template, search, gate))

    def features(self, template, search, gate=None, hint=None):
        """What `locate` needs, of the arguments of `track`: features (B, C, G, G), and the search crop normalised.

        hint: see the backbone's forward.
        """
        S = self.search_size
        if search.ndim != 4 or search.shape[1:] != (3, S, S):
            raise ValueError(f"search crop {tuple(search.shape)}: expected (B, 3, {S}, {S})")
        search = self.normalise(self.enhance(search, gate))
        return self.backbone(template, search, hint), search

    def locate(self, features, search):
        """TrackerOutput of what `features` gave."""
        return TrackerOutput(*self.box_head(features, search))

    def readout(
        self,
        template: TemplateState,
        search: Tensor,
        state: QueryState,
        windows: Tensor,
        gate: Tensor | None = None,
        attention: bool = False,
    ) -> tuple[TrackerOutput, Readout]:
        """Maps of one frame with the query. The caller decides where the target is, then calls `write`.

        Args:
            template, search, gate: as for `track`.
            state: QueryState of the B samples, before the frame.
            windows (B, 3), float: centre and side of what the search crop shows (px), in one frame of reference for all
                frames of a video.
            attention: whether the Readout includes the attention weights.

        Returns:
            The maps, and what the query read.
        """
        query = self.query
        expectation = query.expectation(state, windows)
        features, seen = self.features(template, search, gate, query.hint(expectation))
        readout = query.read(state, expectation, features, windows, attention)
        return self.locate(query.modulate(features, readout), seen), readout

    def write(
        self, state: QueryState, readout: Readout, centre_size: Tensor, confidence: Tensor, windows: Tensor
    ) -> QueryState:
        """The query's state after the frame; see TemporalQuery.write."""
        return self.query.write(state, readout, centre_size, confidence, windows)

    def forward(self, templates, masks, search):
        """encode_template, then track: (B, T, 3, Z, Z), (B, T, Lz) or None, (B, 3, S, S) -> TrackerOutput."""
        return self.track(self.encode_template(templates, masks), search)


def template_mask(boxes_xywh, size, grid):
    """Share of every cell of a template crop that the target covers, exact also for boxes smaller than a cell.

    Args:
        boxes_xywh: (..., 4) tensor or array, px of the crop.
        size: side of the crop, px.
        grid: cells a side.

    Returns:
        (..., grid^2) float32 in [0, 1], row-major.
    """
    low, extent = torch.as_tensor(boxes_xywh, dtype=torch.float32).mul(grid / size).unsqueeze(-1).split(2, dim=-2)
    edges = torch.arange(grid, device=low.device)
    # A box is a product of two intervals, so its overlap with a cell is the product of theirs.
    overlap = (torch.minimum(low + extent, edges + 1) - torch.maximum(low, edges)).clamp(min=0)
    return (overlap[..., 1, :, None] * overlap[..., 0, None, :]).flatten(-2)
