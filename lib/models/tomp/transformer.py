"""A transformer with positions added to queries and keys in every layer (DETR, arXiv:2005.12872)."""

from torch import Tensor, nn


class EncoderLayer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual and layer norm after it.

    Args:
        width: channels C of a token.
        heads: attention heads.
        hidden: channels of the feed-forward network.
        dropout: rate.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor, positions: Tensor, ignored: Tensor | None) -> Tensor:
        """Update tokens (B, L, C) with positions of the same shape; ignored (B, L) bool marks keys nobody sees."""
        keys = tokens + positions
        seen = self.self_attn(keys, keys, tokens, key_padding_mask=ignored, need_weights=False)[0]
        tokens = self.norm1(tokens + self.dropout(seen))
        hidden = self.linear2(self.dropout(self.linear1(tokens).relu()))
        return self.norm2(tokens + self.dropout(hidden))


class DecoderLayer(nn.Module):
    """Self-attention of the queries, attention to the encoded tokens, and a feed-forward network. As EncoderLayer."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.multihead_attn = nn.MultiheadAttention(width, heads, dropout, batch_first=True)
        self.linear1, self.linear2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(width), nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(
        self, state: Tensor, query: Tensor, tokens: Tensor, positions: Tensor, ignored: Tensor | None
    ) -> Tensor:
        """Update the state (B, Q, C) of queries (B, Q, C) from encoded tokens (B, L, C)."""
        keys = state + query
        state = self.norm1(state + self.dropout(self.self_attn(keys, keys, state, need_weights=False)[0]))
        seen = self.multihead_attn(
            state + query, tokens + positions, tokens, key_padding_mask=ignored, need_weights=False
        )[0]
        state = self.norm2(state + self.dropout(seen))
        hidden = self.linear2(self.dropout(self.linear1(state).relu()))
        return self.norm3(state + self.dropout(hidden))


class _Stack(nn.Module):
    """Layers under the names of the released checkpoints."""

    def __init__(self, layers, norm=None):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        if norm is not None:
            self.norm = norm


class Transformer(nn.Module):
    """Encodes tokens and decodes queries from them.

    Args:
        width: channels C of a token.
        heads: attention heads.
        encoder_layers, decoder_layers: number of layers.
        hidden: channels of the feed-forward networks.
        dropout: rate.
    """

    def __init__(
        self, width: int, heads: int, encoder_layers: int, decoder_layers: int, hidden: int, dropout: float = 0.1
    ):
        super().__init__()
        self.encoder = _Stack([EncoderLayer(width, heads, hidden, dropout) for _ in range(encoder_layers)])
        layers = [DecoderLayer(width, heads, hidden, dropout) for _ in range(decoder_layers)]
        self.decoder = _Stack(layers, nn.LayerNorm(width))
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, tokens: Tensor, positions: Tensor, query: Tensor, ignored: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Encode and decode.

        Args:
            tokens (B, L, C): input.
            positions (B, L, C): encoding of the tokens' positions.
            query (B, Q, C): learned queries.
            ignored (B, L) bool: tokens that nobody sees. None for none.

        Returns:
            The decoded queries (B, Q, C) and the encoded tokens (B, L, C).
        """
        for layer in self.encoder.layers:
            tokens = layer(tokens, positions, ignored)
        state = query.new_zeros(query.shape)
        for layer in self.decoder.layers:
            state = layer(state, query, tokens, positions, ignored)
        return self.decoder.norm(state), tokens
