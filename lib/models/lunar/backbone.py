"""The backbones' common base and the one-stream vision transformer: template and search crop share all blocks."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn.init import trunc_normal_
from torch.utils.checkpoint import checkpoint

from ..parts.block import Block

SIZES = {  # embed_dim, depth, num_heads of the ViTs
    "vit_tiny": (192, 12, 3),
    "vit_small": (384, 12, 6),
    "vit_base": (768, 12, 12),
    "vit_large": (1024, 24, 16),
}


class TemplateState(NamedTuple):
    """What the network keeps of the templates from one frame to the next.

    Attributes:
        tokens (B, N, C), N = registers + T * Lz: as embedded in `joint`, after the last block in `one_way`. In the
            compact network (B, T * Lz, C), the features that the search crop is correlated with.
        keys, values (depth, B, heads, N, C / heads): what each block shows to the search tokens; None in `joint`.
    """

    tokens: Tensor
    keys: Tensor | None = None
    values: Tensor | None = None

    @staticmethod
    def join(states: Sequence["TemplateState"]) -> "TemplateState":
        """One TemplateState of all samples of several states."""
        tokens, keys, values = zip(*states, strict=True)
        if keys[0] is None:
            return TemplateState(torch.cat(tokens))
        return TemplateState(torch.cat(tokens), torch.cat(keys, dim=1), torch.cat(values, dim=1))


class PatchEmbed(nn.Module):
    """A token for each square patch, row by row.

    Args:
        patch_size: side of a patch (px).
        embed_dim: width C of the tokens.
    """

    def __init__(self, patch_size: int, embed_dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, embed_dim, patch_size, patch_size)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, N, C)."""
        return rearrange(self.proj(x), "b c y x -> b (y x) c")


class TokenBackbone(nn.Module):
    """Base of the backbones: positions and types of tokens, and the cache of the template.

    A subclass makes `patch_embed` (crops to tokens), `blocks` and `norm`, and implements `encode_template` and
    `forward`. Grids are square: Gz = template_size / patch_size cells a side, Lz = Gz^2 tokens; Gx and Lx likewise for
    the search crop. Names of submodules and parameters are those in the weights files.

    Args:
        embed_dim: width C of the tokens.
        patch_size: side of a token's cell (px).
        template_size, search_size: sides Z and S of the crops (px), multiples of patch_size.
        position: "separate" for OSTrack's two tables; "shared" for one table at the search grid, of which the template
            uses the top-left block (LoRAT, arXiv:2403.05231).
        token_types: add learned embeddings: of target and background to the template tokens, mixed by the share of the
            cell that the target covers (a tiny target covers none entirely), and one to the search tokens.
        register_tokens: extra learned tokens without a location in the image (arXiv:2309.16588), kept with the
            template.

    Attributes:
        checkpointing: if true, training keeps only the input of each half of a block and computes the rest again in the
            backward pass: less memory, about a third more time, the same numbers.
        trunk: a pretrained convolutional network that makes the tokens, or None.

    Raises:
        ValueError: sizes that do not go together, or an unknown position.
    """

    checkpointing = False
    trunk: nn.Module | None = None

    def __init__(
        self,
        *,
        embed_dim: int,
        patch_size: int,
        template_size: int,
        search_size: int,
        position: str,
        token_types: bool,
        register_tokens: int,
    ) -> None:
        super().__init__()
        if template_size % patch_size or search_size % patch_size or template_size > search_size:
            raise ValueError(f"crops of {template_size} and {search_size} px do not suit patches of {patch_size} px")
        if position not in ("shared", "separate"):
            raise ValueError(f"unknown position {position!r}")
        self.embed_dim, self.position = embed_dim, position
        self.template_size, self.search_size = template_size, search_size
        self.template_grid, self.search_grid = template_size // patch_size, search_size // patch_size
        if position == "shared":
            self.pos_embed = nn.Parameter(torch.empty(1, self.search_grid**2, embed_dim))
        else:
            self.pos_embed_z = nn.Parameter(torch.empty(1, self.template_grid**2, embed_dim))
            self.pos_embed_x = nn.Parameter(torch.empty(1, self.search_grid**2, embed_dim))
        self.reg_token = nn.Parameter(torch.empty(1, register_tokens, embed_dim)) if register_tokens else None
        self.type_embed = nn.Parameter(torch.empty(3, embed_dim)) if token_types else None  # target, background, search

    def draw_tables(self) -> None:
        """Draw the start of the positions, types and registers."""
        for parameter in self.parameters(recurse=False):
            trunc_normal_(parameter, std=0.02)

    def positions(self) -> tuple[Tensor, Tensor]:
        """Positional tables of template and search tokens, (1, Lz, C) and (1, Lx, C)."""
        if self.position == "separate":
            return self.pos_embed_z, self.pos_embed_x
        table = rearrange(self.pos_embed, "one (y x) c -> one y x c", y=self.search_grid)
        corner = table[:, : self.template_grid, : self.template_grid]
        return rearrange(corner, "one y x c -> one (y x) c"), self.pos_embed

    def template_tokens(self, features: Tensor, masks: Tensor | None) -> Tensor:
        """Template features with positions, types and registers.

        Args:
            features (B, T, Lz, C): of the patches.
            masks (B, T, Lz): in [0, 1], share of each cell that the target covers; None without token types.

        Returns:
            (B, N, C), N = registers + T * Lz.
        """
        tokens = features + self.positions()[0]
        if self.type_embed is not None:
            target, background, _ = self.type_embed
            tokens = tokens + torch.lerp(background, target, masks.unsqueeze(-1).to(target.dtype))
        tokens = rearrange(tokens, "b t n c -> b (t n) c")
        if self.reg_token is not None:
            tokens = torch.cat([self.reg_token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        return tokens

    def search_tokens(self, features: Tensor) -> Tensor:
        """Search features (B, Lx, C) with positions and types."""
        x = features + self.positions()[1]
        return x if self.type_embed is None else x + self.type_embed[2]

    def remember(self, tokens: Tensor) -> TemplateState:
        """The cache of template tokens (B, N, C) that see only each other."""
        keys, values = [], []
        for block in self.blocks:
            tokens, (_, key, value) = self.run(block.attend, tokens)
            tokens = self.run(block.feed_forward, tokens)
            keys.append(key)
            values.append(value)
        return TemplateState(tokens, torch.stack(keys), torch.stack(values))

    def hints(self, hint: tuple[Tensor, Tensor] | None) -> list:
        """What each block shows of a hint (token (B, C), scalar bias), see Block.hinted; None for each without one."""
        return [None if hint is None else block.hinted(*hint) for block in self.blocks]

    def to_map(self, tokens: Tensor) -> Tensor:
        """Search tokens (B, Lx, C) as a map (B, C, Gx, Gx)."""
        # Not by rearrange: for one sample its strides make convolutions take another kernel, with other roundings.
        return tokens.transpose(1, 2).unflatten(2, (self.search_grid, self.search_grid))

    def run(self, half: Callable, *inputs: Any) -> Any:
        """Half of a block, checkpointed in training where asked for."""
        if self.checkpointing and self.training and torch.is_grad_enabled():
            return checkpoint(half, *inputs, use_reentrant=False)
        return half(*inputs)


def make_blocks(embed_dim: int, depth: int, num_heads: int, drop_path: float, layer_scale: bool) -> nn.ModuleList:
    """Transformer blocks.

    Args:
        embed_dim: width C.
        depth: number of blocks.
        num_heads: attention heads of each.
        drop_path: stochastic depth of the last block; it rises linearly from 0 at the first.
        layer_scale: whether blocks scale their halves, as DINOv2's do.
    """
    rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
    return nn.ModuleList(Block(embed_dim, num_heads, drop_path=r, layer_scale=layer_scale) for r in rates)


class OneStreamViT(TokenBackbone):
    """ViT over template and search tokens (OSTrack, arXiv:2203.11991), in one of two attention modes.

    `joint`: every token sees every token, so the template is computed again with each frame (OSTrack).
    `one_way`: template tokens see only each other, search tokens see all. The template's keys and values then do not
    depend on the frame and are computed once (LoRATv2's frame-wise causal attention).

    Args:
        depth, num_heads, drop_path, layer_scale: see make_blocks.
        attention: "joint" or "one_way".
        elimination_layers: blocks (from 0) after whose attention only some search tokens go on: those that the
            template's centre token attends to most (OSTrack 3.2). Only in `joint`.
        elimination_keep: share of the search tokens that goes on, in (0, 1].
        tokens: arguments of TokenBackbone.

    Raises:
        ValueError: options that do not go together.
    """

    def __init__(
        self,
        *,
        depth: int,
        num_heads: int,
        attention: str,
        drop_path: float,
        layer_scale: bool,
        elimination_layers: Sequence[int],
        elimination_keep: float,
        **tokens: Any,
    ) -> None:
        super().__init__(**tokens)
        if attention not in ("joint", "one_way"):
            raise ValueError(f"unknown attention {attention!r}")
        if elimination_layers and attention != "joint":
            raise ValueError("candidate elimination needs a template that sees the search crop: attention='joint'")
        self.attention = attention
        self.elimination_layers, self.elimination_keep = tuple(elimination_layers), elimination_keep
        self.patch_embed = PatchEmbed(tokens["patch_size"], self.embed_dim)
        self.blocks = make_blocks(self.embed_dim, depth, num_heads, drop_path, layer_scale)
        self.norm = nn.LayerNorm(self.embed_dim, eps=1e-6)
        self.draw_tables()
        for module in self.modules():
            if isinstance(module, nn.Linear):
                trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def encode_template(self, templates: Tensor, masks: Tensor | None = None) -> TemplateState:
        """Encode the templates.

        Args:
            templates (B, T, 3, Z, Z): normalised.
            masks (B, T, Lz): in [0, 1], share of each cell that the target covers; needed with token types only.

        Raises:
            ValueError: token types without masks.
        """
        if self.type_embed is not None and masks is None:
            raise ValueError("token types need the masks of the templates (data.crop.coverage)")
        features = self.patch_embed(templates.flatten(0, 1)).unflatten(0, templates.shape[:2])
        tokens = self.template_tokens(features, masks)
        return TemplateState(tokens) if self.attention == "joint" else self.remember(tokens)

    def forward(self, template: TemplateState, search: Tensor, hint: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """Search features that know the template.

        Args:
            template: of B samples.
            search (B, 3, S, S): normalised.
            hint: (token (B, C), scalar bias) that every block shows as well, see Block.hinted; None for none.

        Returns:
            (B, C, Gx, Gx); zero where tokens were eliminated.
        """
        x = self.search_tokens(self.patch_embed(search))
        hints = self.hints(hint)
        x = self._one_way(template, x, hints) if self.attention == "one_way" else self._joint(template, x, hints)
        return self.to_map(x)

    def _one_way(self, template, x, hints):
        for block, key, value, hint in zip(self.blocks, template.keys, template.values, hints, strict=True):
            x, _ = self.run(block.attend, x, (key, value), hint)
            x = self.run(block.feed_forward, x)
        return self.norm(x)

    def _joint(self, template, x, hints):
        M, L = template.tokens.shape[1], x.shape[1]
        tokens = torch.cat([template.tokens, x], dim=1)
        cells = None  # (B, n) cell of the search grid of each search token that is left; None while all are
        for i, block in enumerate(self.blocks):
            tokens, (query, key, _) = self.run(block.attend, tokens, None, hints[i])
            if i in self.elimination_layers:
                kept = self._most_attended(query, key, M)
                cells = kept if cells is None else cells.gather(1, kept)
                left = tokens[:, M:].gather(1, kept.unsqueeze(-1).expand(-1, -1, self.embed_dim))
                tokens = torch.cat([tokens[:, :M], left], dim=1)
            tokens = self.run(block.feed_forward, tokens)
        x = self.norm(tokens[:, M:])
        if cells is None:
            return x
        return x.new_zeros(x.shape[0], L, self.embed_dim).scatter(1, cells.unsqueeze(-1).expand_as(x), x)

    def _most_attended(self, query, key, M):
        """(B, n) indices of the search tokens that the centre token of the first template attends to most.

        Only that one row of the attention matrix is computed; the block itself keeps the fused kernel.
        """
        # With an even grid the centre is a corner of four cells; OSTrack takes the upper left one.
        middle = (self.template_grid - 1) // 2
        centre = (self.reg_token.shape[1] if self.reg_token is not None else 0) + middle * (self.template_grid + 1)
        logits = query[:, :, centre : centre + 1] @ key.transpose(-2, -1) * query.shape[-1] ** -0.5
        score = logits.softmax(dim=-1).mean(dim=1)[:, 0, M:]
        return score.topk(math.ceil(self.elimination_keep * score.shape[1]), dim=1).indices
