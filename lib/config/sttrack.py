"""Configuration of the family `sttrack`: as that of STARK, with a query that is passed on from frame to frame."""

from typing import Annotated

from pydantic import Field, model_validator

from .sections import Count, Section, Tracking, key, part
from .stark import Data, Model, Train


class TemporalModel(Model):
    UPDATE_LAYERS: Annotated[int, Field(ge=1, le=8)] = key(2, "layers in which the query attends to its history")
    HISTORY: Count = key(
        5, "earlier frames that the query attends to: one less than a training clip has; FAITHFUL: all of them", le=64
    )


class QueryTest(Tracking):
    QUERY: bool = key(True, "whether the query is passed on; off: every frame begins with the learned one, as in STARK")


class STTrack(Section):
    """Configuration of script `sttrack`."""

    DATA: Data = part(Data, "crops; DATA.SEARCH.NUMBER frames make a clip")
    MODEL: TemporalModel = part(TemporalModel, "the network")
    TRAIN: Train = part(Train, "training")
    TEST: QueryTest = part(QueryTest, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        if self.DATA.TEMPLATE.NUMBER > 1:
            raise ValueError(f"DATA.TEMPLATE.NUMBER {self.DATA.TEMPLATE.NUMBER}: expected 1")
        if self.MODEL.FAITHFUL and (self.TEST.BACKEND != "torch" or self.TEST.COMPILE):
            raise ValueError("MODEL.FAITHFUL: its history grows with the video, so torch alone runs it, not compiled")
        return self
