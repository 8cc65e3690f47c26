"""Configuration of the family `mkdnet`."""

from .dimp import DiMP, FilterTrain
from .sections import Distillation, Positive, key, part


class MKDOptions(Distillation):
    SIDE: Positive = key(16.0, "side that the mean target of a batch is degraded to, px of the crop")
    FAITHFUL: bool = key(False, "train as the released code does; lib/train/actors/mkdnet.py lists how it differs")


class MKDTrain(FilterTrain):
    MKD: MKDOptions = part(MKDOptions, "what the student learns from the teacher")


class MKDNet(DiMP):
    """Configuration of script `mkdnet`: Super-DiMP for tiny targets, taught by one that sees large ones."""

    TRAIN: MKDTrain = part(MKDTrain, "training; TRAIN.START has the weights that teacher and student begin with")
