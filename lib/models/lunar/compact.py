"""The compact network: convolutional features at stride 8, correlation with the target, two blocks of attention."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.init import trunc_normal_

from ..layers.head import conv_bn_relu, separable
from .backbone import OneStreamViT

STRIDE = 8
TEMPLATE, SEARCH = 0, 1
CORRELATED = 8  # cells a side of the template that search features are correlated with


class SharedConv(nn.Module):
    """3x3 convolution shared by template and search crop, with a batch norm for each: their statistics differ much.

    Args:
        inputs, outputs: channels.
        stride: 1 or 2; with 1 the input is added to the output.
    """

    def __init__(self, inputs, outputs, stride=1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])
        self.residual = stride == 1

    def forward(self, x, kind):
        """(B, inputs, H, W) -> (B, outputs, H / stride, W / stride); kind: TEMPLATE or SEARCH."""
        out = self.norms[kind](self.conv(x))
        return F.relu(x + out if self.residual else out)


class Stem(nn.Module):
    """Crops (B, 3, S, S) to tokens (B, (S/8)^2, C), row-major, in C/4, C/2 and C channels at strides 2, 4 and 8."""

    def __init__(self, embed_dim):
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

    def forward(self, images, kind):
        x = images.contiguous(memory_format=torch.channels_last)  # oneDNN's fast layout on CPUs, cuDNN's for bf16
        for layer in self.layers:
            x = layer(x, kind)
        return self.proj(x.flatten(2).transpose(1, 2))


class TrunkStem(nn.Module):
    """Crops (B, 3, S, S) to tokens (B, (S/8)^2, C), row-major, from a pretrained trunk with strides 4, 8 and 16.

    The map at stride 4 keeps its detail: each 2 x 2 cells become channels. The map at stride 16 is enlarged. Their 1x1
    convolutions are summed at stride 8.

    Args:
        embed_dim: channels C.
        trunk: see lib/models/lunar/trunk.py.
    """

    def __init__(self, embed_dim, trunk):
        super().__init__()
        self.trunk = trunk
        widths = [
            channels * (STRIDE // stride) ** 2 if stride < STRIDE else channels
            for stride, channels in trunk.channels.items()
        ]
        self.laterals = nn.ModuleList(nn.Conv2d(width, embed_dim, 1, bias=False) for width in widths)
        self.norms = nn.ModuleList([nn.BatchNorm2d(embed_dim), nn.BatchNorm2d(embed_dim)])
        self.proj = nn.Linear(embed_dim, embed_dim)

    def forward(self, images, kind):
        fine, middle, coarse = self.trunk(images)
        fine, middle, coarse = (
            lateral(x) for lateral, x in zip(self.laterals, (F.pixel_unshuffle(fine, 2), middle, coarse), strict=True)
        )
        x = fine + middle + F.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        return self.proj(F.relu(self.norms[kind](x)).flatten(2).transpose(1, 2))


class CompactHybrid(OneStreamViT):
    """One-way OneStreamViT on the tokens of a convolutional stem, to which correlation with the target is added.

    Each search token is told its cosine similarity to every template token, weighted by how much of that token's cell
    the target covers (pixel-wise correlation, Alpha-Refine, arXiv:2012.06815); several templates are averaged. A
    convolution then spreads what was found to the neighbours. In the blocks, search tokens attend to the template's
    tokens alone: attention to each other as well took a fifth more time and at equal time (one run) learned less.

    What is remembered of the templates is as in OneStreamViT with attention="one_way", only that `tokens` of the state
    holds their unit features times the mask, for the correlation.

    Args:
        trunk: a pretrained trunk (lib/models/lunar/trunk.py) whose features the tokens are made of; None for a stem of
            3x3 convolutions.

    See OneStreamViT for the other arguments and for what the methods take and return; the stride is 8 px.
    """

    def __init__(self, *, template_size=64, search_size=128, trunk=None, **options):
        super().__init__(
            patch_size=STRIDE, template_size=template_size, search_size=search_size, attention="one_way", **options
        )
        self.patch_embed = Stem(self.embed_dim) if trunk is None else TrunkStem(self.embed_dim, trunk)
        self.correlation = nn.Linear(CORRELATED**2, self.embed_dim)
        mixed = conv_bn_relu if trunk is None else partial(separable, kernel=5)
        self.mix = mixed(self.embed_dim, self.embed_dim)

    def _initialise(self):
        # torch's larger start for linear layers suits a few narrow layers; 0.02 is made for deep, wide ones.
        for parameter in self.parameters(recurse=False):
            trunc_normal_(parameter, std=0.02)

    def encode_template(self, templates, masks=None):
        if masks is None:
            raise ValueError("correlation needs the masks of the templates (template_mask)")
        B, T = templates.shape[:2]
        features = self.patch_embed(templates.flatten(0, 1), TEMPLATE).unflatten(0, (B, T))
        target = F.normalize(features.float(), dim=-1) * masks.unsqueeze(-1)
        return self._remember(features, masks)._replace(tokens=self._correlated(target).flatten(1, 2))

    def _correlated(self, target):
        """(B, T, Lz, C) -> (B, T, CORRELATED^2, C): the mean of the cells of a larger template that fall together."""
        if self.template_grid == CORRELATED:
            return target
        grid = target.flatten(0, 1).transpose(1, 2).unflatten(2, (self.template_grid, self.template_grid))
        pooled = F.adaptive_avg_pool2d(grid, CORRELATED).flatten(2).transpose(1, 2)
        return pooled.unflatten(0, target.shape[:2])

    def forward(self, template, search, hint=None):
        features = self.patch_embed(search, SEARCH)
        similarity = F.normalize(features.float(), dim=-1) @ template.tokens.transpose(1, 2)
        similarity = similarity.unflatten(2, (-1, CORRELATED**2)).mean(dim=2)
        x = (features + self.correlation(similarity)).transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))
        return self._look(template, (x + self.mix(x)).flatten(2).transpose(1, 2), hint)

    def _one_way(self, template, x, hints):
        for block, key, value, hint in zip(self.blocks, template.keys, template.values, hints, strict=True):
            x = self._run(block.consult, x, (key, value), hint)
            x = self._run(block.feed_forward, x)
        return self.norm(x)
