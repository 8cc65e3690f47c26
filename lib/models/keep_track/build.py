"""From a configuration to the network of this family."""

from typing import Any

from ..dimp.build import build_backbone
from .model import KeepTrack, keep_track


def build_network(config: Any) -> KeepTrack:
    """The matching network of a `keep_track` configuration, with random weights."""
    return keep_track(build_backbone(config.MODEL.BACKBONE))
