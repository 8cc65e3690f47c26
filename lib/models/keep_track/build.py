"""From a configuration to the network of this family."""

from typing import Any

from .model import KeepTrack, keep_track


def build_network(config: Any) -> KeepTrack:
    """The matching network of a `keep_track` configuration, with random weights. It has only one size."""
    return keep_track()
