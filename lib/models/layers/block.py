"""The transformer block: timm's weights, with attention that may also look at remembered tokens."""

from functools import partial

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import Block as TimmBlock
from torch import nn


class Block(TimmBlock):
    """Pre-norm block of ViT (arXiv:2010.11929) in two halves, so that a caller can act between them.

    Submodules and state-dict keys are timm's: norm1, attn.{qkv,proj}, norm2, mlp.{fc1,fc2}; with layer scale, ls1, ls2.

    Args:
        dim: token width C.
        num_heads: attention heads h; C must be a multiple of it.
        drop_path: probability that a sample skips a half (training only).
        layer_scale: scale each half by a learned vector (CaiT, DINOv2).
    """

    def __init__(self, dim, num_heads, *, drop_path=0.0, layer_scale=False):
        super().__init__(
            dim,
            num_heads,
            qkv_bias=True,
            drop_path=drop_path,
            init_values=1e-5 if layer_scale else None,
            norm_layer=partial(nn.LayerNorm, eps=1e-6),
        )

    def attend(self, x, memory=None):
        """First half: every token of x sees x, and the tokens of `memory` before them.

        Args:
            x: (B, N, C).
            memory: (key, value), each (B, h, M, C/h), of tokens that are seen but not updated; None for none.

        Returns:
            (B, N, C), and this layer's (query, key, value) of x, each (B, h, N, C/h).
        """
        B, N, C = x.shape
        heads = self.attn.num_heads
        qkv = self.attn.qkv(self.norm1(x)).reshape(B, N, 3, heads, C // heads)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        seen = (key, value)
        if memory is not None:
            seen = [torch.cat(pair, dim=2) for pair in zip(memory, seen, strict=True)]
        mixed = F.scaled_dot_product_attention(query, *seen).transpose(1, 2).reshape(B, N, C)
        return x + self.drop_path1(self.ls1(self.attn.proj(mixed))), (query, key, value)

    def consult(self, x, memory):
        """First half for tokens that see `memory` alone, not each other: (B, N, C) -> (B, N, C)."""
        B, N, C = x.shape
        heads = self.attn.num_heads
        weight, bias = self.attn.qkv.weight[:C], self.attn.qkv.bias[:C]  # the query's rows
        query = F.linear(self.norm1(x), weight, bias).reshape(B, N, heads, C // heads).transpose(1, 2)
        mixed = F.scaled_dot_product_attention(query, *memory).transpose(1, 2).reshape(B, N, C)
        return x + self.drop_path1(self.ls1(self.attn.proj(mixed)))

    def feed_forward(self, x):
        """Second half, token by token: (B, N, C) -> (B, N, C)."""
        return x + self.drop_path2(self.ls2(self.mlp(self.norm2(x))))

    def forward(self, x, memory=None):
        """Both halves: (B, N, C) -> (B, N, C)."""
        return self.feed_forward(self.attend(x, memory)[0])
