"""Samples as a data set, each a pure function of (seed, epoch, index)."""

import bisect
import os
from collections import OrderedDict

import numpy as np
import torch

from lib.data.frames import partial_frame
from lib.errors import FrameError, UserError
from lib.train.data.processing import Processing, Shot, plausible
from lib.train.data.sampler import draw_frames, usable

ATTEMPTS = 10  # draws of one sample, each after one whose frames could not be used
OPEN_SEQUENCES = 32  # frame sources kept open by a process


class Samples(torch.utils.data.Dataset):
    """Samples of several datasets: `self[epoch, index]` is a dict of tensors, among them

        frame_ids, index, name (of `self.names`) int64: what the sample is made of
        replaced int64: how many draws before this one had a frame that could not be used

    and the same for any number of workers and processes. A subclass draws them: `_draw(rng)` returns such a dict,
    without index and replaced, or raises FrameError, upon which another one is drawn.

    Args:
        datasets: {name: [Sequence]}.
        part: section DATA.TRAIN or DATA.VAL of a configuration.
        seed: integer from 0.
        training: False for validation: the same in every epoch.
        ratios: share of samples from each dataset; None for those of the configuration, or else all alike.

    Raises:
        UserError: nothing to draw from, or ratios of another number than datasets.
    """

    def __init__(self, datasets, part, *, seed, training=True, ratios=None):
        self.seed, self.training, self.length = seed, training, part.SAMPLE_PER_EPOCH
        ratios = list(part.DATASETS_RATIO if ratios is None else ratios) or [1.0] * len(datasets)
        if len(ratios) != len(datasets):
            raise UserError(f"{len(ratios)} ratios for {len(datasets)} datasets")
        if not sum(ratios) > 0:
            raise UserError("no dataset to draw samples from: each has a ratio of 0, or there is none")
        self.sequences, self.groups = [], []
        for sequences in datasets.values():
            first = len(self.sequences)
            self.sequences += sequences
            self.groups.append(range(first, len(self.sequences)))
        self.cumulated = (np.cumsum(ratios) / sum(ratios)).tolist()
        self.names = [f"{sequence.dataset}/{sequence.name}" for sequence in self.sequences]
        self._process, self._open = None, OrderedDict()

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
                sample = self._draw(rng)
            except FrameError as error:
                failure = error
            else:
                return {**sample, "index": torch.tensor(index), "replaced": torch.tensor(attempt)}
        raise FrameError(f"sample {index} of epoch {epoch}: {ATTEMPTS} draws failed, the last one: {failure}")

    def _draw(self, rng):
        raise NotImplementedError

    def _sequence(self, rng):
        dataset, place = rng.random(2).tolist()
        group = self.groups[min(bisect.bisect_right(self.cumulated, dataset), len(self.groups) - 1)]
        return group[int(place * len(group))]

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


class SampleSet(Samples):
    """Samples of a tracker's. With T templates and N search frames `self[epoch, index]` holds, beside Samples' own,

        template_images (T, 3, Z, Z) uint8; template_masks (T, Lz) float32, see template_mask
        template_anno (T, 4), search_anno (N, 4) float32: xywh in shares of the crop, zeros where nothing is visible
        search_images (N, 3, S, S) uint8
        search_visible (N,) bool: the target is there and its centre in the crop
        crop_params (N, 3) float32: centre and side of the window, px of the frame as augmented (shrunk, mirrored)
        src_side (N,) float32: sqrt(w h) of the target (where absent: as it was last), px of that frame

    Args:
        config: a `lunar` configuration.
        datasets, seed, ratios: see Samples.
        training: False for validation: jitter but no augmentation, and the same in every epoch.
    """

    def __init__(self, datasets, config, *, seed, training=True, ratios=None):
        self.data = config.DATA
        gap = self.data.MAX_SAMPLE_INTERVAL
        drawable = {name: [one for one in group if usable(one.visible, gap)] for name, group in datasets.items()}
        for name, sequences in drawable.items():
            if not sequences:
                raise UserError(f"{name}: no sequence has two frames with a box to draw samples from")
        part = self.data.TRAIN if training else self.data.VAL
        super().__init__(drawable, part, seed=seed, training=training, ratios=ratios)
        self.processing = Processing(config, training)

    def _draw(self, rng):
        number = self._sequence(rng)
        sequence, searches = self.sequences[number], self.data.SEARCH.NUMBER
        absent, choice = rng.random() < self.data.ABSENT, rng.random()
        template_ids, search_ids = draw_frames(
            rng,
            sequence.visible,
            self.data.TEMPLATE.NUMBER,
            searches,
            self.data.MAX_SAMPLE_INTERVAL,
            absent and searches == 1,
        )
        images = {frame: self._frame(number, frame) for frame in sorted({*template_ids, *search_ids})}
        templates = [self._shot(number, frame, images[frame]) for frame in template_ids]
        shots, around = [], templates[-1].around
        for frame in search_ids:
            shot = self._shot(number, frame, images[frame])
            if shot.box_xywh is None:
                shot = Shot(shot.image, None, around, shot.place)
            around = shot.around
            shots.append(shot)
        away = range(0)
        if absent and all(shot.box_xywh is not None for shot in shots):
            first = 1 + int(choice * (searches - 1)) if searches > 1 else 0  # a clip begins with its target
            away = range(first, searches if searches == 1 else min(first + 2, searches))
        other = lambda: self._other(rng, number)  # noqa: E731 -- seldom needed, and it reads a frame
        sample = self.processing(rng, templates, shots, other, away)
        return {**sample, "frame_ids": torch.tensor(template_ids + search_ids), "name": torch.tensor(number)}

    def _other(self, rng, number):
        """A visible frame of another sequence, of the same dataset if it has more, as a Shot; None if there is none."""
        pool = next(group for group in self.groups if number in group)
        pool = pool if len(pool) > 1 else range(len(self.sequences))
        choice = pool[int(rng.integers(len(pool)))]
        if choice == number:
            choice = pool[(pool.index(choice) + 1) % len(pool)]
        frame = int(rng.choice(np.flatnonzero(self.sequences[choice].visible)))
        shot = self._shot(choice, frame, self._frame(choice, frame))
        return shot if choice != number and shot.box_xywh is not None else None

    def _shot(self, number, frame, image):
        sequence = self.sequences[number]
        box = np.asarray(sequence.boxes_xywh[frame], np.float64)
        seen = sequence.visible[frame] and plausible(box, image)
        return Shot(image, box if seen else None, box, f"{self.names[number]}, frame {frame}")

    def _frame(self, number, frame):
        """One frame, decoded where it is cut if it can be."""
        return partial_frame(self._frames(number), frame)
