"""The online tracker of MKDNet: that of DiMP, with the student alone."""

from typing import ClassVar

from .dimp import DiMPTracker

TRAINED_WITH = ("feature_extractor_t.", "classifier_t.", "bb_regressor_t.", "feat_D1.", "feat_D2.")


class MKDNetTracker(DiMPTracker):
    """The tracker of script `mkdnet`. Released checkpoints also hold the teacher and the discriminators."""

    script = "mkdnet"
    unused: ClassVar[tuple[str, ...]] = DiMPTracker.unused + TRAINED_WITH
