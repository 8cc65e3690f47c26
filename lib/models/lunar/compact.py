"""The compact network: convolutional features at stride 8, correlation with the target, blocks of attention."""

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..parts.head import conv_bn_relu, separable
from .backbone import TemplateState, TokenBackbone, make_blocks

SIZES = {"compact": (96, 2, 3), "lite0": (96, 1, 3)}  # embed_dim, depth, num_heads
STRIDE = 8
TEMPLATE, SEARCH = 0, 1
CORRELATED = 8  # cells a side of the template that search features are correlated with


class SharedConv(nn.Module):
    """3x3 convolution shared by template and search crop, with a batch norm for each: their statistics differ much.

    Args:
        inputs, outputs: channels.
        stride: 1 or 2; with 1 the input is added to the output.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.residual = stride == 1

    def forward(self, x: Tensor, kind: int) -> Tensor:
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride); kind: TEMPLATE or SEARCH."""
        out = self.norms[kind](self.conv(x))
        return F.relu(x + out if self.residual else out)


class Stem(nn.Module):
    """Crops to tokens through C/4, C/2 and C channels at strides 2, 4 and 8.

    Args:
        embed_dim: channels C.
    """

    trunk = None

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        narrow, middle = embed_dim // 4, embed_dim // 2
        self.layers = nn.ModuleList(
            [
                SharedConv(3, narrow, 2),
                SharedConv(narrow, middle, 2),
                SharedConv(middle, middle),
                SharedConv(middle, embed_dim, 2),
                SharedConv(embed_dim, embed_dim),
            ]
        )
        self.proj = nn.Linear(embed_dim, embed_dim)  # so that features also take negative values: a sharper cosine

    def forward(self, images: Tensor, kind: int) -> Tensor:
        """(B, 3, S, S) -> (B, (S/8)^2, C), row by row; kind: TEMPLATE or SEARCH."""
        x = images.contiguous(memory_format=torch.channels_last)  # oneDNN's fast layout on CPUs, cuDNN's for bf16
        for layer in self.layers:
            x = layer(x, kind)
        return self.proj(rearrange(x, "b c y x -> b (y x) c"))


class TrunkStem(nn.Module):
    """Crops to tokens through a pretrained trunk with strides 4, 8 and 16.

    The map at stride 4 keeps its detail: each 2 x 2 cells become channels. The map at stride 16 is enlarged. Their 1x1
    convolutions are summed at stride 8.

    Args:
        embed_dim: channels C.
        trunk: see lib/models/parts/efficientnet_lite.py.
    """

    def __init__(self, embed_dim: int, trunk: nn.Module) -> None:
        super().__init__()
        self.trunk = trunk
        widths = [
            channels * (STRIDE // stride) ** 2 if stride < STRIDE else channels
            for stride, channels in trunk.channels.items()
        ]
        self.laterals = nn.ModuleList(nn.Conv2d(width, embed_dim, 1, bias=False) for width in widths)
        self.norms = nn.ModuleList([nn.BatchNorm2d(embed_dim), nn.BatchNorm2d(embed_dim)])
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, images: Tensor, kind: int) -> Tensor:
        """(B, 3, S, S) -> (B, (S/8)^2, C), row by row; kind: TEMPLATE or SEARCH."""
        fine, middle, coarse = self.trunk(images)
        fine, middle, coarse = (
            lateral(x) for lateral, x in zip(self.laterals, (F.pixel_unshuffle(fine, 2), middle, coarse), strict=True)
        )
        x = fine + middle + F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.proj(rearrange(F.relu(self.norms[kind](x)), "b c y x -> b (y x) c"))


class CompactHybrid(TokenBackbone):
    """Tokens of a convolutional stem at stride 8, to which correlation with the target is added, and one-way attention.

    Each search token gets its cosine similarity to every template token, weighted by the share of that token's cell
    that the target covers (pixel-wise correlation, Alpha-Refine, arXiv:2012.06815); several templates are averaged. A
    convolution then spreads what was found to the neighbours. In the blocks, search tokens attend to the template's
    tokens alone: attention to each other as well took a fifth more time and, in one run of equal time, learned less.

    The `tokens` of its TemplateState are the templates' unit features times the mask, for the correlation.

    Args:
        depth, num_heads, drop_path, layer_scale: see make_blocks.
        trunk: a pretrained trunk (lib/models/parts/efficientnet_lite.py) whose features make the tokens; None for a
            stem of 3x3 convolutions.
        tokens: arguments of TokenBackbone but patch_size, which is STRIDE.
    """

    def __init__(
        self,
        *,
        depth: int,
        num_heads: int,
        drop_path: float,
        layer_scale: bool,
        trunk: nn.Module | None,
        **tokens: Any,
    ) -> None:
        super().__init__(patch_size=STRIDE, **tokens)
        dim = self.embed_dim
        # The published runs started from random numbers that were drawn after those of such a convolution. Without it a
        # seed would give another network.
        nn.Conv2d(3, dim, STRIDE, STRIDE)
        blocks = make_blocks(dim, depth, num_heads, drop_path, layer_scale)
        self.draw_tables()
        # Linear layers keep torch's start, which suits a few narrow ones; the ViT's 0.02 is made for deep, wide ones.
        self.patch_embed = Stem(dim) if trunk is None else TrunkStem(dim, trunk)
        self.blocks = blocks
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.correlation = nn.Linear(CORRELATED**2, dim)
        mixed = conv_bn_relu if trunk is None else partial(separable, kernel=5)
        self.mix = mixed(dim, dim)

    @property
    def trunk(self) -> nn.Module | None:
        """The pretrained network that makes the tokens, or None."""
        return self.patch_embed.trunk

    def encode_template(self, templates: Tensor, masks: Tensor | None = None) -> TemplateState:
        """Encode the templates; see OneStreamViT.encode_template. Masks are always needed."""
        if masks is None:
            raise ValueError("correlation needs the masks of the templates (data.crop.coverage)")
        features = self.patch_embed(templates.flatten(0, 1), TEMPLATE).unflatten(0, templates.shape[:2])
        target = F.normalize(features.float(), dim=-1) * masks.unsqueeze(-1)
        state = self.remember(self.template_tokens(features, masks))
        return state._replace(tokens=rearrange(self._correlated(target), "b t n c -> b (t n) c"))

    def _correlated(self, target):
        """(B, T, Lz, C) -> (B, T, CORRELATED^2, C): means of the cells of a larger template that fall together."""
        if self.template_grid == CORRELATED:
            return target
        maps = rearrange(target, "b t (y x) c -> (b t) c y x", y=self.template_grid)
        pooled = F.adaptive_avg_pool2d(maps, CORRELATED)
        return rearrange(pooled, "(b t) c y x -> b t (y x) c", t=target.shape[1])

    def forward(self, template: TemplateState, search: Tensor, hint: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Search features that know the template; see OneStreamViT.forward."""
        features = self.patch_embed(search, SEARCH)
        similarity = F.normalize(features.float(), dim=-1) @ template.tokens.transpose(1, 2)
        similarity = similarity.unflatten(2, (-1, CORRELATED**2)).mean(dim=2)
        x = self.to_map(features + self.correlation(similarity))
        x = self.search_tokens(rearrange(x + self.mix(x), "b c y x -> b (y x) c"))
        hints = self.hints(hint)
        for block, key, value, shown in zip(self.blocks, template.keys, template.values, hints, strict=True):
            x = self.run(block.consult, x, (key, value), shown)
            x = self.run(block.feed_forward, x)
        return self.to_map(self.norm(x))
