"""The arithmetic that networks run in, by the names of the configuration."""

import torch

# An engine computes in int8 (lib/export); what is left to torch is fp32.
DTYPES = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16, "int8": None}


def autocast(device_type: str, precision: str) -> torch.autocast:
    """The context in which a network runs.

    Args:
        device_type: "cpu", "cuda" ...
        precision: one of DTYPES.
    """
    return torch.autocast(device_type, DTYPES[precision], enabled=DTYPES[precision] is not None)
