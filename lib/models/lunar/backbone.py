"""The one-stream vision transformer: template and search crop go through the same blocks together."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.init import trunc_normal_
from torch.utils.checkpoint import checkpoint

from ..layers.block import Block

SIZES = {  # embed_dim, depth, num_heads
    "vit_tiny": (192, 12, 3),
    "vit_small": (384, 12, 6),
    "vit_base": (768, 12, 12),
    "vit_large": (1024, 24, 16),
    "compact": (96, 2, 3),
    "lite0": (96, 1, 3),
}


class TemplateState(NamedTuple):
    """What the network remembers of the templates from one frame to the next.

    tokens: (B, N, C), N = registers + T * Lz; as embedded in `joint`, after the last block in `one_way`; in the compact
        network, (B, T * Lz, C), the features that the search crop is correlated with.
    keys, values: (depth, B, heads, N, C/heads), what each block shows the search tokens; None in `joint`.
    """

    tokens: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None

    @staticmethod
    def join(states):
        """One TemplateState of all samples of several."""
        tokens, keys, values = zip(*states, strict=True)
        if keys[0] is None:
            return TemplateState(torch.cat(tokens))
        return TemplateState(torch.cat(tokens), torch.cat(keys, dim=1), torch.cat(values, dim=1))


class PatchEmbed(nn.Module):
    """(B, 3, H, W) -> (B, N, C): a token for each square patch, row by row."""

    def __init__(self, patch_size, embed_dim):
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, patch_size)

    def forward(self, x):
        return self.proj(x).flatten(2).transpose(1, 2)


class OneStreamViT(nn.Module):
    """ViT over template and search tokens (OSTrack, arXiv:2203.11991), in one of two attention modes.

    `joint`: every token sees every token, so the template is computed anew with each frame (OSTrack).
    `one_way`: template tokens see only each other, search tokens see all; the template's keys and values then do not
    depend on the frame and are computed once (LoRATv2's frame-wise causal attention).

    Grids are square: Gz = template_size / patch_size cells a side, Lz = Gz^2 tokens; Gx and Lx likewise for the search
    crop.

    Args:
        embed_dim, depth, num_heads: width C, blocks, heads.
        position: "separate" is OSTrack's two tables; "shared" is one table at the search grid, of which the template
            uses the top-left block (LoRAT, arXiv:2403.05231).
        token_types: add learned embeddings: of target and background to the template tokens, mixed by how much of the
            cell the target covers (a tiny target covers none entirely), and one to the search tokens.
        drop_path: stochastic depth, rising linearly to this at the last block.
        elimination_layers: blocks (from 0) after whose attention only `elimination_keep` of the search tokens go on:
            those that the template's centre token attends to most (OSTrack 3.2). Only in `joint`.
        register_tokens: extra learned tokens without a place in the image (arXiv:2309.16588), kept with the template.
        layer_scale: blocks scale their halves, as DINOv2's do.

    Attributes:
        checkpointing: set it to have training keep only what goes into each half of a block and compute the rest anew
            in the backward pass: less memory, about a third more time, the same numbers.

    Raises:
        ValueError: sizes or options that do not go together.
    """

    checkpointing = False

    def __init__(
        self,
        *,
        embed_dim,
        depth,
        num_heads,
        patch_size=16,
        template_size=128,
        search_size=256,
        attention="joint",
        position="shared",
        token_types=True,
        drop_path=0.1,
        elimination_layers=(),
        elimination_keep=1.0,
        register_tokens=0,
        layer_scale=False,
    ):
        super().__init__()
        if template_size % patch_size or search_size % patch_size or template_size > search_size:
            raise ValueError(f"crops of {template_size} and {search_size} px do not suit patches of {patch_size} px")
        if attention not in ("joint", "one_way") or position not in ("shared", "separate"):
            raise ValueError(f"unknown attention {attention!r} or position {position!r}")
        if elimination_layers and attention != "joint":
            raise ValueError("candidate elimination needs a template that sees the search crop: attention='joint'")
        self.embed_dim = embed_dim
        self.attention = attention
        self.template_grid = template_size // patch_size
        self.search_grid = search_size // patch_size
        self.elimination_layers = tuple(elimination_layers)
        self.elimination_keep = elimination_keep

        self.patch_embed = PatchEmbed(patch_size, embed_dim)
        if position == "shared":
            self.pos_embed = nn.Parameter(torch.empty(1, self.search_grid**2, embed_dim))
        else:
            self.pos_embed_z = nn.Parameter(torch.empty(1, self.template_grid**2, embed_dim))
            self.pos_embed_x = nn.Parameter(torch.empty(1, self.search_grid**2, embed_dim))
        self.reg_token = nn.Parameter(torch.empty(1, register_tokens, embed_dim)) if register_tokens else None
        self.type_embed = nn.Parameter(torch.empty(3, embed_dim)) if token_types else None  # target, background, search
        rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
        self.blocks = nn.ModuleList(Block(embed_dim, num_heads, drop_path=r, layer_scale=layer_scale) for r in rates)
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)
        self._initialise()

    def _initialise(self):
        for parameter in self.parameters(recurse=False):
            trunc_normal_(parameter, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def positions(self):
        """Positional tables of template and search tokens, (1, Lz, C) and (1, Lx, C)."""
        if not hasattr(self, "pos_embed"):
            return self.pos_embed_z, self.pos_embed_x
        table = self.pos_embed.unflatten(1, (self.search_grid, self.search_grid))
        return table[:, : self.template_grid, : self.template_grid].flatten(1, 2), self.pos_embed

    def encode_template(self, templates, masks=None):
        """Templates -> TemplateState.

        Args:
            templates: (B, T, 3, Z, Z) normalised.
            masks: (B, T, Lz) in [0, 1], share of each cell that the target covers; needed with `token_types` only.
        """
        B, T = templates.shape[:2]
        if self.type_embed is not None and masks is None:
            raise ValueError("token types need the masks of the templates (template_mask)")
        return self._remember(self.patch_embed(templates.flatten(0, 1)).unflatten(0, (B, T)), masks)

    def _remember(self, features, masks):
        """TemplateState from features (B, T, Lz, C) of the patches and masks (B, T, Lz)."""
        tokens = features + self.positions()[0]
        if self.type_embed is not None:
            target, background, _ = self.type_embed
            tokens = tokens + torch.lerp(background, target, masks.unsqueeze(-1).to(target.dtype))
        tokens = tokens.flatten(1, 2)
        if self.reg_token is not None:
            tokens = torch.cat([self.reg_token.expand(len(tokens), -1, -1), tokens], dim=1)
        if self.attention == "joint":
            return TemplateState(tokens)
        keys, values = [], []
        for block in self.blocks:
            tokens, (_, key, value) = self._run(block.attend, tokens)
            tokens = self._run(block.feed_forward, tokens)
            keys.append(key)
            values.append(value)
        return TemplateState(tokens, torch.stack(keys), torch.stack(values))

    def forward(self, template, search, hint=None):
        """Search features in the light of the template.

        Args:
            template: TemplateState of B samples.
            search: (B, 3, S, S) normalised.
            hint: (token (B, C), bias scalar) that every block shows as well, see Block.hinted; None for none.

        Returns:
            (B, C, Gx, Gx); zero where tokens were eliminated.
        """
        return self._look(template, self.patch_embed(search), hint)

    def _look(self, template, features, hint):
        """Features (B, Lx, C) of the search patches, in the light of the template: (B, C, Gx, Gx)."""
        x = features + self.positions()[1]
        if self.type_embed is not None:
            x = x + self.type_embed[2]
        hints = [hint and block.hinted(*hint) for block in self.blocks]
        x = self._one_way(template, x, hints) if self.attention == "one_way" else self._joint(template, x, hints)
        return x.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))

    def _one_way(self, template, x, hints):
        for block, key, value, hint in zip(self.blocks, template.keys, template.values, hints, strict=True):
            x, _ = self._run(block.attend, x, (key, value), hint)
            x = self._run(block.feed_forward, x)
        return self.norm(x)

    def _joint(self, template, x, hints):
        M, L = template.tokens.shape[1], x.shape[1]
        tokens = torch.cat([template.tokens, x], dim=1)
        places = None  # (B, n) place in the search grid of each search token that is left; None while all are
        for i, block in enumerate(self.blocks):
            tokens, (query, key, _) = self._run(block.attend, tokens, None, hints[i])
            if i in self.elimination_layers:
                kept = self._most_attended(query, key, M)
                places = kept if places is None else places.gather(1, kept)
                left = tokens[:, M:].gather(1, kept.unsqueeze(-1).expand(-1, -1, self.embed_dim))
                tokens = torch.cat([tokens[:, :M], left], dim=1)
            tokens = self._run(block.feed_forward, tokens)
        x = self.norm(tokens[:, M:])
        if places is None:
            return x
        return x.new_zeros(len(x), L, self.embed_dim).scatter(1, places.unsqueeze(-1).expand_as(x), x)

    def _run(self, half, *inputs):
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(half, *inputs, use_reentrant=False)
        return half(*inputs)

    def _most_attended(self, query, key, M):
        """(B, n) indices of the search tokens that the centre token of the first template attends to most.

        Only that one row of the attention matrix is made; the block itself keeps to the fused kernel.
        """
        # With an even grid the centre is a corner of four cells; OSTrack takes the upper left one.
        middle = (self.template_grid - 1) // 2
        centre = (self.reg_token.shape[1] if self.reg_token is not None else 0) + middle * (self.template_grid + 1)
        logits = query[:, :, centre : centre + 1] @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        score = logits.softmax(dim=-1).mean(dim=1)[:, 0, M:]
        return score.topk(math.ceil(self.elimination_keep * score.shape[1]), dim=1).indices
