"""Samples of trackers that answer with the corners of one box."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ...data.sequence import Sequence as Video
from .samples import SampleSet

STRIDE = 16  # px of a crop per token


class CornerSamples(SampleSet):
    """As SampleSet of a network without a query. Search frames are in the order of time, each crop jittered by itself.

    Args:
        datasets: {name: [videos]}.
        config: a configuration with DATA and TRAIN.
        options: seed, training and ratios; see Samples.
    """

    def __init__(self, datasets: Mapping[str, Sequence[Video]], config: Any, **options: Any) -> None:
        settings = copy.deepcopy(config)  # SampleSet also asks for what these networks do not have
        settings.MODEL = {"QUERY": {"ENABLE": False}, "BACKBONE": {"STRIDE": STRIDE}}
        settings.TRAIN.FEATURE_WEIGHT = 0.0
        super().__init__(datasets, settings, **options)
