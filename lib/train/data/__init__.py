"""From sequences to batches: which frames (sampler), the crops of them (views, augmentation), data sets, the loader."""

from .loader import epoch_batches, make_loader

__all__ = ["epoch_batches", "make_loader"]
