"""Samples as a data set, each a pure function of (seed, epoch, index)."""

import bisect
import os
from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import torch

from ...data.crop import Crop
from ...data.frames import partial_frame
from ...errors import FrameError, UserError
from .sampler import usable
from .views import LabelledFrame, plausible

ATTEMPTS = 10  # draws of one sample, each after one whose frames could not be used
OPEN_SEQUENCES = 32  # frame sources kept open by a process


class Samples(torch.utils.data.Dataset, ABC):
    """Samples of several datasets. `self[epoch, index]` is a dict of tensors, among them

        frame_ids, index, name (of `self.names`) int64: what the sample is made of
        replaced int64: how many draws before this one had a frame that could not be used

    A sample depends on (seed, epoch, index) alone, whatever the number of workers and processes.

    A subclass draws them: `_draw(rng, epoch)` returns such a dict without index and replaced. It may raise FrameError;
    then another one is drawn.

    Args:
        datasets: {name: [Sequence]}.
        section: DATA.TRAIN or DATA.VAL of a configuration.
        seed: integer from 0.
        training: False for validation: the same in every epoch.
        ratios: share of samples from each dataset; None for those of the configuration, or else all alike.

    Raises:
        UserError: nothing to draw from, or ratios of another number than datasets.
    """

    def __init__(self, datasets: dict, section, *, seed: int, training: bool = True, ratios: list | None = None):
        self.seed, self.training, self.length = seed, training, section.SAMPLE_PER_EPOCH
        ratios = list(section.DATASETS_RATIO if ratios is None else ratios) or [1.0] * len(datasets)
        if len(ratios) != len(datasets):
            raise UserError(f"{len(ratios)} ratios for {len(datasets)} datasets")
        if not sum(ratios) > 0:
            raise UserError("no dataset to draw samples from: each has a ratio of 0, or there is none")
        self.sequences: list = []
        self.groups: list = []
        for sequences in datasets.values():
            first = len(self.sequences)
            self.sequences += sequences
            self.groups.append(range(first, len(self.sequences)))
        self.cumulated = (np.cumsum(ratios) / sum(ratios)).tolist()
        self.names = [f"{sequence.dataset}/{sequence.name}" for sequence in self.sequences]
        self._process, self._open = None, OrderedDict()  # type: ignore[var-annotated]

    def __len__(self):
        return self.length

    def __getstate__(self):  # what is open stays in its process
        return {**self.__dict__, "_process": None, "_open": OrderedDict()}

    def __getitem__(self, key):
        """The sample `index` of `epoch`. Raises FrameError where ten draws in a row fail."""
        epoch, index = key
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng([self.seed, epoch if self.training else 0, index, attempt])
            try:
                sample = self._draw(rng, epoch)
            except FrameError as error:
                failure = error
            else:
                return {**sample, "index": torch.tensor(index), "replaced": torch.tensor(attempt)}
        raise FrameError(f"sample {index} of epoch {epoch}: {ATTEMPTS} draws failed, the last one: {failure}")

    @abstractmethod
    def _draw(self, rng, epoch):
        """A sample, see the class. epoch: from 1; 0 in validation."""

    def _dataset(self, share):
        """Number of the dataset at a random number in [0, 1), by the ratios."""
        return min(bisect.bisect_right(self.cumulated, share), len(self.groups) - 1)

    def _sequence(self, rng):
        dataset, share = rng.random(2).tolist()
        group = self.groups[self._dataset(dataset)]
        return group[int(share * len(group))]

    def _frames(self, number):
        """The frames of a sequence, from a source that this process opened; those not used for longest are closed."""
        if self._process != os.getpid():  # decoders and file positions must not be shared with a forked worker
            self._process, self._open = os.getpid(), OrderedDict()
        if number not in self._open:
            self._open[number] = self.sequences[number].frames()
            if len(self._open) > OPEN_SEQUENCES:
                self._open.popitem(last=False)
        self._open.move_to_end(number)
        return self._open[number]


class FrameSamples(Samples):
    """Samples of frames in which the target is labelled: what the data sets of trackers share.

    Args:
        datasets, seed, ratios: see Samples.
        data: section DATA of a configuration.
        training: False for validation: jitter but no augmentation, and the same in every epoch.

    Raises:
        UserError: a dataset in which no sequence has two frames with a box.
    """

    def __init__(self, datasets: dict, data, *, seed: int, training: bool = True, ratios: list | None = None):
        self.data, gap = data, data.MAX_SAMPLE_INTERVAL
        drawable = {name: [one for one in group if usable(one.visible, gap)] for name, group in datasets.items()}
        for name, sequences in drawable.items():
            if not sequences:
                raise UserError(f"{name}: no sequence has two frames with a box to draw samples from")
        super().__init__(drawable, data.TRAIN if training else data.VAL, seed=seed, training=training, ratios=ratios)

    def _source(self, number, frame, size):
        """The part of the whole frame that an image shows, `size` px wide, as a Crop; None for all of it."""
        windows = self.sequences[number].windows
        return None if windows is None else Crop(*windows[frame, 1:].tolist(), size)

    def _whole(self, number, frame, size):
        """The target's box (4,) in a frame, px of the whole frame."""
        source, box = self._source(number, frame, size), self.sequences[number].boxes_xywh[frame]
        return box if source is None else source.to_image(box)

    def _other(self, rng, number):
        """A visible LabelledFrame of another sequence, of the same dataset if it has more; None if there is none."""
        pool = next(group for group in self.groups if number in group)
        pool = pool if len(pool) > 1 else range(len(self.sequences))
        choice = pool[int(rng.integers(len(pool)))]
        if choice == number:
            choice = pool[(pool.index(choice) + 1) % len(pool)]
        frame = int(rng.choice(np.flatnonzero(self.sequences[choice].visible)))
        found = self._labelled(choice, frame, self._frame(choice, frame))
        return found if choice != number and found.box_xywh is not None else None

    def _labelled(self, number, frame, image):
        """A LabelledFrame of a sequence. image: that frame, see `_frame`."""
        sequence = self.sequences[number]
        box = np.asarray(sequence.boxes_xywh[frame], np.float64)
        seen = sequence.visible[frame] and plausible(box, image)
        source = self._source(number, frame, image.shape[0])
        return LabelledFrame(image, box if seen else None, box, f"{self.names[number]}, frame {frame}", source)

    def _searched(self, number, frames, images, around):
        """LabelledFrames of a sequence in their order. One without a box lies around the box before it.

        images: {frame: image}. around: the box (4,) before the first of them.
        """
        found = []
        for frame in frames:
            labelled = self._labelled(number, frame, images[frame])
            if labelled.box_xywh is None:
                labelled = replace(labelled, around=around)
            around = labelled.around
            found.append(labelled)
        return found

    def _frame(self, number, frame):
        """One frame, decoded where it is cut if it can be."""
        return partial_frame(self._frames(number), frame)
