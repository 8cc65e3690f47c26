"""The one-stream tracker's network: build `Lunar`, load weights with lib.models.weights, read boxes with `decode`."""

from .backbone import SIZES, TemplateState
from .decode import boxes_at, decode
from .model import Lunar, TrackerOutput, template_mask

__all__ = ["SIZES", "Lunar", "TemplateState", "TrackerOutput", "boxes_at", "decode", "template_mask"]
