"""The spatio-temporal query: what the network remembers of a target from frame to frame (spec query.md B).

It follows STTrack and ODTrack (arXiv:2401.01686) and adds three things:

- It remembers where the target was, in coordinates of the current search window.
- Memory is updated, frozen, decayed or reset according to the confidence of the frame.
- It changes the features by a bounded, gated amount that is zero before training.

A state is a value: `read` takes one, `write` returns the next. Names of submodules are those in the weights files.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

TRAJECTORY = 24  # last locations remembered
FAR = 2.0  # window sides: greatest distance of a location from the window's middle; farther ones are clamped
WIDTH = 1 / 16  # window sides: width of the position prior where the prediction is certain
CAUTION = 3.0  # by how much the prior widens for a prediction error of 1
FADE = 0.1  # weight of the newest error in the mean prediction error
REWIND = 5  # frames before a loss whose memories are removed together with those of the loss


@dataclass(frozen=True)
class QueryState:
    """What B queries of width d remember. Times count frames from the first.

    A centre_size is x, y of a target's centre and sqrt(w h), in px.

    Attributes:
        prior (B, d): the query after the last frames.
        memory (B, M, d): what was seen in the frames that were written. The first slot holds the first frame for ever.
        marks (B, M, 5), float32: centre_size, time and confidence of each slot; a slot of confidence 0 is empty.
        trajectory (B, L, 4), float32: centre_size and confidence of the last L frames, the newest last.
        prediction_error (B), float32: running mean of the distance between predicted and found centre, in window sides.
        lost (B), int64: frames in a row below the lower threshold.
        time (B), int64: frames so far.
    """

    prior: Tensor
    memory: Tensor
    marks: Tensor
    trajectory: Tensor
    prediction_error: Tensor
    lost: Tensor
    time: Tensor

    def each(self, work: Callable[[Tensor], Tensor]) -> "QueryState":
        """The state with `work` applied to every tensor."""
        return QueryState(*(work(tensor) for tensor in self.tensors()))

    def tensors(self) -> tuple[Tensor, ...]:
        """The tensors in the order of the attributes."""
        return tuple(vars(self).values())

    @staticmethod
    def join(states: Sequence["QueryState"]) -> "QueryState":
        """One state of all samples of several states."""
        if len(states) == 1:
            return states[0]
        return QueryState(*map(torch.cat, zip(*(state.tensors() for state in states), strict=True)))

    def split(self) -> list["QueryState"]:
        """The states of single samples; `join` is the inverse."""
        parts = (tensor.split(1) for tensor in self.tensors())
        return [QueryState(*each) for each in zip(*parts, strict=True)]

    def select(self, index: Any) -> "QueryState":
        """The state of the samples in `index` (list, or tensor of int or bool)."""
        return self.each(lambda tensor: tensor[index])

    def detach(self) -> "QueryState":
        """The same values without gradient."""
        return self.each(Tensor.detach)

    def to(self, device: Any) -> "QueryState":
        """The state on a device."""
        return self.each(lambda tensor: tensor.to(device))

    def reset(self, mask: Tensor) -> "QueryState":
        """The state with the samples where `mask` (B) bool is true as they were before their first frame."""
        return self.each(lambda tensor: tensor.masked_fill(mask.view(-1, *[1] * (tensor.ndim - 1)), 0))


class Readout(NamedTuple):
    """What the query read from a frame.

    Attributes:
        spatial (B, d): the query after the frame's search tokens.
        query (B, d): the query after the memory as well.
        gain (B, Lx): in (-1, 1), where the query asks the head to look; None without modulation.
        attention (B, Lx): attention over the search tokens, where asked for.
        expected (B, 4): prediction made before the frame was seen, in window sides: x and y from the window's middle,
            its uncertainty, and the mean prediction error of late.
        features (B, C, G, G): what it read them from; None where another engine did.
    """

    spatial: Tensor
    query: Tensor
    gain: Tensor | None
    attention: Tensor | None
    expected: Tensor
    features: Tensor | None = None


class Attend(nn.Module):
    """One query attends to given keys and values, then passes a feed-forward layer; pre-norm, residual.

    Args:
        dim: width d.
        heads: attention heads.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.query, self.proj = nn.LayerNorm(dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm2, self.mlp = nn.LayerNorm(dim), _mlp(dim, 2 * dim, dim)

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None = None) -> Tensor:
        """The query after attention.

        Args:
            x (B, d): the query.
            keys, values (B, N, d): of the tokens.
            mask (B, N): bool, true where it may look; None for everywhere.

        Returns:
            (B, d).
        """
        parts = map(self._split, (self.query(self.norm1(x))[:, None], keys, values))
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=None if mask is None else mask[:, None, None])
        x = x + self.proj(mixed.flatten(1))
        return x + self.mlp(self.norm2(x))

    def weights(self, x: Tensor, keys: Tensor) -> Tensor:
        """The attention weights of `forward`, mean over heads: (B, N)."""
        query, keys = map(self._split, (self.query(self.norm1(x))[:, None], keys))
        return (query @ keys.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(dim=-1).mean(dim=1)[:, 0]

    def _split(self, tokens):
        return rearrange(tokens, "b n (heads c) -> b heads n c", heads=self.heads)


class TemporalQuery(nn.Module):
    """The query of a tracker whose search tokens are (B, Lx, C) on a square grid.

    Args:
        channels: C.
        grid: cells a side, Lx = grid^2.
        dim: width d of the query, a multiple of 4 and of `heads`.
        heads: attention heads of the query.
        layers: times that it attends to the search tokens.
        slots: memories M; 1 keeps the first frame alone.
        trajectory: last locations L that it remembers.
        inject: also show the query to the search tokens in the backbone, see `hint`.
        modulate: let the query change the features that the head sees.
        write: confidence from which a frame is written to memory.
        hold: confidence below which a frame counts as lost. Between the two the prior moves half way.
        decay: factor of the prior in a lost frame.
        reset: lost frames in a row after which the prior and the last memories are removed.
        gradient: newest written frames through which a loss reaches back.

    Raises:
        ValueError: `dim` is no multiple of 4 and of `heads`.
    """

    def __init__(
        self,
        channels: int,
        grid: int,
        *,
        dim: int,
        heads: int,
        layers: int,
        slots: int,
        trajectory: int = TRAJECTORY,
        inject: bool,
        modulate: bool,
        write: float,
        hold: float,
        decay: float = 0.8,
        reset: int = 10,
        gradient: int = 2,
    ) -> None:
        super().__init__()
        if dim % heads or dim % 4:
            raise ValueError(f"query of width {dim}: expected a multiple of 4 and of its {heads} heads")
        self.dim, self.slots, self.trajectory = dim, slots, trajectory
        self.injects, self.modulates = inject, modulate
        self.thresholds, self.decay, self.reset, self.gradient = (write, hold), decay, reset, gradient
        self.first = nn.Parameter(0.02 * torch.randn(dim))
        self.way = _mlp(4 * trajectory, dim, dim)
        self.prior_norm = nn.LayerNorm(dim)
        self.prior_proj = nn.Linear(dim, dim)
        self.place = _mlp(dim, dim, 3)
        nn.init.zeros_(self.place[-1].weight)  # before training it predicts the last location
        nn.init.zeros_(self.place[-1].bias)
        self.keys_values = nn.Linear(channels, 2 * dim)
        self.position = nn.Parameter(_waves(grid, dim))
        self.looks = nn.ModuleList(Attend(dim, heads) for _ in range(layers))
        self.empty = nn.Parameter(0.02 * torch.randn(dim))  # a slot to attend to where no memory helps
        self.mark = _mlp(5, dim, dim)
        self.remember = Attend(dim, heads)
        self.memory_keys_values = nn.Linear(dim, 2 * dim)
        if inject:
            self.show = nn.Linear(dim, channels)
            self.loudness = nn.Parameter(torch.tensor(-8.0))  # before training the backbone hardly notices the hint
        if modulate:
            self.expect = nn.Linear(dim, dim)
            self.scale, self.shift = (nn.Parameter(torch.zeros(2, channels, 1, 1)) for _ in range(2))
        self.quality = _mlp(dim, dim, 1)
        nn.init.zeros_(self.quality[-1].weight)  # before training, confidence is the score's peak
        nn.init.zeros_(self.quality[-1].bias)

    def extra_repr(self) -> str:
        """What the modules do not show: the options (for the digest of an exported network)."""
        return f"thresholds={self.thresholds}, decay={self.decay}, reset={self.reset}, modulates={self.modulates}"

    def start(self, count: int, device: Any = None) -> QueryState:
        """The state of `count` samples before their first frame."""
        shapes = {"prior": (self.dim,), "memory": (self.slots, self.dim), "marks": (self.slots, 5)}
        shapes |= {"trajectory": (self.trajectory, 4), "prediction_error": ()}
        tensors = {name: torch.zeros(count, *shape, device=device) for name, shape in shapes.items()}
        lost, time = torch.zeros(2, count, dtype=torch.int64, device=device)
        return QueryState(**tensors, lost=lost, time=time)

    def expectation(self, state: QueryState, windows: Tensor) -> Tensor:
        """The query before the frame: the prior of the last frames, and the trajectory as seen from this window.

        Args:
            state: of B samples.
            windows (B, 3), float: centre and side of the search window (px).

        Returns:
            (B, d).
        """
        locations = _relative(state.trajectory[..., :3], windows)
        confidence = state.trajectory[..., 3:]
        trajectory = self.way(torch.cat([locations * (confidence > 0), confidence], dim=2).flatten(1))
        prior = self.prior_proj(self.prior_norm(state.prior)) * (state.prior != 0).any(1, keepdim=True)
        return self.first + prior + trajectory

    def hint(self, expectation: Tensor) -> tuple[Tensor, Tensor] | None:
        """The extra token for the backbone's blocks (Block.hinted); None without `inject`."""
        return (self.show(expectation), self.loudness) if self.injects else None

    def read(
        self, state: QueryState, expectation: Tensor, features: Tensor, windows: Tensor, attention: bool = False
    ) -> Readout:
        """Read a frame.

        Args:
            state: before the frame.
            expectation (B, d): of `expectation`.
            features (B, C, G, G): of the search crop.
            windows (B, 3): as for `expectation`.
            attention: whether the Readout includes the attention weights.
        """
        keys, values = self.keys_values(rearrange(features, "b c y x -> b (y x) c")).chunk(2, dim=2)
        keys = keys + self.position.to(keys.dtype)
        query, weights = expectation, None
        for attend in self.looks:
            weights = attend.weights(query, keys) if attention else None
            query = attend(query, keys, values)
        spatial = query

        marks = state.marks
        age = (state.time[:, None] - marks[..., 3]).clamp(min=0).log1p() / 5
        described = torch.cat([_relative(marks[..., :3], windows), age[..., None], marks[..., 4:]], dim=2)
        memory = torch.cat([self.empty.expand(query.shape[0], 1, -1), state.memory + self.mark(described)], dim=1)
        known = F.pad(marks[..., 4] > 0, (1, 0), value=True)
        query = self.remember(query, *self.memory_keys_values(memory).chunk(2, dim=2), known)
        logits = (keys @ self.expect(query)[:, :, None])[..., 0] / math.sqrt(self.dim) if self.modulates else None
        gain = None if logits is None else torch.tanh(logits.float() / 2)
        return Readout(spatial, query, gain, weights, self._expected(state, expectation, windows), features)

    def _expected(self, state, expectation, windows):
        dx_dy_spread = self.place(expectation).float()
        newest = state.trajectory[:, -1:]
        last = _relative(newest[..., :3], windows)[:, 0, :2] * (newest[:, 0, 3:] > 0)
        spread = 0.1 * dx_dy_spread[:, 2].clamp(-2.5, 2.0).exp()
        return torch.cat([last + dx_dy_spread[:, :2], spread[:, None], state.prediction_error[:, None]], dim=1)

    def modulate(self, features: Tensor, readout: Readout) -> Tensor:
        """Features (B, C, G, G), changed where the target is, or is not, expected (FiLM, arXiv:1709.07871)."""
        if not self.modulates:
            return features
        gain = readout.gain.view(-1, 1, *features.shape[2:])
        prior = position_prior(readout.expected, features.shape[-1])
        scale, shift = (gain * part[0] + prior * part[1] for part in (self.scale, self.shift))
        return features + scale * features + shift

    def judge(self, readout: Readout, score: Tensor) -> Tensor:
        """The confidence of a box, as the logit (B) of its overlap with the target; before training, the score's logit.

        Args:
            readout: of the frame.
            score (B): in (0, 1), with which the box was found.
        """
        return torch.logit(score.detach().float()) + self.quality(readout.query).float()[:, 0]

    def write(
        self, state: QueryState, readout: Readout, centre_size: Tensor, confidence: Tensor, windows: Tensor
    ) -> QueryState:
        """The state after the frame.

        Args:
            state: before the frame.
            readout: of `read`.
            centre_size (B, 3), float: where the target was found (px).
            confidence (B): in [0, 1]; no gradient flows through it.
            windows (B, 3): as for `expectation`.
        """
        centre_size, confidence = centre_size.detach().float(), confidence.detach().float()
        write, hold = self.thresholds
        time = state.time
        first = time == 0
        sure, lost = (confidence >= write) | first, (confidence < hold) & ~first
        query = readout.query.detach().float()
        share = torch.where(sure, 1.0, torch.where(lost, 0.0, 0.5))[:, None]
        prior = torch.where(lost[:, None], self.decay * state.prior, state.prior + share * (query - state.prior))
        memory, marks = self._push(state, readout.spatial.float(), centre_size, confidence, sure)
        newest = torch.cat([centre_size, confidence[:, None]], dim=1)
        trajectory = torch.cat([state.trajectory[:, 1:], newest[:, None]], dim=1)
        lost = torch.where(lost, state.lost + 1, 0)
        given_up = (lost >= self.reset)[:, None]
        # What was written shortly before a loss is likely to be what the target was mistaken for.
        recent = given_up & (marks[..., 3] > (time - self.reset - REWIND)[:, None])
        recent[:, 0] = False
        marks = marks.masked_fill(recent[..., None], 0.0)
        error = (_relative(centre_size[:, None], windows)[:, 0, :2] - readout.expected.detach()[:, :2]).norm(dim=1)
        error = torch.where(first, 0.0, state.prediction_error + FADE * (error - state.prediction_error))
        return QueryState(prior.masked_fill(given_up, 0.0), memory, marks, trajectory, error, lost, time + 1)

    def _push(self, state, seen, centre_size, confidence, sure):
        """(memory, marks) with the frame in the least valuable slot, where `sure` (B) bool."""
        memory, marks, time = state.memory, state.marks, state.time
        if self.slots == 1:
            slot = torch.zeros_like(time)
            sure = time == 0
        else:
            # Among the older half of the slots after the first, take the least confident one; an empty one comes first.
            age = torch.where(marks[:, 1:, 4] > 0, marks[:, 1:, 3], -1.0)
            older = age <= age.sort(dim=1).values[:, (self.slots - 2) // 2, None]
            slot = 1 + torch.where(older, marks[:, 1:, 4], torch.inf).argmin(dim=1)
            slot = torch.where(time == 0, 0, slot)
        here = (torch.arange(self.slots, device=time.device) == slot[:, None]) & sure[:, None]
        mark = torch.cat([centre_size, time[:, None].float(), confidence.clamp(min=1e-3)[:, None]], dim=1)
        marks = torch.where(here[..., None], mark[:, None], marks)
        if torch.is_grad_enabled():
            # Only the newest `gradient` memories, this frame included, keep their history.
            written = torch.where(marks[..., 4] > 0, marks[..., 3], -1.0)
            rank = written.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
            memory = torch.where((rank < self.gradient)[..., None], memory, memory.detach())
            if not self.gradient:
                seen = seen.detach()
        return torch.where(here[..., None], seen[:, None], memory), marks


def position_prior(expected: Tensor, cells: int) -> Tensor:
    """Where targets are expected, as maps with a peak of 1.

    The prior is as wide as the uncertainty and falls slowly, so a wrong prediction still shows the direction.

    Args:
        expected (B, 4): of a Readout.
        cells: cells a side.

    Returns:
        (B, 1, cells, cells) in (0, 1].
    """
    line = (torch.arange(cells, device=expected.device) + 0.5) / cells - 0.5
    square = (line - expected[:, :2, None]).square()
    width = WIDTH**2 + expected[:, 2].square() + (CAUTION * expected[:, 3]).square()
    return (1 / (1 + (square[:, 1, :, None] + square[:, 0, None, :]) / width[:, None, None]))[:, None]


def apply_position_prior(score_map: Tensor, expected: Tensor, influence: float) -> Tensor:
    """Geometric mean of a score map and the position prior: score^(1-g) * prior^g. A cell with zero score stays zero.

    Args:
        score_map (B, 1, H, H): in [0, 1].
        expected (B, 4): of a Readout.
        influence: g in [0, 1].

    Returns:
        (B, 1, H, H), whose peak is where the target is taken to be.
    """
    return score_map ** (1 - influence) * position_prior(expected, score_map.shape[-1]) ** influence


def _mlp(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def _relative(centre_size, windows):
    """Locations (B, N, 3) px relative to windows (B, 3) px: offset in sides, and the log of the relative size."""
    windows = windows[:, None].float()
    offset = ((centre_size[..., :2] - windows[..., :2]) / windows[..., 2:]).clamp(-FAR, FAR)
    return torch.cat([offset, (centre_size[..., 2:] / windows[..., 2:]).clamp(min=1e-3).log() / 4], dim=2)


def _waves(grid, dim):
    """(grid^2, dim) sines and cosines of the cells' coordinates, so that neighbouring cells have similar rows."""
    frequency = math.pi * 2 ** torch.linspace(0, math.log2(grid / 2), dim // 4)
    angle = (torch.arange(grid) + 0.5)[:, None] / grid * frequency
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    return torch.cat([waves.repeat(grid, 1), waves.repeat_interleave(grid, 0)], dim=1)
