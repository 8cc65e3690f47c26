"""Configuration of the family `keep_track`."""

from typing import Literal

from .dimp import FilterTest
from .sections import Positive, Section, Share, key, part


class Matching(Section):
    BASE: str = key("super_dimp_simple", "configuration of script `dimp`; its network finds the target candidates")


class MatchingTest(FilterTest):
    ASSOCIATE: Literal[True] = key(True, "candidates are always associated here, by the matching network")
    CANDIDATE: Share = key(0.05, "smallest score of a candidate")
    CERTAINTY: Share = key(0.5, "the filter does not learn from a frame with a lower certainty")
    MATCH: Share = key(0.6, "a candidate stays the target only if its match has at least this probability")
    WEAK_MATCH: Share = key(0.85, "the same for a candidate with a score below WEAK_SCORE")
    WEAK_SCORE: Share = key(0.2, "score below which WEAK_MATCH replaces MATCH")
    SEARCH_SIZE: int = key(480, "side of the search crop, px", ge=16, multiple_of=16)
    SEARCH_FACTOR: Positive = key(8.0, "side of the search window / sqrt(w h) of the target")


class KeepTrack(Section):
    """Configuration of script `keep_track`: Super-DiMP that matches similar candidates between frames."""

    MODEL: Matching = part(Matching, "the networks")
    TEST: MatchingTest = part(MatchingTest, "the online tracker")
