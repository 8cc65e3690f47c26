"""The arithmetic that networks run in, by the names of the configuration."""

import torch

DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device_type, precision):
    """The context in which a network runs. device_type: "cpu", "cuda" ...; precision: one of DTYPES."""
    return torch.autocast(device_type, DTYPES[precision], enabled=DTYPES[precision] is not None)
