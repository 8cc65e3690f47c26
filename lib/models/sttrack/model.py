"""The network of STTrack: it maps template, search crop and query to one box and the next query."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..parts.corner_head import CornerHead, CornerOutput, attended_map
from ..parts.imagenet import IMAGENET_MEAN, IMAGENET_STD
from ..parts.transformer import FeedForward, Tokens, Transformer, init_matrices
from ..stark.model import CropEncoder
from .memory import QueryState


class Readout(NamedTuple):
    """Query and features of B search crops, from which the corner head predicts a box.

    Attributes:
        spatial (B, C): output of the decoder for this frame.
        temporal (B, C): `spatial` after attention to the history. The head uses it, and it is the next frame's query.
        features (B, Lx, C): encoded tokens of the search crop.
        attention (B, M + 1): attention of the last temporal layer to the history, oldest first, and to this frame. It
            is the mean over the heads and sums to 1.
    """

    spatial: Tensor
    temporal: Tensor
    features: Tensor
    attention: Tensor


class TemporalLayer(FeedForward):
    """Attention to the history, then two linear layers, each added and normalised. The time order is not encoded.

    Args:
        heads: attention heads.
        dim, feedforward, dropout: see FeedForward.
    """

    def __init__(self, dim: int, heads: int, feedforward: int, dropout: float) -> None:
        super().__init__(dim, feedforward, dropout, norms=2)
        self.multihead_attn = nn.MultiheadAttention(dim, heads, dropout, batch_first=True)

    def forward(self, x: Tensor, history: Tensor, empty: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the new query and its attention.

        Args:
            x (B, 1, C): query of this frame.
            history (B, M, C): earlier queries that it attends to.
            empty (B, M): bool, true for entries that must not be attended to.

        Returns:
            The query (B, 1, C), and the attention (B, 1, M) as the mean over the heads.
        """
        attended, weights = self.multihead_attn(x, history, history, key_padding_mask=empty)
        x = self.norm1(x + self.dropout(attended))
        return self.norm2(x + self.transform(x)), weights


class TemporalDecoder(nn.Module):
    """The layers of the temporal interaction module, and a layer norm."""

    def __init__(self, layers: list[TemporalLayer], dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.norm = nn.LayerNorm(dim)

    def forward(self, x: Tensor, history: Tensor, empty: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the query (B, 1, C) and the attention (B, 1, M) of the last layer. Arguments: see TemporalLayer."""
        for layer in self.layers:
            x, weights = layer(x, history, empty)
        return self.norm(x), weights


class STTrack(CropEncoder):
    """STARK with a query that is passed from frame to frame and attends to the queries of earlier frames.

    A frame is processed by `readout`, `locate` and `write`. `step` calls the three, and `forward` processes a clip. The
    state is an argument and a result; the module keeps none between calls. The keys are those of the released code.

    The released code has the following faults. They are corrected here, and reproduced with `faithful`:

    - History. In the released training a frame also attends to itself, in the released tracker it does not. Here a
      frame attends only to earlier frames, in both. The first frame has no earlier one and attends to itself.
    - Length of the history. The released tracker keeps every frame of the video and of all videos before it. Cost and
      memory grow without bound, and the history is longer than in training. Here the last `history` frames are kept.
      The state of a new video is always empty, also with `faithful`; otherwise results would depend on the order of
      videos.
    - Window. The released head multiplies its attention map by w (1 - w) Hann, which is zero at the initial w = 1. The
      first box is then constant, and the transformer gets no gradient. Here the factor is (1 - w) + w Hann, and w
      starts at 0, where the factor is 1.
    - Hann window. The released window is periodic: its first row and column are zero, and its peak is half a cell off
      the centre. Here it is symmetric and nowhere zero, so a target at the border of the crop can be found.
    - Corners. In the released head the position of a cell is its upper left corner, so no corner lies beyond 0.95 of
      the crop. Here it is the cell's centre.

    Args:
        backbone: from normalised images (B, 3, H, W) to (B, backbone.channels, H / 16, W / 16); a FrozenResNet of
            "resnet50" in the release.
        dim: width C of the tokens; 256.
        heads: attention heads; 8.
        feedforward: width of the hidden layers; 2048.
        encoder_layers, decoder_layers: of the transformer; 6 each.
        temporal_layers: of the temporal interaction module; 2.
        dropout: share of values set to zero while training; 0.1.
        head_channels: width of the corner head; 256.
        history: number of earlier frames in the history, at least 1; frames of a training clip - 1.
        faithful: compute what the released code computes, for its checkpoints.
        image_mean, image_std (3): of R, G, B in [0, 1], by which images are normalised for the backbone.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        dim: int = 256,
        heads: int = 8,
        feedforward: int = 2048,
        encoder_layers: int = 6,
        decoder_layers: int = 6,
        temporal_layers: int = 2,
        dropout: float = 0.1,
        head_channels: int = 256,
        history: int = 5,
        faithful: bool = False,
        image_mean: tuple[float, ...] = IMAGENET_MEAN,
        image_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__(backbone, dim, image_mean, image_std)
        self.faithful, self.history = faithful, history
        self.window_penalty = nn.Parameter(torch.full((1,), 1.0 if faithful else 0.0))
        self.transformer = Transformer(dim, heads, feedforward, encoder_layers, decoder_layers, dropout)
        self.box_head = CornerHead(dim, head_channels, half_cell=not faithful)
        layers = [TemporalLayer(dim, heads, feedforward, dropout) for _ in range(temporal_layers)]
        self.update_head = nn.ModuleDict({"decoder": TemporalDecoder(layers, dim)})  # the released name
        init_matrices(self.update_head)
        self.query_embed = nn.Embedding(1, dim)

    def start(self, batch: int) -> QueryState:
        """The state before the first frame of `batch` videos, on the device of the weights."""
        query = self.query_embed.weight.expand(batch, -1)
        slots = 0 if self.faithful else self.history
        length = torch.zeros(batch, dtype=torch.int64, device=query.device)
        return QueryState(query, query.new_zeros(batch, slots, query.shape[1]), length)

    def readout(self, template: Tokens, search: Tokens, state: QueryState, itself: bool = False) -> Readout:
        """Compute the query of a frame from its tokens and from the history.

        Args:
            template: tokens of the template.
            search: tokens of a square search crop.
            state: state after the last frame.
            itself: whether the frame also attends to itself, as in the released training.
        """
        found, memory = self.transformer(Tokens.concatenate([template, search]), state.query[:, None])
        hidden = (state.length[:, None] > 0) & (not itself)
        history = torch.cat([state.history, found], dim=1)
        query, attention = self.update_head["decoder"](found, history, torch.cat([state.empty, hidden], dim=1))
        features = memory.features[:, -search.features.shape[1] :]
        return Readout(found[:, 0], query[:, 0], features, attention[:, 0])

    def locate(self, readout: Readout) -> CornerOutput:
        """Predict the box of a frame."""
        features, w = readout.features, self.window_penalty
        side = round(features.shape[1] ** 0.5)
        window = hann(side, self.faithful).to(features).flatten()[:, None]
        window = (1 - w) * (window * w) if self.faithful else (1 - w) + w * window
        return self.box_head(attended_map(features, readout.temporal[:, None], window))

    def write(self, state: QueryState, readout: Readout) -> QueryState:
        """The state for the next frame: the new query, and the history including this frame."""
        history = torch.cat([state.history, readout.spatial[:, None]], dim=1)
        length = state.length + 1
        if not self.faithful:
            history, length = history[:, 1:], length.clamp(max=self.history)
        return QueryState(readout.temporal, history, length)

    def step(
        self, template: Tokens, search: Tokens, state: QueryState, itself: bool = False
    ) -> tuple[CornerOutput, Readout, QueryState]:
        """Process one frame by `readout`, `locate` and `write`. Arguments: see `readout`."""
        readout = self.readout(template, search, state, itself)
        return self.locate(readout), readout, self.write(state, readout)

    def forward(
        self, template: Tensor, template_padding: Tensor, search: Tensor, search_padding: Tensor
    ) -> list[CornerOutput]:
        """Predict the boxes of a clip of N frames, in order. Gradients flow through all frames.

        Args:
            template (B, 3, Z, Z): RGB, uint8 or float in [0, 1].
            template_padding (B, z, z): bool, true beyond the border of the image.
            search (B, N, 3, S, S): RGB, uint8 or float in [0, 1].
            search_padding (B, N, s, s): bool, true beyond the border of the image.
        """
        seen = self.encode(template, template_padding)
        frames = search.transpose(0, 1).flatten(0, 1)  # the backbone processes all frames in one batch
        frames = self.encode(frames, search_padding.transpose(0, 1).flatten(0, 1))
        batch = len(template)
        return self.follow(seen, [Tokens(*parts) for parts in zip(*(t.split(batch) for t in frames), strict=True)])

    def follow(self, template: Tokens, frames: list[Tokens]) -> list[CornerOutput]:
        """Predict the boxes of a clip from the tokens of its template and of its N search crops."""
        state, found = self.start(len(template.features)), []
        for search in frames:
            output, _, state = self.step(template, search, state, itself=self.faithful)
            found.append(output)
        return found


def hann(cells: int, periodic: bool) -> Tensor:
    """A square Hann window, (cells, cells) float32 in [0, 1].

    Args:
        cells: side of the window, cells.
        periodic: the released window, which is zero in the first row and column, and 1 in cell `cells / 2`. Otherwise
            the window is symmetric and nowhere zero.
    """
    line = torch.hann_window(cells) if periodic else torch.hann_window(cells + 2, periodic=False)[1:-1]
    return line[:, None] * line
