"""Configuration of the family `enhancer`: the low-light enhancer, trained alone."""

from pydantic import model_validator

from .sections import Datasets, LowLight, NonNegative, Optimisation, Positive, Section, Share, key, part


class Night(Section):
    EV: tuple[Positive, Positive] = key((1.5, 7.0), "range of the exposure of the night, stops below the day")
    IDENTITY: Share = key(0.15, "training: share of pairs that are not darkened, with the gate open")
    DARK: Share = key(0.1, "share of pairs as from a thermal camera: grey, with dark areas that are dark by day too")
    PROCESSED: Share = key(0.5, "share of nights of a denoising camera in a lit town (lib/data/night.py)")
    CAMERA: Share = key(
        0.0, "share of nights of a video camera: filtered noise, lamps, JPEG or H.264 (lib/data/camera_night.py)"
    )
    REAL: list[str] = key(
        [], "those of DATA.TRAIN.DATASETS_NAME that are real nights: learnt from without the day they lack"
    )
    ENLARGED: Share = key(
        0.3, "share of pairs that are darkened at half their size and then enlarged, like crops of tiny targets"
    )


class Pairs(Section):
    TRAIN: Datasets = part(Datasets, "training sets: any dataset by day, or folders of photographs")
    VAL: Datasets = part(Datasets, "validation sets, never trained on")
    CACHE: str = key("", "folder of crops made by tracking/make_crops.py; they are read instead of the videos")
    CROP: int = key(128, "side of the crops, px", ge=16, le=1024)
    SCALE: tuple[Positive, Positive] = key((1.0, 3.0), "range of image px per px of the crop; limited by the image")
    NIGHT: Night = part(Night, "how the dark image of a pair is made")

    @model_validator(mode="after")
    def _consistent(self):
        unknown = [name for name in self.NIGHT.REAL if name not in self.TRAIN.DATASETS_NAME]
        if unknown:
            raise ValueError(f"NIGHT.REAL {unknown[0]}: not among TRAIN.DATASETS_NAME")
        return self


class LowLightTrain(Optimisation):
    REC_WEIGHT: NonNegative = key(1.0, "weight of the Charbonnier distance to the clean image")
    SSIM_WEIGHT: NonNegative = key(0.2, "weight of 1 - SSIM")
    MID_WEIGHT: NonNegative = key(
        0.5, "relative weight of both losses for the estimate of the clean image before the first step"
    )
    COLOUR_WEIGHT: NonNegative = key(0.05, "weight of 1 - cosine of the colours")
    IDENTITY_WEIGHT: NonNegative = key(0.5, "weight of the change of pairs that should not change")
    # The keys below are of real nights, which have no clean image.
    EXPOSURE: Share = key(0.4, "brightness that places of 32 px of a real night should have")
    EXPOSURE_WEIGHT: NonNegative = key(1.0, "weight of the distance to EXPOSURE")
    ORDER_WEIGHT: NonNegative = key(5.0, "weight of contrasts between places that shrink or change their sign")
    SMOOTH_WEIGHT: NonNegative = key(0.2, "weight of the squared change of the brightening from place to place")
    CONSTANCY_WEIGHT: NonNegative = key(0.5, "weight of the squared differences between the channels' means")
    CALIBRATION_WEIGHT: NonNegative = key(0.5, "weight of the distance from what was foreseen first to the result")


class Enhancer(Section):
    """Configuration of script `enhancer`: the low-light enhancer, trained alone; it tracks nothing."""

    DATA: Pairs = part(Pairs, "pairs of a clean image and the same image at night")
    MODEL: LowLight = part(LowLight, "the enhancer")
    TRAIN: LowLightTrain = part(LowLightTrain, "training")
