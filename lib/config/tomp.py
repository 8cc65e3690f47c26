"""Configuration of the family `tomp`."""

from pydantic import model_validator

from .dimp import Data, Model, Test, Train, check_cells
from .sections import Count, NonNegative, Section, Share, key, part


class Transformer(Section):
    NHEADS: Count = key(8, "attention heads")
    DIM_FEEDFORWARD: Count = key(2048, "width between the two linear layers of each layer")
    ENC_LAYERS: Count = key(6, "layers of the encoder")
    DEC_LAYERS: Count = key(6, "layers of the decoder")


class FilterModel(Model):
    HIDDEN_DIM: Count = key(256, "width of the tokens", multiple_of=4)
    TRANSFORMER: Transformer = part(Transformer, "the transformer that predicts the filter from the training frames")
    MARK_TEST: bool = key(True, "add a learned vector to the tokens of the search frame")

    @model_validator(mode="after")
    def _consistent(self):
        if self.HIDDEN_DIM % self.TRANSFORMER.NHEADS:
            raise ValueError(f"HIDDEN_DIM {self.HIDDEN_DIM}: expected a multiple of NHEADS {self.TRANSFORMER.NHEADS}")
        return self


class FilterTrain(Train):
    CLS_WEIGHT: NonNegative = key(100.0, "weight of the score loss")


class MemoryTest(Test):
    REMEMBER: Share = key(0.9, "a frame with a higher score becomes the second training frame, beside the first frame")


class ToMP(Section):
    """Configuration of script `tomp`. A transformer predicts the filter; nothing is optimised while tracking."""

    DATA: Data = part(Data, "crops")
    MODEL: FilterModel = part(FilterModel, "the network")
    TRAIN: FilterTrain = part(FilterTrain, "training")
    TEST: MemoryTest = part(MemoryTest, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        check_cells(self)
        if self.DATA.SEARCH.NUMBER > 1:
            raise ValueError(f"DATA.SEARCH.NUMBER {self.DATA.SEARCH.NUMBER}: expected 1")
        return self
