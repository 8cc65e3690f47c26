"""From sequences to batches: which frames (sampler), what is cut from them (processing, augmentation), the loader."""

from lib.train.data.loader import epoch_batches, make_loader
from lib.train.data.samples import SampleSet

__all__ = ["SampleSet", "epoch_batches", "make_loader"]
