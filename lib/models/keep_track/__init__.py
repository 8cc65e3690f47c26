"""KeepTrack: matches target candidates between frames, so that the target is told from objects that look like it."""

from .model import KeepTrack, Matcher, Matches, find_candidates, keep_track

__all__ = ["KeepTrack", "Matcher", "Matches", "find_candidates", "keep_track"]
