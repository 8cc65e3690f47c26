"""Configuration of the family `sttrack`: STARK with a query that is passed from frame to frame."""

from typing import Annotated

from pydantic import Field, model_validator

from .sections import Count, Section, Tracking, key, part
from .stark import Data, Model, Train


class TemporalModel(Model):
    UPDATE_LAYERS: Annotated[int, Field(ge=1, le=8)] = key(2, "layers in which the query attends to its history")
    HISTORY: Count = key(
        5, "earlier frames that the query attends to: frames of a training clip - 1. FAITHFUL: all frames", le=64
    )


class QueryTest(Tracking):
    QUERY: bool = key(
        True, "pass the query to the next frame; if false, every frame starts with the learned query, as STARK"
    )


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
            raise ValueError(
                "MODEL.FAITHFUL: the history grows with the video, so it needs BACKEND torch without COMPILE"
            )
        return self
