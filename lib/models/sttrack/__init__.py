"""The network of STTrack: STARK with a query that is passed on from frame to frame."""

from .memory import QueryState
from .model import Readout, STTrack

__all__ = ["QueryState", "Readout", "STTrack"]
