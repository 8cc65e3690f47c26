"""The numerical precision of networks, by its names in the configuration."""

import torch

# With int8, the engine of lib/export computes in int8, and torch computes the rest in fp32.
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": None}


def autocast(device_type: str, precision: str) -> torch.autocast:
    """The context in which a network runs.

    Args:
        device_type: "cpu", "cuda" ...
        precision: one of DTYPES.
    """
    return torch.autocast(device_type, DTYPES[precision], enabled=DTYPES[precision] is not None)
