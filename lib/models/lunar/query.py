"""The spatio-temporal query: what the network knows of a target, carried from frame to frame (spec query.md B).

After STTrack and ODTrack (arXiv:2401.01686), with what those lack: the query also remembers where the target was, in
coordinates of the window looked at now; it is written, held or given up by confidence; and it changes the features by a
bounded, gated amount that is nothing before training. A state is a value: `read` takes one, `write` returns the next.
"""

import math
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FAR = 2.0  # window sides: a place farther off counts as that far
WIDTH = 1 / 16  # window sides, of a hill whose place is certain
CAUTION = 3.0  # widths of a hill for a mean error of 1
FADE = 0.1  # weight of the newest error in that mean
REWIND = 5  # frames before a loss whose memories are given up with those of the loss itself


@dataclass(frozen=True)
class QueryState:
    """What B queries of width d know. Times count frames from the first; places are x, y of the centre and sqrt(w h).

    prior: (B, d), the query that the last frames left behind. memory: (B, M, d), what was seen at the frames written;
    the first slot is the first frame's and stays. marks: (B, M, 5) float32, place (px), time and confidence of each; a
    slot of confidence 0 is empty. trail: (B, L, 4) float32, place (px) and confidence of the last L frames, the newest
    last. surprise: (B,) float32, how far the target was from where it was expected, in window sides, the mean over the
    last frames. lost: (B,) int64, frames in a row below the lower threshold. time: (B,) int64, frames so far.
    """

    prior: Tensor
    memory: Tensor
    marks: Tensor
    trail: Tensor
    surprise: Tensor
    lost: Tensor
    time: Tensor

    def each(self, work):
        """The state with `work` done to every tensor."""
        return QueryState(*(work(getattr(self, field.name)) for field in fields(self)))

    @staticmethod
    def join(states):
        """One state of all samples of several."""
        if len(states) == 1:
            return states[0]
        return QueryState(*(torch.cat([getattr(s, field.name) for s in states]) for field in fields(QueryState)))

    def split(self):
        """The states of single samples; join is its inverse."""
        parts = (getattr(self, field.name).split(1) for field in fields(self))
        return [QueryState(*each) for each in zip(*parts, strict=True)]

    def select(self, index):
        """The state of the samples that `index` (list, tensor of int or bool) names."""
        return self.each(lambda tensor: tensor[index])

    def detach(self):
        return self.each(Tensor.detach)

    def to(self, device):
        return self.each(lambda tensor: tensor.to(device))

    def reset(self, mask):
        """As before the first frame where `mask` (B,) bool is true."""
        return self.each(lambda tensor: tensor.masked_fill(mask.view(-1, *[1] * (tensor.ndim - 1)), 0))


class Look(NamedTuple):
    """What the query made of a frame.

    spatial: (B, d), the query after the frame. query: (B, d), after the memory as well. gain: (B, Lx) in (-1, 1), where
    the query wants the head to look; None without modulation. attention: (B, Lx), what was looked at, where asked for.
    expected: (B, 4), where the target was expected before the frame was seen: x, y from the window's middle, how far
    off it may well be, and how far off it has been of late, in window sides.
    """

    spatial: Tensor
    query: Tensor
    gain: Tensor | None
    attention: Tensor | None
    expected: Tensor


class Attend(nn.Module):
    """One query attends to given keys and values, then a feed-forward; pre-norm, residual."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.query, self.proj = nn.LayerNorm(dim), nn.Linear(dim, dim), nn.Linear(dim, dim)
        self.norm2, self.mlp = nn.LayerNorm(dim), _mlp(dim, 2 * dim, dim)

    def forward(self, x, keys, values, mask=None):
        """x (B, d), keys and values (B, N, d), mask (B, N) bool, true where it may look -> (B, d)."""
        parts = map(self._split, (self.query(self.norm1(x))[:, None], keys, values))
        mixed = F.scaled_dot_product_attention(*parts, attn_mask=None if mask is None else mask[:, None, None])
        x = x + self.proj(mixed.flatten(1))
        return x + self.mlp(self.norm2(x))

    def weights(self, x, keys):
        """(B, N), the attention of `forward`, mean over heads."""
        query, keys = map(self._split, (self.query(self.norm1(x))[:, None], keys))
        return (query @ keys.transpose(2, 3) / math.sqrt(query.shape[-1])).softmax(dim=-1).mean(dim=1)[:, 0]

    def _split(self, tokens):
        """(B, N, d) -> (B, heads, N, d / heads)."""
        return tokens.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TemporalQuery(nn.Module):
    """The query of a tracker whose search tokens are (B, Lx, C) on a square grid.

    Args:
        channels: C.
        grid: cells a side, Lx = grid^2.
        dim, heads: width d of the query and heads of its attention.
        layers: times that it looks at the search tokens.
        slots, trail: memories M (1 = the first frame alone) and last places L.
        inject: also show the query to the search tokens in the backbone, see `hint`.
        modulate: let the query change the features that the head sees.
        write, hold: confidence from which a frame is remembered, and below which it counts as lost; between the two the
            prior goes half-way.
        decay: factor of the prior in a lost frame.
        reset: lost frames in a row after which the prior and the last memories are given up.
        gradient: newest memories through which a loss reaches back to the frames that were written.

    Raises:
        ValueError: sizes that do not go together.
    """

    def __init__(
        self,
        channels,
        grid,
        *,
        dim=96,
        heads=3,
        layers=1,
        slots=6,
        trail=24,
        inject=False,
        modulate=True,
        write=0.6,
        hold=0.35,
        decay=0.8,
        reset=10,
        gradient=2,
    ):
        super().__init__()
        if dim % heads or dim % 4:
            raise ValueError(f"query of width {dim}: expected a multiple of 4 and of its {heads} heads")
        self.dim, self.slots, self.trail = dim, slots, trail
        self.injects, self.modulates = inject, modulate
        self.thresholds, self.decay, self.reset, self.gradient = (write, hold), decay, reset, gradient
        self.first = nn.Parameter(0.02 * torch.randn(dim))
        self.way = _mlp(4 * trail, dim, dim)
        self.prior_norm = nn.LayerNorm(dim)
        self.prior_proj = nn.Linear(dim, dim)
        self.place = _mlp(dim, dim, 3)
        nn.init.zeros_(self.place[-1].weight)  # at first: where it was, give or take
        nn.init.zeros_(self.place[-1].bias)
        self.keys_values = nn.Linear(channels, 2 * dim)
        self.position = nn.Parameter(_waves(grid, dim))
        self.looks = nn.ModuleList(Attend(dim, heads) for _ in range(layers))
        self.empty = nn.Parameter(0.02 * torch.randn(dim))  # to attend to where no memory helps
        self.mark = _mlp(5, dim, dim)
        self.remember = Attend(dim, heads)
        self.memory_keys_values = nn.Linear(dim, 2 * dim)
        if inject:
            self.show = nn.Linear(dim, channels)
            self.loudness = nn.Parameter(torch.tensor(-8.0))  # at first the backbone hardly hears of it
        if modulate:
            self.expect = nn.Linear(dim, dim)
            self.scale, self.shift = (nn.Parameter(torch.zeros(2, channels, 1, 1)) for _ in range(2))
        self.quality = _mlp(dim, dim, 1)
        nn.init.zeros_(self.quality[-1].weight)  # before training, confidence is the score's peak
        nn.init.zeros_(self.quality[-1].bias)

    def start(self, count, device=None):
        """The QueryState of `count` samples before their first frame."""
        zeros = lambda *shape: torch.zeros(count, *shape, device=device)  # noqa: E731
        memory, marks = zeros(self.slots, self.dim), zeros(self.slots, 5)
        lost, time = torch.zeros(2, count, dtype=torch.int64, device=device)
        return QueryState(zeros(self.dim), memory, marks, zeros(self.trail, 4), zeros(), lost, time)

    def expectation(self, state, windows):
        """(B, d), the query before the frame: what the last frames left, and the target's way seen in this window.

        windows: (B, 3) float, centre and side of the search window, px.
        """
        places = _relative(state.trail[..., :3], windows)
        seen = state.trail[..., 3:]
        way = self.way(torch.cat([places * (seen > 0), seen], dim=2).flatten(1))
        return (
            self.first + self.prior_proj(self.prior_norm(state.prior)) * (state.prior != 0).any(1, keepdim=True) + way
        )

    def hint(self, expectation):
        """What the backbone's blocks show to the search tokens as well (Block.hinted); None without `inject`."""
        return (self.show(expectation), self.loudness) if self.injects else None

    def read(self, state, expectation, features, windows, attention=False):
        """The Look at a frame: expectation (B, d) of it, its features (B, C, G, G), windows (B, 3) px."""
        keys, values = self.keys_values(features.flatten(2).transpose(1, 2)).chunk(2, dim=2)
        keys = keys + self.position.to(keys.dtype)
        query, weights = expectation, None
        for look in self.looks:
            weights = look.weights(query, keys) if attention else None
            query = look(query, keys, values)
        spatial = query

        marks = state.marks
        age = (state.time[:, None] - marks[..., 3]).clamp(min=0).log1p() / 5
        told = torch.cat([_relative(marks[..., :3], windows), age[..., None], marks[..., 4:]], dim=2)
        memory = torch.cat([self.empty.expand(len(query), 1, -1), state.memory + self.mark(told)], dim=1)
        known = F.pad(marks[..., 4] > 0, (1, 0), value=True)
        query = self.remember(query, *self.memory_keys_values(memory).chunk(2, dim=2), known)
        logits = (keys @ self.expect(query)[:, :, None])[..., 0] / math.sqrt(self.dim) if self.modulates else None
        gain = None if logits is None else torch.tanh(logits.float() / 2)
        return Look(spatial, query, gain, weights, self._expected(state, expectation, windows))

    def _expected(self, state, expectation, windows):
        dx_dy_spread = self.place(expectation).float()
        last = _relative(state.trail[:, -1:, :3], windows)[:, 0, :2] * (state.trail[:, -1, 3:] > 0)
        spread = 0.1 * dx_dy_spread[:, 2].clamp(-2.5, 2.0).exp()
        return torch.cat([last + dx_dy_spread[:, :2], spread[:, None], state.surprise[:, None]], dim=1)

    def modulate(self, features, look):
        """Features (B, C, G, G), changed where the target is, or is not, expected (FiLM, arXiv:1709.07871)."""
        if not self.modulates:
            return features
        gain = look.gain.view(-1, 1, *features.shape[2:])
        bump = hill(look.expected, features.shape[-1])
        scale, shift = (gain * part[0] + bump * part[1] for part in (self.scale, self.shift))
        return features + scale * features + shift

    def judge(self, look, score):
        """(B,) logit of the overlap of the target and a box found with a score (B,) in (0, 1); at first the score's."""
        return torch.logit(score.detach().float()) + self.quality(look.query).float()[:, 0]

    def write(self, state, look, places, confidence, windows):
        """The state after the frame.

        Args:
            state: before it. look: what `read` said.
            places: (B, 3) float, where the target was taken to be: centre and sqrt(w h), px.
            confidence: (B,) in [0, 1]; no gradient flows through it.
            windows: (B, 3) px, as for `read`.
        """
        places, confidence = places.detach().float(), confidence.detach().float()
        write, hold = self.thresholds
        time = state.time
        first = time == 0
        sure, lost = (confidence >= write) | first, (confidence < hold) & ~first
        query = look.query.detach().float()
        share = torch.where(sure, 1.0, torch.where(lost, 0.0, 0.5))[:, None]
        prior = torch.where(lost[:, None], self.decay * state.prior, state.prior + share * (query - state.prior))
        memory, marks = self._push(state, look.spatial.float(), places, confidence, sure)
        trail = torch.cat([state.trail[:, 1:], torch.cat([places, confidence[:, None]], dim=1)[:, None]], dim=1)
        lost = torch.where(lost, state.lost + 1, 0)
        given_up = (lost >= self.reset)[:, None]
        # What was remembered shortly before a loss is likely to be what the target was mistaken for.
        recent = given_up & (marks[..., 3] > (time - self.reset - REWIND)[:, None])
        recent[:, 0] = False
        marks = marks.masked_fill(recent[..., None], 0.0)
        error = (_relative(places[:, None], windows)[:, 0, :2] - look.expected.detach()[:, :2]).norm(dim=1)
        surprise = torch.where(first, 0.0, state.surprise + FADE * (error - state.surprise))
        return QueryState(prior.masked_fill(given_up, 0.0), memory, marks, trail, surprise, lost, time + 1)

    def _push(self, state, seen, places, confidence, sure):
        """(memory, marks) with the frame in the slot that is worth least, where `sure` (B,) bool."""
        memory, marks, time = state.memory, state.marks, state.time
        if self.slots == 1:
            slot = torch.zeros_like(time)
            sure = time == 0
        else:
            # Of the older half of the slots after the first, the one of least confidence; an empty one first of all.
            age = torch.where(marks[:, 1:, 4] > 0, marks[:, 1:, 3], -1.0)
            older = age <= age.sort(dim=1).values[:, (self.slots - 2) // 2, None]
            slot = 1 + torch.where(older, marks[:, 1:, 4], torch.inf).argmin(dim=1)
            slot = torch.where(time == 0, 0, slot)
        here = (torch.arange(self.slots, device=time.device) == slot[:, None]) & sure[:, None]
        mark = torch.cat([places, time[:, None].float(), confidence.clamp(min=1e-3)[:, None]], dim=1)
        marks = torch.where(here[..., None], mark[:, None], marks)
        if torch.is_grad_enabled():
            # With this frame, the last `gradient` that were written keep their history.
            written = torch.where(marks[..., 4] > 0, marks[..., 3], -1.0)
            rank = written.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
            memory = torch.where((rank < self.gradient)[..., None], memory, memory.detach())
            if not self.gradient:
                seen = seen.detach()
        return torch.where(here[..., None], seen[:, None], memory), marks


def hill(expected, cells):
    """Where targets are expected, as maps (B, 1, cells, cells) in (0, 1]. expected: (B, 4), see Look.

    As wide as the doubt, and slow to fall: where it is wrong it still shows the direction.
    """
    line = (torch.arange(cells, device=expected.device) + 0.5) / cells - 0.5
    square = (line - expected[:, :2, None]).square()
    width = WIDTH**2 + expected[:, 2].square() + (CAUTION * expected[:, 3]).square()
    return (1 / (1 + (square[:, 1, :, None] + square[:, 0, None, :]) / width[:, None, None]))[:, None]


def drawn(score_map, expected, influence):
    """A score map (B, 1, H, H) drawn to where the target is expected: a response whose peak is taken.

    influence: g in [0, 1] of score^(1-g) hill^g, which pools both as opinions of equal kind: where nothing is seen
    nothing is found, however much it is expected, and of two that look alike the expected one is taken.
    """
    return score_map ** (1 - influence) * hill(expected, score_map.shape[-1]) ** influence


def _mlp(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, outputs))


def _relative(places, windows):
    """Places (B, N, 3) px as windows (B, 3) px see them: from the middle in sides, and the log of the relative size."""
    windows = windows[:, None].float()
    offset = ((places[..., :2] - windows[..., :2]) / windows[..., 2:]).clamp(-FAR, FAR)
    return torch.cat([offset, (places[..., 2:] / windows[..., 2:]).clamp(min=1e-3).log() / 4], dim=2)


def _waves(grid, dim):
    """(grid^2, dim) sines and cosines of the cells' places, so that near cells have like rows."""
    frequency = math.pi * 2 ** torch.linspace(0, math.log2(grid / 2), dim // 4)
    angle = (torch.arange(grid) + 0.5)[:, None] / grid * frequency
    waves = torch.cat([angle.sin(), angle.cos()], dim=1)
    return torch.cat([waves.repeat(grid, 1), waves.repeat_interleave(grid, 0)], dim=1)
