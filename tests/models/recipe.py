"""Weights and inputs by a fixed recipe, without random numbers, so that any program can make the same ones."""

import math
import zlib

import numpy as np
import torch
from torch import Tensor, nn


def hash_unit(key: str, count: int) -> np.ndarray:
    """`count` float64 numbers of mean 0 and variance 1, uniformly distributed, that depend on the text alone."""
    x = np.arange(count, dtype=np.uint64) + zlib.crc32(key.encode())
    low = np.uint64(2**32 - 1)
    x &= low
    for factor in (0x7FEB352D, 0x846CA68B):
        shift = np.uint64(16 if factor == 0x7FEB352D else 15)
        x = ((x ^ (x >> shift)) * np.uint64(factor)) & low
    x ^= x >> np.uint64(16)
    return (x / 2**32 - 0.5) * math.sqrt(12)


def hash_tensor(key: str, shape: tuple[int, ...], scale: float = 1.0, shift: float = 0.0) -> Tensor:
    """float32 tensor of hash_unit, row by row, times `scale` plus `shift`."""
    return torch.from_numpy(hash_unit(key, math.prod(shape)) * scale + shift).float().reshape(tuple(shape))


def recipe_state(tag: str, state: dict[str, Tensor], factors=()) -> dict[str, Tensor]:
    """A state dict with the keys and shapes of `state` and values by the recipe.

    Args:
        tag: begins the key of every tensor's numbers.
        state: only its keys and shapes count.
        factors: pairs (part of a name, factor), in order; tensors with the part in their name are multiplied by it.
    """
    made = {}
    for name, old in state.items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.zeros_like(old)
            continue
        if name.endswith("running_var"):
            scale, shift = 0.25, 1.0
        elif name.endswith("running_mean"):
            scale, shift = 0.1, 0.0
        elif old.ndim <= 1:
            scale, shift = (0.1, 1.0) if name.endswith("weight") else (0.05, 0.0)
        else:
            scale, shift = math.sqrt(2 / (old.numel() / old.shape[0])), 0.0
        value = hash_tensor(f"{tag}/{name}", old.shape, scale, shift)
        for part, factor in factors:
            if part in name:
                value = (value.double() * factor).float()
        made[name] = value
    return made


def recipe_network(network: nn.Module, tag: str, factors=()) -> nn.Module:
    """The network with all its weights by the recipe, in eval mode; tag, factors: see recipe_state."""
    network.load_state_dict(recipe_state(tag, network.state_dict(), factors), strict=True)
    return network.eval()
