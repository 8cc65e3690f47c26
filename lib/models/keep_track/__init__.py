"""KeepTrack: matches target candidates between frames to distinguish the target from similar objects."""

from .model import KeepTrack, Matcher, Matches, find_candidates, keep_track

__all__ = ["KeepTrack", "Matcher", "Matches", "find_candidates", "keep_track"]
