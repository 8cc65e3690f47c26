"""The Token Enhancer: a small transformer on the tokens of a search crop, for night."""

import torch
from einops import rearrange
from torch import Tensor, nn

from ..parts.block import Block


class TokenEnhancer(nn.Module):
    """Changes the search features that the head reads, the target's more than the background's.

    The plug-in of the authors of NT-VOT211 ("A Comprehensive Benchmark for Evaluating Night-time Visual Object
    Tracking", IJCV 134:21, 2026) works on the output tokens of a tracker. It has self-attention, a bottleneck, a
    sigmoid gate and suppression of background tokens. How these are joined is ours: each token is `x`, the block
    makes it `y`, and the gate g in (0, 1) of each token gives (x + g (y - x)) (1 - s (1 - g)) with one learned s.
    At first y = x and s = 0, so that a trained tracker stays as it is.

    Args:
        dim: width C of the tokens.
        heads: attention heads; C must be a multiple of it.
        hidden: width of the bottleneck.
    """

    def __init__(self, dim: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.block = Block(dim, heads, hidden=hidden)
        self.gate = nn.Linear(dim, 1)
        self.suppression = nn.Parameter(torch.zeros(()))
        for layer in (self.block.attn.proj, self.block.mlp.fc2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, G, G) -> the same shape."""
        x = rearrange(features, "b c y x -> b (y x) c")
        y = self.block(x)
        gate = torch.sigmoid(self.gate(y))
        x = (x + gate * (y - x)) * (1 - self.suppression * (1 - gate))
        return rearrange(x, "b (y x) c -> b c y x", y=features.shape[2])
