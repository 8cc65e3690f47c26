"""Weights and inputs without a random generator, the same in any language: the recipe of the parity fixtures."""

import zlib

import numpy as np
import torch


def hash_unit(key, count):
    """(count,) float64 of mean 0 and variance 1, from a 32-bit mix of the index and the key's CRC."""
    low = np.uint64(0xFFFFFFFF)
    x = (np.arange(count, dtype=np.uint64) + np.uint64(zlib.crc32(key.encode()))) & low
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        x = ((x ^ (x >> np.uint64(shift))) * np.uint64(factor)) & low
    return (x / 2.0**32 - 0.5) * 12**0.5


def hash_tensor(key, shape, scale=1.0, shift=0.0):
    """float32 tensor of hash_unit * scale + shift."""
    return torch.from_numpy((hash_unit(key, int(np.prod(shape))) * scale + shift).astype(np.float32)).reshape(shape)


def load_hashed(network, tag, mult=()):
    """Give every entry of a network's state dict its value of the recipe, and put the network in eval mode."""
    state = {}
    for name, old in network.state_dict().items():
        scale, shift = _scale(name, old)
        if scale is None:
            state[name] = torch.zeros_like(old)
            continue
        for part, factor in mult:
            if part in name:
                scale, shift = scale * factor, shift * factor
        state[name] = hash_tensor(f"{tag}/{name}", tuple(old.shape), scale, shift)
    network.load_state_dict(state, strict=True)
    return network.eval()


def _scale(name, old):
    if name.endswith("num_batches_tracked"):
        return None, None
    if name.endswith("running_var"):
        return 0.25, 1.0
    if name.endswith("running_mean"):
        return 0.1, 0.0
    if old.dim() <= 1:
        return (0.1, 1.0) if name.endswith("weight") else (0.05, 0.0)
    return (2 / (old.numel() / old.shape[0])) ** 0.5, 0.0
