"""The transformer block: timm's weights, with attention that may also look at remembered tokens.

timm itself would take longer to import than torch.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn


class LayerScale(nn.Module):
    """A learned factor for each of `dim` channels, small at first (CaiT, arXiv:2103.17239)."""

    def __init__(self, dim):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x):
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm block of ViT (arXiv:2010.11929) in two halves, so that a caller can act between them.

    Submodules and state-dict keys are timm's: norm1, attn.{qkv,proj}, norm2, mlp.{fc1,fc2}; with layer scale, ls1, ls2.

    Args:
        dim: token width C.
        num_heads: attention heads h; C must be a multiple of it.
        drop_path: probability that a sample skips a half (training only; arXiv:1603.09382).
        layer_scale: scale each half by a learned vector (CaiT, DINOv2).
    """

    def __init__(self, dim, num_heads, *, drop_path=0.0, layer_scale=False):
        super().__init__()
        self.num_heads, self.drop_path = num_heads, drop_path
        # In timm's order as well: an optimiser's state goes by the order of the parameters.
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.ls1 = LayerScale(dim) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        layers = OrderedDict(fc1=nn.Linear(dim, 4 * dim), act=nn.GELU(), fc2=nn.Linear(4 * dim, dim))
        self.mlp = nn.Sequential(layers)
        self.ls2 = LayerScale(dim) if layer_scale else nn.Identity()

    def attend(self, x, memory=None, hint=None):
        """First half: every token of x sees x, and the tokens of `memory` before them.

        Args:
            x: (B, N, C).
            memory: (key, value), each (B, h, M, C/h), of tokens that are seen but not updated; None for none.
            hint: see `hinted`; None for none.

        Returns:
            (B, N, C), and this layer's (query, key, value) of x, each (B, h, N, C/h).
        """
        B, N, C = x.shape
        heads = self.num_heads
        qkv = self.attn.qkv(self.norm1(x)).reshape(B, N, 3, heads, C // heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = (key, value)
        if memory is not None:
            seen = [torch.cat(pair, dim=2) for pair in zip(memory, seen, strict=True)]
        mixed = self._mix(query, seen, hint)
        return x + self._kept(self.ls1(self.attn.proj(mixed))), (query, key, value)

    def consult(self, x, memory, hint=None):
        """First half for tokens that see `memory` and `hint` alone, not each other: (B, N, C) -> (B, N, C)."""
        B, N, C = x.shape
        heads = self.num_heads
        weight, bias = self.attn.qkv.weight[:C], self.attn.qkv.bias[:C]  # the query's rows
        query = F.linear(self.norm1(x), weight, bias).reshape(B, N, heads, C // heads).transpose(1, 2)
        return x + self._kept(self.ls1(self.attn.proj(self._mix(query, memory, hint))))

    def hinted(self, token, bias):
        """A token (B, C) as a `hint`: what it gives to a token that sees it is weighted by a sigmoid of their product.

        Not by the softmax over all that is seen: so a hint with a low bias (scalar) takes nothing from the others.
        """
        key, value = (
            self.attn.qkv(self.norm1(token))[:, token.shape[1] :].unflatten(1, (2, self.num_heads, 1, -1)).unbind(1)
        )
        return key, value, bias

    def _mix(self, query, memory, hint):
        """What queries (B, h, N, C/h) find in (key, value), and in a hint: (B, N, C)."""
        mixed = F.scaled_dot_product_attention(query, *memory)
        if hint is not None:
            key, value, bias = hint
            mixed = mixed + torch.sigmoid(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + bias) * value
        return mixed.transpose(1, 2).flatten(2)

    def _kept(self, x):
        """x (B, N, C) of the samples that do not skip this half, made up for those that do; zero of the others."""
        if not (self.training and self.drop_path):
            return x
        keep = 1 - self.drop_path
        return x * (x.new_empty(len(x), 1, 1).bernoulli_(keep) / keep)

    def feed_forward(self, x):
        """Second half, token by token: (B, N, C) -> (B, N, C)."""
        return x + self._kept(self.ls2(self.mlp(self.norm2(x))))

    def forward(self, x, memory=None):
        """Both halves: (B, N, C) -> (B, N, C)."""
        return self.feed_forward(self.attend(x, memory)[0])
