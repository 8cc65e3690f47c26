"""Configuration of the family `atom`."""

from pydantic import model_validator

from .dimp import Data, Model, ProposalTrain, RefiningTest, check_cells
from .sections import Count, Section, key, part


class OverlapModel(Model):
    BOX_WIDTH: Count = key(256, "channels of the IoU-Net, which refines boxes", multiple_of=2)


class ConjugateTest(RefiningTest):
    MEMORY: int = key(250, "most training samples in the filter's memory", ge=31)
    TRAIN_EVERY: Count = key(10, "frames between two scheduled updates of the filter")
    CHANNELS: Count = key(64, "channels after the projection of the features, which the filter takes")
    FIRST_STEPS: Count = key(6, "Gauss-Newton steps on the first frame")
    FIRST_ITERATIONS: Count = key(10, "conjugate gradient steps in each Gauss-Newton step")
    ITERATIONS: Count = key(5, "conjugate gradient steps of an update: scheduled, or after a distractor was found")


class Atom(Section):
    """Configuration of script `atom`. Training trains only the IoU-Net; the filter is learned while tracking."""

    DATA: Data = part(Data, "crops")
    MODEL: OverlapModel = part(OverlapModel, "the network")
    TRAIN: ProposalTrain = part(ProposalTrain, "training")
    TEST: ConjugateTest = part(ConjugateTest, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        check_cells(self)
        return self
