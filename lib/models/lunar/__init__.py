"""The one-stream tracker's network: build `Lunar`, load weights with lib.models.weights, read boxes with `decode`."""

from lib.models.lunar.backbone import SIZES, TemplateState
from lib.models.lunar.decode import boxes_at, decode
from lib.models.lunar.model import Lunar, TrackerOutput, template_mask

__all__ = ["SIZES", "Lunar", "TemplateState", "TrackerOutput", "boxes_at", "decode", "template_mask"]
