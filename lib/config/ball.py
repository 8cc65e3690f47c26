"""Configuration of the families that find a ball in windows of frames: the networks differ, all else is shared."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .sections import Count, Datasets, NonNegative, Optimisation, Positive, Section, Share, Weights, key, part

Size = tuple[Count, Count]
FIVE = Annotated[list[Count], Field(min_length=5, max_length=5)]


class BallData(Section):
    SIZE: Size = key((512, 288), "width and height that frames are scaled to, px of the network's input")
    SCALING: Literal["area", "bicubic", "warp"] = key(
        "area",
        "how: area keeps the frame's shape and takes as many px as SIZE has; bicubic stretches as TrackNetV3 does; "
        "warp fits the width and pads or cuts the height, as WASB does",
    )
    TRAIN: Datasets = part(Datasets, "what is trained on")
    VAL: Datasets = part(Datasets, "what is validated on, never seen in training")
    CACHE: str = key("", "not used: windows of whole frames are not cached")
    CROP: Size = key((256, 160), "training: the part of the scaled frames that a sample shows, px")
    AROUND: Share = key(0.75, "training: share of samples whose crop holds the ball of the middle frame, if it is seen")
    ZOOM: tuple[Positive, Positive] = key((0.8, 1.4), "training: range of a further scale, drawn in its logarithm")
    GAP: Count = key(1, "training: frames at most from one frame of a window to the next")
    POOL: Annotated[int, Field(ge=0)] = key(0, "training: sequences that an epoch draws from, in turn; 0 = all")
    FLIP: Share = key(0.5, "training: share of windows mirrored")
    COLOUR: Share = key(0.2, "training: largest relative change of brightness and of each colour")
    SIGMA: Positive = key(2.5, "deviation of the Gaussian that labels a ball, px of the network's input")

    @model_validator(mode="after")
    def _consistent(self):
        if not self.ZOOM[0] <= self.ZOOM[1]:
            raise ValueError(f"ZOOM {list(self.ZOOM)}: expected two rising numbers")
        return self


class BallModel(Section):
    TYPE: Literal["fusion", "unet", "hrnet"] = key(
        "fusion", "the network: MMFNet's multi-stage fusion, TrackNetV3's U-Net, or WASB's small HRNet"
    )
    FRAMES: Annotated[int, Field(ge=1, le=16)] = key(3, "frames of a window; each of them gets a heat map")
    BACKGROUND: bool = key(False, "whether the median of the video is a further input (fusion, unet)")
    # The keys below are fusion's alone.
    MOTION: bool = key(False, "whether what became brighter and darker since the frame before are further inputs")
    WIDTHS: FIVE = key([64, 128, 256, 512, 512], "channels of the five stages of the encoder")
    DEPTHS: FIVE = key([2, 2, 3, 3, 3], "convolutions of each of them")
    FUSED: Count = key(64, "channels of the fused stages")
    FOLD: Literal[1, 2, 4] = key(1, "side of the squares of px that become channels; maps are as much smaller")

    @model_validator(mode="after")
    def _consistent(self):
        if self.TYPE == "fusion" and self.FRAMES < 3:
            raise ValueError(f"FRAMES {self.FRAMES}: fusion needs at least 3")
        if self.TYPE == "hrnet" and self.BACKGROUND:
            raise ValueError("BACKGROUND: hrnet has no such input")
        return self


def multiple(model: Any) -> int:
    """What both sides of the input of a network are multiples of. model: section MODEL."""
    return 16 * model.FOLD if model.TYPE == "fusion" else 8


class BallTrain(Optimisation):
    SIDES: Annotated[list[NonNegative], Field(min_length=4, max_length=4)] = key(
        [0.5, 0.4, 0.3, 0.2], "weights of the losses of the side maps, strides 1 to 8 (fusion); the result has 1"
    )
    MIXUP: Share = key(0.0, "share of batches whose windows are blended in pairs, as TrackNetV3 does")


class BallTest(Weights):
    BACKEND: Literal["torch", "onnx", "openvino"] = key("torch", "what runs the network; the last two on the CPU")
    PRECISION: Literal["fp32"] = key("fp32", "arithmetic of the network's products")
    STEP: Annotated[int, Field(ge=0)] = key(
        1, "frames from one window to the next; 1 averages as many maps of each frame as a window has; 0 = a window"
    )
    TRIANGULAR: bool = key(True, "whether frames in the middle of a window weigh more in that average")
    THRESHOLD: Share = key(0.5, "a blob of the heat map is what exceeds it")
    GATE: Positive = key(300.0, "px of the frame: a blob so far from the ball of the frame before is refused")
    EXTRAPOLATION: NonNegative = key(
        0.0, "score that a blob loses per px from where constant acceleration expects it; 0 = none, as WASB's release"
    )
    BACKGROUND_FRAMES: Annotated[int, Field(ge=0)] = key(
        0, "frames at the beginning whose median is the background; 0 = the whole video, which is then needed first"
    )
    FILL: Literal["none", "linear", "network"] = key(
        "none", "gaps of the trajectory: left, or filled when the whole video is seen, by lines or by InpaintNet"
    )
    FILL_WEIGHTS: str = key("", "InpaintNet's weights, a file under pretrained/")
    FILL_TOP: Share = key(0.05, "share of the frame's height: no gap is filled where the ball left above this line")

    @model_validator(mode="after")
    def _consistent(self):
        if (self.FILL == "network") != bool(self.FILL_WEIGHTS):
            raise ValueError(f"FILL {self.FILL}: FILL network and FILL_WEIGHTS go together")
        return self


class Ball(Section):
    """Configuration of a family that finds a ball; the families differ in their experiments alone."""

    DATA: BallData = part(BallData, "windows of frames, and the samples of a training")
    MODEL: BallModel = part(BallModel, "the network")
    TRAIN: BallTrain = part(BallTrain, "training")
    TEST: BallTest = part(BallTest, "the tracker")

    @model_validator(mode="after")
    def _consistent(self):
        unit = multiple(self.MODEL)
        for name, size in (("SIZE", self.DATA.SIZE), ("CROP", self.DATA.CROP)):
            if size[0] % unit or size[1] % unit:
                raise ValueError(f"DATA.{name} {list(size)}: expected multiples of {unit}")
        if self.TEST.STEP > self.MODEL.FRAMES:
            raise ValueError(f"TEST.STEP {self.TEST.STEP} leaves out frames: windows have {self.MODEL.FRAMES}")
        return self
