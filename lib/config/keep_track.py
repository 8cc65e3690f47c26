"""Configuration of the family `keep_track`."""

from typing import Literal

from pydantic import model_validator

from .dimp import Backbone, FilterTest
from .sections import Count, Datasets, NonNegative, Optimisation, Positive, Section, Share, key, part


class CandidateData(Section):
    TRAIN: Datasets = part(Datasets, "training sets, of which tracking/mine_candidates.py has made crops")
    VAL: Datasets = part(Datasets, "validation sets, never trained on, of which it has made crops")
    CACHE: str = key("", "folder of these crops")
    CANDIDATES: Count = key(5, "candidates of a crop; where a crop has fewer, places in the background are added")
    SUPERVISED: Share = key(
        0.5,
        "share of samples that are two consecutive frames, of which only the target's match is known; the others are "
        "two views of one frame",
    )
    BRIGHTNESS: Share = key(0.5, "largest relative change of brightness of the second view of a frame")
    BLUR: Share = key(0.75, "share of these views that are blurred (Gaussian, sigma 0.5 px)")
    DROP: Share = key(0.2, "share of candidates that one of the two views does not show")
    MOVE: NonNegative = key(1.0, "standard deviation of how far a candidate moves between the two views, cells")


class Matching(Section):
    BASE: str = key("super_dimp_simple", "configuration of script `dimp`; its network finds the target candidates")
    BACKBONE: Backbone = part(Backbone, "the backbone of that network")


class MatchingTest(FilterTest):
    ASSOCIATE: Literal[True] = key(True, "candidates are always associated here, by the matching network")
    CANDIDATE: Share = key(0.05, "smallest score of a candidate")
    CERTAINTY: Share = key(0.5, "the filter does not learn from a frame with a lower certainty")
    MATCH: Share = key(0.6, "a candidate stays the target only if its match has at least this probability")
    WEAK_MATCH: Share = key(0.85, "the same for a candidate with a score below WEAK_SCORE")
    WEAK_SCORE: Share = key(0.2, "score below which WEAK_MATCH replaces MATCH")
    SEARCH_SIZE: int = key(480, "side of the search crop, px", ge=16, multiple_of=8)
    SEARCH_FACTOR: Positive = key(8.0, "side of the search window / sqrt(w h) of the target")


class KeepTrack(Section):
    """Configuration of script `keep_track`: Super-DiMP that matches similar candidates between frames."""

    DATA: CandidateData = part(CandidateData, "training data")
    MODEL: Matching = part(Matching, "the networks")
    TRAIN: Optimisation = part(Optimisation, "training of the matching network")
    TEST: MatchingTest = part(MatchingTest, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        if self.TEST.SEARCH_SIZE % self.MODEL.BACKBONE.stride:
            raise ValueError(f"TEST.SEARCH_SIZE {self.TEST.SEARCH_SIZE}: expected a multiple of the backbone's stride")
        return self
