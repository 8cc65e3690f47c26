"""KeepTrack: matches target candidates between frames to distinguish the target from similar objects."""

from .model import KeepTrack, Matcher, keep_track

__all__ = ["KeepTrack", "Matcher", "keep_track"]
