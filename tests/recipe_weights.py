"""Weights and images that depend on names alone, as the stored reference numbers of released networks use them."""

import zlib

import torch


def recipe(name, shape, seed=0):
    """Numbers in [-1, 1) that depend on a name: torch's generator, seeded with the name's checksum."""
    generator = torch.Generator().manual_seed((zlib.crc32(name.encode()) + seed) % 2**32)
    return 2 * torch.rand(shape, generator=generator) - 1


def recipe_weights(path, explicit, seed):
    """A released network's keys and shapes from their listing, with values by the recipe."""
    state = {}
    for line in path.read_text().splitlines():
        if line.startswith("#"):
            continue
        key, shape = line.split()[:2]
        shape = () if shape == "()" else tuple(int(side) for side in shape.split("x"))
        if key.endswith("num_batches_tracked"):
            state[key] = torch.zeros(shape, dtype=torch.long)
            continue
        value = recipe(key, shape, seed)
        if key.endswith("running_var"):
            value = 1 + 0.2 * value
        elif len(shape) >= 2:
            value = value * (6 / value[0].numel()) ** 0.5
        elif key.endswith(".weight"):
            value = 0.6 + 0.1 * value
        else:
            value = 0.1 * value
        state[key] = value
    return state | explicit
