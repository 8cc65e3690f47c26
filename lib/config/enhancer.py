"""Configuration of the family `enhancer`: the low-light enhancer, trained alone."""

from .sections import Count, Datasets, LowLight, NonNegative, Optimisation, Positive, Section, Share, key, part


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
