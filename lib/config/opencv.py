"""Configuration of the family `opencv`: OpenCV's own trackers behind the same runner."""

from typing import Literal

from .sections import Section, key, part


class OpenCVTest(Section):
    TRACKER: Literal["mil", "nano", "csrt", "kcf"] = key("mil", "which of OpenCV's trackers")
    CHECKPOINT: str = key("", "nano: folder under pretrained/ with the backbone and head as ONNX")


class OpenCV(Section):
    """Configuration of script `opencv`: OpenCV's own trackers behind the same runner."""

    TEST: OpenCVTest = part(OpenCVTest, "the tracker")
