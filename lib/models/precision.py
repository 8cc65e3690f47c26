"""The arithmetic that networks run in, by the names of the configuration."""

import torch

# int8 is for an engine to do (lib/models/lunar/exported.py): what is left to torch is fp32.
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": None}


def autocast(device_type, precision):
    """The context in which a network runs. device_type: "cpu", "cuda" ...; precision: one of DTYPES."""
    return torch.autocast(device_type, DTYPES[precision], enabled=DTYPES[precision] is not None)
