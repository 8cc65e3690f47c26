"""The networks of STARK-S and STARK-ST (arXiv:2103.17154)."""

from .model import Stark, StarkOutput

__all__ = ["Stark", "StarkOutput"]
