"""Configuration of the family `mkdnet`."""

from .dimp import DiMP, FilterTrain
from .sections import Distillation, Positive, key, part


class MKDOptions(Distillation):
    SIDE: Positive = key(16.0, "side of the mean target of a batch in the degraded crops, px of the crop")
    FAITHFUL: bool = key(False, "train as the released code does; lib/train/actors/mkdnet.py lists the differences")


class MKDTrain(FilterTrain):
    MKD: MKDOptions = part(MKDOptions, "distillation from a teacher that sees sharp crops")


class MKDNet(DiMP):
    """Configuration of script `mkdnet`: Super-DiMP for tiny targets, distilled from one that sees large targets."""

    TRAIN: MKDTrain = part(MKDTrain, "training; teacher and student both start with the weights of TRAIN.START")
