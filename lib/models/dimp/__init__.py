"""DiMP, PrDiMP and Super-DiMP: a learned target classifier and an IoU-Net on one ResNet."""

from .model import Classifier, DiMP, dimp, prdimp, super_dimp, super_dimp_simple

__all__ = ["Classifier", "DiMP", "dimp", "prdimp", "super_dimp", "super_dimp_simple"]
