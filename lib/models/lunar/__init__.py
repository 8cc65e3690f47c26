"""The network of `lunar`: build.py makes a `Lunar`, lib/models/parts/weights.py loads it, `decode` reads boxes."""

from .backbone import OneStreamViT, TemplateState
from .compact import CompactHybrid
from .decode import boxes_at, decode
from .model import Lunar, TrackerOutput
from .query import TemporalQuery

__all__ = [
    "CompactHybrid",
    "Lunar",
    "OneStreamViT",
    "TemplateState",
    "TemporalQuery",
    "TrackerOutput",
    "boxes_at",
    "decode",
]
