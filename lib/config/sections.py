"""Sections of the configuration that several families share, and what every schema is written with.

Names are OSTrack's where OSTrack has the key.
"""

from typing import Annotated, Literal

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


class Tracking(Section):
    """How a trained network tracks, whatever its family."""

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

    @model_validator(mode="after")
    def _consistent(self):
        known = {"torch": ("fp32", "bf16", "fp16"), "onnx": ("fp32", "int8"), "openvino": ("fp32", "bf16")}
        if self.PRECISION not in known[self.BACKEND]:
            expected = " or ".join(known[self.BACKEND])
            raise ValueError(f"PRECISION {self.PRECISION}: BACKEND {self.BACKEND} needs {expected}")
        if self.COMPILE and self.BACKEND != "torch":
            raise ValueError(f"TEST.COMPILE: BACKEND {self.BACKEND} compiles by itself")
        return self
