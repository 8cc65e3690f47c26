"""Every configuration key: its type, default, unit and meaning. `python -m lib.config` prints them all.

Names are OSTrack's where OSTrack has the key.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Triple = tuple[NonNegative, NonNegative, NonNegative]


def key(default, meaning, **limits):
    return Field(default, description=meaning, validate_default=True, **limits)


def part(section, meaning):
    return Field(default_factory=section, description=meaning)


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Search(Section):
    SIZE: Count = key(256, "side of the search crop given to the network, px", le=4096)
    FACTOR: Positive = key(4.0, "side of the search window / sqrt(w h) of the target")
    MIN_SIDE: NonNegative = key(64.0, "smallest side of the search window, image px: keeps reach around tiny targets")


class Template(Section):
    SIZE: Count = key(128, "side of the template crop given to the network, px", le=4096)
    FACTOR: Positive = key(2.0, "side of the template window / sqrt(w h) of the target")
    MIN_SIDE: NonNegative = key(32.0, "smallest side of the template window, image px")
    NUMBER: Count = key(1, "templates: the first frame's, and beyond 1 those updated online", le=8)


class Data(Section):
    MEAN: Triple = key((0.485, 0.456, 0.406), "mean of R, G, B in [0,1], subtracted by the network's first layer")
    STD: Annotated[tuple[Positive, Positive, Positive], Field()] = key(
        (0.229, 0.224, 0.225), "standard deviation of R, G, B in [0,1], divided by after the mean"
    )
    SEARCH: Search = part(Search, "the crop in which the target is looked for")
    TEMPLATE: Template = part(Template, "the crop that shows the target")


class Backbone(Section):
    TYPE: Literal["vit_tiny", "vit_small", "vit_base", "vit_large"] = key(
        "vit_base", "width, depth and heads of the ViT"
    )
    STRIDE: Literal[14, 16] = key(16, "side of one patch, px of the crop")
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
        depth = {"vit_large": 24}.get(self.TYPE, 12)
        if self.CE_LOC and max(self.CE_LOC) >= depth:
            raise ValueError(f"CE_LOC {self.CE_LOC} names a block beyond the {depth} of {self.TYPE}")
        if self.CE_LOC and self.ATTENTION != "joint":
            raise ValueError("CE_LOC (candidate elimination) needs ATTENTION: joint")
        return self


class Head(Section):
    TYPE: Literal["CENTER"] = key("CENTER", "score, size and offset maps (CenterNet style)")
    NUM_CHANNELS: Count = key(256, "channels of the first convolution; halved at each further one", ge=8)
    STRIDE: Literal[7, 8, 14, 16] = key(
        8, "px of the search crop per cell: the patch side, or half of it for tiny targets"
    )


class Model(Section):
    BACKBONE: Backbone = part(Backbone, "the one-stream vision transformer")
    HEAD: Head = part(Head, "the box head")


class Test(Section):
    CHECKPOINT: str = key(
        "", "weights file under pretrained/ ('' = <script>_<config>.safetensors, then the last trained)"
    )
    PRECISION: Literal["fp32", "bf16", "fp16"] = key("fp32", "arithmetic of the network's matrix products")
    SEARCH_FACTOR: Positive | None = key(None, "search window factor while tracking (null = DATA.SEARCH.FACTOR)")
    MIN_BOX: Positive = key(1.0, "smallest side of a predicted box, px")
    WINDOW: Literal["blend", "mult", "none"] = key(
        "blend", "how a Hann window joins the score: (1-g) score + g window, score x window (OSTrack), or not"
    )
    WINDOW_INFLUENCE: Share = key(0.3, "g of the blended window while the target is held")
    WINDOW_INFLUENCE_LOST: Share = key(0.1, "g after LOST_FRAMES uncertain frames")
    CONFIDENCE: Share = key(0.35, "score below which a frame counts as uncertain: size and velocity are then kept")
    LOST_FRAMES: Count = key(3, "uncertain frames in a row after which the target counts as lost")
    LOST_GROWTH: Annotated[float, Field(ge=1, le=2)] = key(1.15, "growth of the search window per lost frame")
    LOST_MAX_GROWTH: Annotated[float, Field(ge=1)] = key(4.0, "largest growth of the search window while lost")
    MOTION: Literal["kalman", "none"] = key("kalman", "centre of the search window: predicted, or the last box")
    UPDATE_INTERVAL: Count = key(25, "frames between updates of the online templates")
    UPDATE_THRESHOLD: Share = key(0.7, "score above which a frame may become a template")


class Lunar(Section):
    """Configuration of script `lunar`: the one-stream tracker, and OSTrack as one of its settings."""

    DATA: Data = part(Data, "crops and their normalisation")
    MODEL: Model = part(Model, "the network")
    TEST: Test = part(Test, "the online tracker")

    @model_validator(mode="after")
    def _consistent(self):
        patch = self.MODEL.BACKBONE.STRIDE
        for name, crop in (("SEARCH", self.DATA.SEARCH), ("TEMPLATE", self.DATA.TEMPLATE)):
            if crop.SIZE % patch:
                raise ValueError(f"DATA.{name}.SIZE {crop.SIZE} is not a multiple of MODEL.BACKBONE.STRIDE {patch}")
        if self.MODEL.HEAD.STRIDE not in (patch, patch // 2):
            raise ValueError(f"MODEL.HEAD.STRIDE {self.MODEL.HEAD.STRIDE}: expected {patch} or {patch // 2}")
        return self


class OpenCVTest(Section):
    TRACKER: Literal["mil", "nano", "csrt", "kcf"] = key("mil", "which of OpenCV's trackers")
    CHECKPOINT: str = key("", "nano: folder under pretrained/ with the backbone and head as ONNX")


class OpenCV(Section):
    """Configuration of script `opencv`: OpenCV's own trackers behind the same runner."""

    TEST: OpenCVTest = part(OpenCVTest, "the tracker")


class Identity(Section):
    """Configuration of script `identity`: the first box for ever, a floor for every score."""
