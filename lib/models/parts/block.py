"""The transformer block of timm's ViT, with attention that can also include remembered tokens.

It is written here because importing timm takes longer than importing torch.
"""

from collections import OrderedDict

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class LayerScale(nn.Module):
    """A learned factor for each channel, small at first (CaiT, arXiv:2103.17239).

    Args:
        dim: channels.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), 1e-5))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> the same."""
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm block of ViT (arXiv:2010.11929), split into two halves so that a caller can act between them.

    Submodules and state-dict keys are timm's: norm1, attn.{qkv,proj}, norm2, mlp.{fc1,fc2}; with layer scale, ls1, ls2.

    Args:
        dim: token width C.
        num_heads: attention heads h; C must be a multiple of it.
        drop_path: probability that a sample skips a half (training only; arXiv:1603.09382).
        layer_scale: whether each half is scaled by a learned vector (CaiT, DINOv2).
        hidden: width of the second half's hidden layer; None for 4 C.
    """

    def __init__(
        self,
        dim: int,
        num_heads: int,
        *,
        drop_path: float = 0.0,
        layer_scale: bool = False,
        hidden: int | None = None,
    ) -> None:
        super().__init__()
        self.num_heads, self.drop_path = num_heads, drop_path
        # In timm's order, because an optimiser's state depends on the order of the parameters.
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(dim, 3 * dim), "proj": nn.Linear(dim, dim)})
        self.ls1 = LayerScale(dim) if layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        hidden = hidden or 4 * dim
        layers = OrderedDict(fc1=nn.Linear(dim, hidden), act=nn.GELU(), fc2=nn.Linear(hidden, dim))
        self.mlp = nn.Sequential(layers)
        self.ls2 = LayerScale(dim) if layer_scale else nn.Identity()

    def attend(
        self, x: Tensor, memory: tuple[Tensor, Tensor] | None = None, hint: tuple | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor]]:
        """First half: every token of x attends to x and to the tokens of `memory`.

        Args:
            x (B, N, C): the tokens.
            memory: (key, value), each (B, h, M, C/h), of tokens that are attended to but not updated; None for none.
            hint: result of `hinted`; None for none.

        Returns:
            The tokens (B, N, C), and this layer's (query, key, value) of x, each (B, h, N, C/h).
        """
        qkv = self.attn.qkv(self.norm1(x))
        query, key, value = rearrange(qkv, "b n (three heads c) -> three b heads n c", three=3, heads=self.num_heads)
        seen = (key, value)
        if memory is not None:
            seen = [torch.cat(pair, dim=2) for pair in zip(memory, seen, strict=True)]
        mixed = self._mix(query, seen, hint)
        return x + self._kept(self.ls1(self.attn.proj(mixed))), (query, key, value)

    def consult(self, x: Tensor, memory: tuple[Tensor, Tensor], hint: tuple | None = None) -> Tensor:
        """First half for tokens (B, N, C) that attend only to `memory` and `hint`, not to each other: (B, N, C)."""
        C = x.shape[2]
        weight, bias = self.attn.qkv.weight[:C], self.attn.qkv.bias[:C]  # the query's rows
        query = rearrange(F.linear(self.norm1(x), weight, bias), "b n (heads c) -> b heads n c", heads=self.num_heads)
        return x + self._kept(self.ls1(self.attn.proj(self._mix(query, memory, hint))))

    def hinted(self, token: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Convert an extra token to a `hint` for the other tokens.

        Attention to it has its own sigmoid gate instead of a share of the softmax, so with a low bias ordinary
        attention is unchanged.

        Args:
            token (B, C): the extra token.
            bias: scalar, added to the gate's logit.

        Returns:
            Its key and value, each (B, h, 1, C/h), and the bias.
        """
        key_value = self.attn.qkv(self.norm1(token))[:, token.shape[1] :]
        key, value = rearrange(key_value, "b (two heads c) -> two b heads 1 c", two=2, heads=self.num_heads)
        return key, value, bias

    def _mix(self, query, memory, hint):
        """Attention of queries (B, h, N, C/h) to (key, value) and to a hint: (B, N, C)."""
        mixed = F.scaled_dot_product_attention(query, *memory)
        if hint is not None:
            key, value, bias = hint
            mixed = mixed + torch.sigmoid(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 + bias) * value
        return rearrange(mixed, "b heads n c -> b n (heads c)")

    def _kept(self, x):
        """Drop path: x (B, N, C) is zero for samples that skip this half, and scaled up for the others."""
        if not (self.training and self.drop_path):
            return x
        keep = 1 - self.drop_path
        return x * (x.new_empty(len(x), 1, 1).bernoulli_(keep) / keep)

    def feed_forward(self, x: Tensor) -> Tensor:
        """Second half, token by token: (B, N, C) -> (B, N, C)."""
        return x + self._kept(self.ls2(self.mlp(self.norm2(x))))

    def forward(self, x: Tensor, memory: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Both halves: (B, N, C) -> (B, N, C)."""
        return self.feed_forward(self.attend(x, memory)[0])
