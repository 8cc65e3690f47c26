"""The online tracker of MKDNet: DiMP's tracker with the student network."""

from typing import ClassVar

from .dimp import DiMPTracker

# Prefixes of the teacher and the discriminators in released checkpoints.
TRAINED_WITH = ("feature_extractor_t.", "classifier_t.", "bb_regressor_t.", "feat_D1.", "feat_D2.")


class MKDNetTracker(DiMPTracker):
    """The tracker of script `mkdnet`. Arguments: see OnlineTracker."""

    script = "mkdnet"
    unused: ClassVar[tuple[str, ...]] = DiMPTracker.unused + TRAINED_WITH
