"""Configuration of the families that find a ball in windows of frames. They share everything but the network."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from .sections import Count, Datasets, NonNegative, Optimisation, Positive, Section, Share, Weights, key, part

Size = tuple[Count, Count]
FiveCounts = Annotated[list[Count], Field(min_length=5, max_length=5)]


class BallData(Section):
    SIZE: Size = key((512, 288), "width and height of the network's input, px")
    SCALING: Literal["area", "bicubic", "warp"] = key(
        "area",
        "how frames are scaled. area: keep the aspect ratio and the number of px of SIZE. bicubic: stretch to SIZE, as "
        "TrackNetV3. warp: fit the width and pad or crop the height, as WASB",
    )
    TRAIN: Datasets = part(Datasets, "training sets")
    VAL: Datasets = part(Datasets, "validation sets, never trained on")
    CACHE: str = key("", "must stay empty: windows of whole frames are not cached")
    CROP: Size = key((256, 160), "training: width and height of the crop of the scaled frames, px")
    AROUND: Share = key(0.75, "training: share of windows whose crop contains a visible ball in the middle frame")
    ZOOM: tuple[Positive, Positive] = key((0.8, 1.4), "training: range of the random scale, log-uniform")
    STRETCH: Positive = key(1.0, "training: largest random ratio between the scales of width and height")
    PAN: NonNegative = key(
        0.0,
        "training: standard deviation of the crop's motion in half of the windows, px of the input a frame",
    )
    COMPRESS: Share = key(0.0, "training: share of windows that are blurred and compressed as JPEG")
    GAP: Count = key(1, "training: largest distance between consecutive frames of a window, frames")
    POOL: Annotated[int, Field(ge=0)] = key(0, "training: sequences used in one epoch, in rotation; 0 = all")
    FLIP: Share = key(0.5, "training: share of windows that are mirrored")
    COLOUR: Share = key(0.2, "training: largest relative change of the brightness and of each colour channel")
    SIGMA: Positive = key(2.5, "standard deviation of the Gaussian label of a ball, px of the network's input")

    @model_validator(mode="after")
    def _consistent(self):
        if not self.ZOOM[0] <= self.ZOOM[1]:
            raise ValueError(f"ZOOM {list(self.ZOOM)}: expected two numbers, the smaller one first")
        return self


class BallModel(Section):
    TYPE: Literal["fusion", "unet", "hrnet"] = key(
        "fusion", "the network: MMFNet's multi-stage fusion, TrackNetV3's U-Net, or WASB's small HRNet"
    )
    FRAMES: Annotated[int, Field(ge=1, le=16)] = key(
        3, "frames per window; the network predicts one heat map per frame"
    )
    BACKGROUND: bool = key(False, "use the median of the video as an additional input (fusion, unet)")
    # Only fusion uses the keys below.
    MOTION: bool = key(False, "use the brightness increase and decrease since the frame before as inputs")
    WIDTHS: FiveCounts = key([64, 128, 256, 512, 512], "channels of the five stages of the encoder")
    DEPTHS: FiveCounts = key([2, 2, 3, 3, 3], "convolutions in each of the five stages")
    FUSED: Count = key(64, "channels of each fused stage")
    FOLD: Literal[1, 2, 4] = key(
        1, "side of the squares of px that are moved to channels; heat maps are smaller by this factor"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if self.TYPE == "fusion" and self.FRAMES < 3:
            raise ValueError(f"FRAMES {self.FRAMES}: fusion needs at least 3")
        if self.TYPE == "hrnet" and self.BACKGROUND:
            raise ValueError("BACKGROUND: hrnet takes no background")
        return self


def multiple(model: Any) -> int:
    """The number that width and height of the network's input must be multiples of. model: section MODEL."""
    return 16 * model.FOLD if model.TYPE == "fusion" else 8


class BallTrain(Optimisation):
    SIDES: Annotated[list[NonNegative], Field(min_length=4, max_length=4)] = key(
        [0.5, 0.4, 0.3, 0.2],
        "weights of the losses of the side maps of strides 1, 2, 4 and 8 (fusion); the final map has weight 1",
    )
    MIXUP: Share = key(0.0, "share of batches whose windows are blended in pairs (mixup, as in TrackNetV3)")


class BallTest(Weights):
    BACKEND: Literal["torch", "onnx", "openvino"] = key(
        "torch", "engine that runs the network; onnx and openvino run on the CPU"
    )
    PRECISION: Literal["fp32"] = key("fp32", "arithmetic of matrix products")
    STEP: Annotated[int, Field(ge=0)] = key(
        1, "frames between the starts of consecutive windows; overlapping maps are averaged; 0 = no overlap"
    )
    TRIANGULAR: bool = key(True, "give frames in the middle of a window more weight in that average")
    THRESHOLD: Share = key(0.5, "a blob is a connected region of the heat map above this value")
    GATE: Positive = key(
        300.0, "a blob at this distance from the last frame's ball, or farther, is rejected; px of the frame"
    )
    EXTRAPOLATION: NonNegative = key(
        0.0, "score penalty per px of distance to a constant-acceleration prediction; 0 = none, as the released WASB"
    )
    BACKGROUND_FRAMES: Annotated[int, Field(ge=0)] = key(
        0, "number of first frames whose median is the background; 0 = whole video, which must then be read first"
    )
    FILL: Literal["none", "linear", "network"] = key(
        "none", "fill gaps of the trajectory at the end of the video: not, by straight lines, or by InpaintNet"
    )
    FILL_WEIGHTS: str = key("", "weights of InpaintNet, under pretrained/")
    FILL_TOP: Share = key(
        0.05, "share of the frame height; a gap is not filled if the ball left the image above this line"
    )

    @model_validator(mode="after")
    def _consistent(self):
        if (self.FILL == "network") != bool(self.FILL_WEIGHTS):
            raise ValueError(f"FILL {self.FILL}: FILL network and FILL_WEIGHTS must be set together")
        return self


class Ball(Section):
    """Configuration of a family that finds a ball. The families differ only in their experiments."""

    DATA: BallData = part(BallData, "windows of frames, and training samples")
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
            raise ValueError(
                f"TEST.STEP {self.TEST.STEP} skips frames: expected at most MODEL.FRAMES {self.MODEL.FRAMES}"
            )
        return self
