"""From sequences to batches: which frames (sampler), what is cut from them (processing, augmentation), the loader."""

from .loader import epoch_batches, make_loader
from .samples import SampleSet

__all__ = ["SampleSet", "epoch_batches", "make_loader"]
