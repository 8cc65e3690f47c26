"""Random tensors for tests of enhancers."""

import torch


def rand(*shape, seed=0, low=0.0, high=1.0, dtype=torch.float32):
    numbers = torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (low + (high - low) * numbers).to(dtype)
