"""Sections of the configuration that several families share, and what every schema is written with.

Names are OSTrack's where OSTrack has the key.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]
Triple = tuple[NonNegative, NonNegative, NonNegative]
PositiveTriple = Annotated[tuple[Positive, Positive, Positive], Field()]


def key(default, meaning, **limits):
    return Field(default, description=meaning, validate_default=True, **limits)


def part(section, meaning):
    return Field(default_factory=section, description=meaning)


class Section(BaseModel):
    """Keys of a configuration, or sections of them.

    FIXED: {dotted key: value} of keys that earlier versions had, for what is now always so; checkpoints name them. Also
        of newer keys, for what was always so before.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    FIXED: ClassVar[dict[str, Any]] = {}


class Search(Section):
    SIZE: Count = key(256, "side of the search crop that the network takes, px", le=4096)
    FACTOR: Positive = key(4.0, "side of the search window / sqrt(w h) of the target")
    MIN_SIDE: NonNegative = key(64.0, "smallest side of the search window, image px; gives tiny targets room to move")
    CENTER_JITTER: NonNegative = key(
        3.0, "training: the centre of the window is moved by up to half of this, in target sizes"
    )
    SCALE_JITTER: NonNegative = key(0.25, "training: standard deviation of the logarithm of the window size")
    NUMBER: Count = key(1, "training: search frames of a sample; more than 1 makes clips in order of time", le=16)


class Template(Section):
    SIZE: Count = key(128, "side of the template crop that the network takes, px", le=4096)
    FACTOR: Positive = key(2.0, "side of the template window / sqrt(w h) of the target")
    MIN_SIDE: NonNegative = key(32.0, "smallest side of the template window, image px")
    CENTER_JITTER: NonNegative = key(0.0, "training: as in SEARCH")
    SCALE_JITTER: NonNegative = key(0.0, "training: as in SEARCH")
    NUMBER: Count = key(1, "number of templates: the first frame's, and beyond 1 those updated online", le=8)


class Datasets(Section):
    DATASETS_NAME: list[str] = key([], "datasets: names of benchmarks, or folders")
    DATASETS_RATIO: list[NonNegative] = key([], "share of samples from each dataset; [] = equal shares")
    SAMPLE_PER_EPOCH: Count = key(60000, "samples of an epoch")

    @model_validator(mode="after")
    def _consistent(self):
        if self.DATASETS_RATIO and len(self.DATASETS_RATIO) != len(self.DATASETS_NAME):
            raise ValueError(f"{len(self.DATASETS_RATIO)} DATASETS_RATIO for {len(self.DATASETS_NAME)} DATASETS_NAME")
        return self


class Augment(Section):
    FLIP: Share = key(0.5, "share of samples that are mirrored; all crops of a sample together")
    GRAY: Share = key(0.05, "share of samples without colour")
    BRIGHTNESS: Share = key(0.2, "largest relative change of brightness of a crop")
    STRETCH: Share = key(0.05, "change of the aspect ratio of search crops: standard deviation of its logarithm / 2")
    BLUR: Share = key(0.1, "share of samples that are blurred (Gaussian, sigma up to 1.2 px of the source)")
    JPEG: Share = key(0.1, "share of samples that are compressed again (quality 30 to 95)")
    TINY: Share = key(0.5, "share of samples that are shrunk until the target is TINY_SIDE px (spec A.8.5)")
    TINY_SIDE: tuple[Positive, Positive] = key((4.0, 32.0), "range of that side, drawn uniformly in its logarithm, px")
    NIGHT: Share = key(
        0.3, "share of samples turned into night (lib/data/night.py); all crops of a sample share one night"
    )
    NIGHT_EV: tuple[Positive, Positive] = key((1.5, 6.0), "range of the exposure of that night, stops below the day")
    NIGHT_VIDEO: Share = key(
        0.0, "share of these nights that look as a video camera records them (lib/data/camera_night.py)"
    )
    AVERAGED: Share = key(
        0.0, "share of nights whose search crops are means of several frames, as an enhancer with AVERAGE makes them"
    )
    DISTRACTORS: Share = key(0.0, "share of samples in which another target is pasted near the target")
    PARTS: Share = key(0.0, "share of DISTRACTORS in which a part of the target itself is pasted, as a negative")
    TURN: Share = key(0.0, "share of samples whose templates are rotated in the plane, by up to 180 degrees either way")
    CROSSING: Share = key(
        0.0, "share of clips in which a copy of the target, or another target, crosses its trajectory"
    )


class Frames(Section):
    """Crops of frames, and the datasets that they come from."""

    MEAN: Triple = key((0.485, 0.456, 0.406), "mean of R, G, B in [0, 1]; the first layer of the network subtracts it")
    STD: PositiveTriple = key(
        (0.229, 0.224, 0.225), "standard deviation of R, G, B in [0, 1]; the first layer divides by it"
    )
    SEARCH: Search = part(Search, "the search crop")
    TEMPLATE: Template = part(Template, "the template crop")
    TRAIN: Datasets = part(Datasets, "training sets")
    VAL: Datasets = part(Datasets, "validation sets, never trained on; scored on crops and by closed-loop tracking")
    AUGMENT: Augment = part(Augment, "augmentation of training crops")
    MAX_SAMPLE_INTERVAL: Count = key(200, "most frames between template and search frame")
    ABSENT: Share = key(0.0, "share of samples whose search crop does not show the target")
    CACHE: str = key("", "folder of crops made by tracking/make_crops.py; they are read instead of the videos")


class LowLight(Section):
    TYPE: Literal["haze_diffusion", "curve"] = key(
        "haze_diffusion", "the enhancer: two-step haze diffusion, or the curve network of Zero-DCE for comparison"
    )
    CHANNELS: tuple[Count, Count, Count] = key((16, 32, 48), "widths of its network at strides 8, 16 and 32")
    GATE: tuple[Share, Share] = key(
        (0.2, 0.4), "mean brightness below which it works fully, and above which it does nothing"
    )
    AVERAGE: bool = key(False, "whether frames of a video are first averaged over time, when tracking")
    STRENGTH: Share = key(1.0, "multiplier of the gate before a tracker (--enhancer)")
    # The keys below are haze_diffusion's alone.
    STEPS: Count = key(2, "evaluations of the network", le=8)
    DEPTH: Positive = key(
        5.0, "largest optical depth of all steps together: odds of brightness grow by at most exp(DEPTH)"
    )
    GUIDE: NonNegative = key(
        3.0, "largest slope of the depth over brightness; up to 16 / DEPTH the order of tones is preserved"
    )
    DENOISE: Share = key(0.95, "largest share of a band of detail that is removed as noise; 0 = no denoising")
    RESIDUAL: bool = key(False, "return the share r_k of the noise after each step but the last, as DDIM does")
    FORM: Literal["dcp", "plain"] = key(
        "dcp", "dcp: transmission of the dark channel. plain: one gain for all tones, clipped"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if not self.GATE[0] < self.GATE[1]:
            raise ValueError(f"GATE {list(self.GATE)}: expected two rising numbers")
        return self


class Scheduler(Section):
    TYPE: Literal["step", "cosine"] = key(
        "cosine", "step: x DECAY_RATE at LR_DROP_EPOCH. cosine: down to END x the rate"
    )
    LR_DROP_EPOCH: Count = key(240, "epoch at which step lowers the rate")
    DECAY_RATE: Share = key(0.1, "factor by which step lowers the rate")
    END: Share = key(0.01, "share of the rate at the end of cosine")
    WARMUP: Annotated[int, Field(ge=0)] = key(200, "optimiser steps in which the rate rises from 0")


class Optimisation(Section):
    EPOCH: Count = key(300, "number of epochs")
    BATCH_SIZE: Count = key(32, "samples of a batch, in each process")
    ACCUM: Count = key(1, "batches whose gradients are summed for one step")
    NUM_WORKER: Annotated[int, Field(ge=0)] = key(2, "processes that load samples, for each training process")
    LR: Positive = key(4e-4, "learning rate")
    START: str = key(
        "", "script/config of an earlier stage whose weights training begins with, as --script_prv and --config_prv"
    )
    WEIGHT_DECAY: NonNegative = key(1e-4, "weight decay of AdamW; vectors (norms, biases) and embeddings have none")
    SCHEDULER: Scheduler = part(Scheduler, "learning rate schedule")
    GRAD_CLIP_NORM: NonNegative = key(0.1, "largest norm of the gradient; 0 = no limit")
    PRECISION: Literal["fp32", "bf16", "fp16"] = key("bf16", "arithmetic of matrix products; losses are always fp32")
    EMA: Annotated[float, Field(ge=0, lt=1)] = key(
        0.0, "decay of the averaged weights, which are validated and saved; 0 = none"
    )
    FREEZE: list[str] = key([], "parameters whose names start with one of these are not trained")
    NONFINITE: Literal["stop", "skip"] = key("stop", "what happens when loss or gradient is NaN or Inf")
    PRINT_INTERVAL: Count = key(50, "steps between two lines of the log")
    VAL_EPOCH_INTERVAL: Count = key(20, "epochs between two validations")
    SAVE_INTERVAL: Count = key(500, "steps between two checkpoints for resuming; every epoch ends with one as well")
    KEEP: Count = key(2, "checkpoints of epochs that are kept, besides the best")


class Distillation(Section):
    """How a student that sees degraded crops learns from a teacher that sees them as they are (MKDNet)."""

    GEN_WEIGHT: NonNegative = key(1.0, "of the loss of features that the discriminators tell from the teacher's")
    FEATURE_WEIGHT: NonNegative = key(5.0, "of the distance between the features of student and teacher")
    SCORE_WEIGHT: NonNegative = key(2.0, "of the distance between their score maps")
    RATING_WEIGHT: NonNegative = key(0.1, "of the distance between what they think of boxes around the target")
    DISCRIMINATOR_LR: Positive = key(5e-4, "learning rate of the discriminators, without a schedule")


class Weights(Section):
    """Where the weights of a tracker come from."""

    CHECKPOINT: str = key(
        "", "weights under pretrained/; '' = <script>_<config>.safetensors, or else the last trained weights"
    )


class BoxTracking(Weights):
    """Keys of all trackers that search a window around the last box."""

    SEARCH_FACTOR: Positive | None = key(None, "factor of the search window in tracking; null = DATA.SEARCH.FACTOR")
    MIN_BOX: Positive = key(1.0, "smallest side of a predicted box, px")


class Associating(Section):
    """Trackers with a score map whose peaks may be other objects."""

    ASSOCIATE: bool = key(
        False,
        "follow all peaks of the score map as objects, and let KeepTrack's identity rules choose the target among them",
    )


class Sizing(Section):
    """How the size of a box follows what the network finds."""

    SIZE_STEP: Share = key(
        1.0,
        "share of the change of size (in the logarithm) that a frame adopts; below 1 the size changes more slowly",
        gt=0,
    )
    SIZE_CORRECTION: Share = key(
        0.0, "correct later sizes by the ratio of given to found size in the first frame, to this power; 0 = off"
    )


class Tracking(BoxTracking):
    """How a trained network tracks, whatever its family."""

    PRECISION: Literal["fp32", "bf16", "fp16", "int8"] = key(
        "fp32", "arithmetic of matrix products: fp32; bf16 in torch and openvino; fp16 in torch; int8 in onnx"
    )
    BACKEND: Literal["torch", "onnx", "openvino"] = key(
        "torch", "engine that runs the network; onnx and openvino run on the CPU"
    )
    COMPILE: bool = key(
        False,
        "use torch.compile. It takes about a minute at first, and again for a second batch size. It pays"
        " on a GPU; on a CPU, BACKEND onnx and openvino gain more",
    )

    @model_validator(mode="after")
    def _consistent(self):
        known = {"torch": ("fp32", "bf16", "fp16"), "onnx": ("fp32", "int8"), "openvino": ("fp32", "bf16")}
        if self.PRECISION not in known[self.BACKEND]:
            expected = " or ".join(known[self.BACKEND])
            raise ValueError(f"PRECISION {self.PRECISION}: BACKEND {self.BACKEND} needs {expected}")
        if self.COMPILE and self.BACKEND != "torch":
            raise ValueError(f"TEST.COMPILE: BACKEND {self.BACKEND} compiles by itself")
        return self
