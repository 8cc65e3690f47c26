"""Configuration of the family `keep_track`."""

from .dimp import FilterTest
from .sections import Positive, Section, Share, key, part


class Matching(Section):
    BASE: str = key("super_dimp_simple", "configuration of script `dimp` whose network finds the candidates")


class MatchingTest(FilterTest):
    CANDIDATE: Share = key(0.05, "least score of a candidate")
    CERTAINTY: Share = key(0.5, "certainty below which a frame is not learned from")
    MATCH: Share = key(0.6, "probability below which a match does not carry the target on")
    WEAK_MATCH: Share = key(0.85, "the same for a candidate with a score below WEAK_SCORE")
    WEAK_SCORE: Share = key(0.2, "see WEAK_MATCH")
    SEARCH_SIZE: int = key(480, "side of the search crop, px", ge=16, multiple_of=16)
    SEARCH_FACTOR: Positive = key(8.0, "search window factor")


class KeepTrack(Section):
    """Configuration of script `keep_track`: Super-DiMP that tells its target from candidates that look alike."""

    MODEL: Matching = part(Matching, "the networks")
    TEST: MatchingTest = part(MatchingTest, "the online tracker")
