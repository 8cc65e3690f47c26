"""Encoder and decoder of DETR (arXiv:2005.12872), post-norm, with positions added to queries and keys only.

Sequences are batch first, (B, L, C). Keys of the state dict are DETR's.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .positions import sine_positions


class Tokens(NamedTuple):
    """A sequence of L tokens, from one feature map or from several in a row.

    Attributes:
        features (B, L, C): the features.
        positions (B, L, C): position encoding, added to the features in queries and keys.
        padding (B, L): bool, true for tokens that no token may attend to; None if there are none.
    """

    features: Tensor
    positions: Tensor
    padding: Tensor | None

    @staticmethod
    def of_map(features: Tensor, padding: Tensor) -> "Tokens":
        """Turn a feature map into tokens, row by row, with sine positions.

        Args:
            features (B, C, H, W): the map.
            padding (B, h, w): bool, true outside the image, in any resolution. Each cell takes the value at its upper
                left corner (nearest neighbour, as in DETR).

        Returns:
            Tokens with L = H * W.
        """
        padding = functional.interpolate(padding[:, None].float(), features.shape[-2:]).squeeze(1) > 0.5
        positions = sine_positions(padding, features.shape[1]).to(features.dtype)
        return Tokens(features.flatten(2).transpose(1, 2), positions.flatten(2).transpose(1, 2), padding.flatten(1))

    @staticmethod
    def concatenate(parts: Sequence["Tokens"]) -> "Tokens":
        """Concatenate sequences of the same batch, in their order."""
        return Tokens(*(torch.cat(tensors, dim=1) for tensors in zip(*parts, strict=True)))

    @staticmethod
    def join(states: Sequence["Tokens"]) -> "Tokens":
        """Concatenate batches of sequences of equal length."""
        return Tokens(*(torch.cat(tensors) for tensors in zip(*states, strict=True)))

    def select(self, index: Tensor | list[int]) -> "Tokens":
        """The sequences of the samples that `index` names."""
        return Tokens(*(tensor[index] for tensor in self))


class FeedForward(nn.Module):
    """Base of the layers below: two linear layers with ReLU, dropout, and layer norms.

    Args:
        dim: width C.
        feedforward: width between the two linear layers.
        dropout: share of values set to zero while training.
        norms: number of layer norms.
    """

    def __init__(self, dim: int, feedforward: int, dropout: float, norms: int) -> None:
        super().__init__()
        self.linear1, self.linear2 = nn.Linear(dim, feedforward), nn.Linear(feedforward, dim)
        self.dropout = nn.Dropout(dropout)
        for number in range(1, norms + 1):
            self.add_module(f"norm{number}", nn.LayerNorm(dim))

    def transform(self, x: Tensor) -> Tensor:
        """The two linear layers, (B, L, C) -> (B, L, C)."""
        return self.dropout(self.linear2(self.dropout(functional.relu(self.linear1(x)))))


class EncoderLayer(FeedForward):
    """Self-attention over all tokens, then the two linear layers, each added and normalised.

    Args:
        heads: attention heads.
        dim, feedforward, dropout: see FeedForward.
    """

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(dim, feedforward, dropout, norms=2)
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)

    def forward(self, tokens: Tokens) -> Tokens:
        """The same tokens with new features."""
        x, positions, padding = tokens
        placed = x + positions
        attended, _ = self.self_attn(placed, placed, x, key_padding_mask=padding, need_weights=False)
        x = self.norm1(x + self.dropout(attended))
        return tokens._replace(features=self.norm2(x + self.transform(x)))


class DecoderLayer(FeedForward):
    """Self-attention of the queries, attention to the tokens, then the two linear layers, each added and normalised.

    Args:
        heads: attention heads.
        dim, feedforward, dropout: see FeedForward.
    """

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(dim, feedforward, dropout, norms=3)
        self.self_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)

    def forward(self, x: Tensor, query: Tensor, memory: Tokens) -> Tensor:
        """Features of the queries.

        Args:
            x (B, N, C): features of the queries from the layer before.
            query (B, N, C): position encodings of the queries.
            memory: encoded tokens.

        Returns:
            (B, N, C).
        """
        placed = x + query
        attended, _ = self.self_attn(placed, placed, x, need_weights=False)
        x = self.norm1(x + self.dropout(attended))
        attended, _ = self.multihead_attn(
            x + query,
            memory.features + memory.positions,
            memory.features,
            key_padding_mask=memory.padding,
            need_weights=False,
        )
        x = self.norm2(x + self.dropout(attended))
        return self.norm3(x + self.transform(x))


class Encoder(nn.Module):
    """Encoder layers in sequence. There is no final norm because each layer ends with one."""

    def __init__(self, layers: Sequence[EncoderLayer]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, tokens: Tokens) -> Tokens:
        """The same tokens with new features."""
        for layer in self.layers:
            tokens = layer(tokens)
        return tokens


class Decoder(nn.Module):
    """Decoder layers in sequence, and a layer norm. The features of the queries start at zero."""

    def __init__(self, layers: Sequence[DecoderLayer], dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)

    def forward(self, query: Tensor, memory: Tokens) -> Tensor:
        """Features (B, N, C) of queries (B, N, C), read from the encoder's tokens."""
        x = torch.zeros_like(query)
        for layer in self.layers:
            x = layer(x, query, memory)
        return self.norm(x)


class Transformer(nn.Module):
    """Encoder over all tokens and decoder of a few queries.

    Args:
        dim: width C, a multiple of 4 and of `heads`.
        heads: attention heads.
        feedforward: width between the two linear layers of each layer.
        encoder_layers, decoder_layers: numbers of layers.
        dropout: share of values set to zero while training.
    """

    def __init__(
        self, dim: int, heads: int, feedforward: int, encoder_layers: int, decoder_layers: int, dropout: float
    ) -> None:
        super().__init__()
        sizes = (dim, heads, feedforward, dropout)
        self.encoder = Encoder([EncoderLayer(*sizes) for _ in range(encoder_layers)])
        self.decoder = Decoder([DecoderLayer(*sizes) for _ in range(decoder_layers)], dim)
        init_matrices(self)

    def forward(self, tokens: Tokens, query: Tensor) -> tuple[Tensor, Tokens]:
        """Encode tokens and read queries from them.

        Args:
            tokens: the tokens. If all tokens of a sample are padding, its padding is ignored, because attention to no
                token is NaN.
            query (B, N, C): the queries.

        Returns:
            Features of the queries (B, N, C), and the encoded tokens.
        """
        if tokens.padding is not None:
            tokens = tokens._replace(padding=tokens.padding & ~tokens.padding.all(dim=1, keepdim=True))
        memory = self.encoder(tokens)
        return self.decoder(query, memory), memory


def init_matrices(module: nn.Module) -> None:
    """Initialise all matrices of a module as DETR does (Glorot uniform), in place."""
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.xavier_uniform_(parameter)
