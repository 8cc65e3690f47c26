"""The online tracker of DiMP, PrDiMP and Super-DiMP."""

from typing import Any

from . import dimp_steps
from .online import OnlineTracker, crop_settings, refining_settings


def make_settings(data: Any, test: Any, softmax: bool) -> dimp_steps.DiMPSettings:
    """The settings of DiMP's steps.

    Args:
        data, test: sections DATA and TEST of a configuration.
        softmax: whether scores are logits of a probability density (PrDiMP).
    """
    return dimp_steps.DiMPSettings(
        **crop_settings(data, test),
        **refining_settings(test),
        softmax=softmax,
        hard_iterations=test.HARD_ITERATIONS,
    )


class DiMPTracker(OnlineTracker):
    """The tracker of script `dimp`. Arguments: see OnlineTracker."""

    script = "dimp"
    steps = dimp_steps

    def make_settings(self) -> dimp_steps.DiMPSettings:
        config = self.config
        return make_settings(config.DATA, config.TEST, softmax=config.MODEL.CLASSIFIER.TYPE == "prdimp")
