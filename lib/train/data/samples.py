"""Samples as a data set, each a pure function of (seed, epoch, index)."""

import bisect
import os
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import torch

from ...data.crop import Crop
from ...data.frames import partial_frame
from ...errors import FrameError, UserError
from .processing import CHAIN_GT, CHAIN_PRED, INDEPENDENT, Past, Processing, Shot, plausible
from .sampler import draw_frames, usable

ATTEMPTS = 10  # draws of one sample, each after one whose frames could not be used
FATES = KEPT, DROPPED, POISONED, DRAWN_OFF = range(4)
OPEN_SEQUENCES = 32  # frame sources kept open by a process


class Samples(torch.utils.data.Dataset):
    """Samples of several datasets: `self[epoch, index]` is a dict of tensors, among them

        frame_ids, index, name (of `self.names`) int64: what the sample is made of
        replaced int64: how many draws before this one had a frame that could not be used

    and the same for any number of workers and processes. A subclass draws them: `_draw(rng, epoch)` returns such a
    dict, without index and replaced, or raises FrameError, upon which another one is drawn.

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
                sample = self._draw(rng, epoch)
            except FrameError as error:
                failure = error
            else:
                return {**sample, "index": torch.tensor(index), "replaced": torch.tensor(attempt)}
        raise FrameError(f"sample {index} of epoch {epoch}: {ATTEMPTS} draws failed, the last one: {failure}")

    def _draw(self, rng, epoch):
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
        template_inside (T, 4), search_inside (N, 4) float32: x0, y0, x1, y1 of the part of the crop that shows the
            frame, in shares of the crop; beyond it the crop is black
        search_visible (N,) bool: the target is there and its centre in the crop
        crop_params (N, 3) float32: centre and side of what the search image shows, px of the whole frame, mirrored at
            x = 0 and stretched as the image is, so that they are the same for all frames of a clip
        src_side (N,) float32: sqrt(w h) of the target (where absent: as it was last), px of the frame as shrunk

    and for a network with a query (MODEL.QUERY), places being (3,) centre and sqrt(w h) in px as of crop_params,

        search_images (N, 3, R, R), R = 2 S in the last part of the training (DATA.CLIP.CHAIN_PRED), else S
        search_windows (N, 3) float32: as crop_params, the window that the network is to see
        search_places (N, 3) float32: of the target, where absent as it was last
        anchor_image (3, S, S) uint8, anchor_window, anchor_place (3,): the search crop of the first template's frame
        history (L, 4) float32: places at the steps before the first search frame, and 1; zeros where unknown
        times (N,) int64: steps from the first template's frame
        chain int64: INDEPENDENT, CHAIN_GT or CHAIN_PRED. least_window float32: side of the smallest window, px
        fate int64: FATES, what happens to the memory before the first search frame

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
            if training and config.MODEL.QUERY.ENABLE and self.data.CACHE:
                placeless = next((one for one in sequences if len(one) > 1 and one.windows is None), None)
                if placeless is not None:  # motion would be learned from crops that all have the target in the middle
                    raise UserError(
                        "an older version made these crops, without windows.txt: make them anew", placeless.place
                    )
        part = self.data.TRAIN if training else self.data.VAL
        super().__init__(drawable, part, seed=seed, training=training, ratios=ratios)
        self.processing = Processing(config, training)
        self.query = config.MODEL.QUERY if config.MODEL.QUERY.ENABLE else None
        self.epochs = config.TRAIN.EPOCH

    def _draw(self, rng, epoch):
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
        past = fate = None
        if self.query:
            past, fate = self._past(rng, number, template_ids[0], search_ids, images[search_ids[0]], epoch)
        templates = [self._shot(number, frame, images[frame]) for frame in template_ids]
        shots, around = [], templates[-1].around
        for frame in search_ids:
            shot = self._shot(number, frame, images[frame])
            if shot.box_xywh is None:
                shot = replace(shot, around=around)
            around = shot.around
            shots.append(shot)
        away = range(0)
        if absent and all(shot.box_xywh is not None for shot in shots):
            first = 1 + int(choice * (searches - 1)) if searches > 1 else 0  # a clip begins with its target
            away = range(first, searches if searches == 1 else min(first + 2, searches))
        other = lambda: self._other(rng, number)  # noqa: E731 -- seldom needed, and it reads a frame
        sample = self.processing(rng, templates, shots, other, away, past)
        if past is not None:
            sample["fate"] = torch.tensor(fate)
        return {**sample, "frame_ids": torch.tensor(template_ids + search_ids), "name": torch.tensor(number)}

    def _past(self, rng, number, template, searches, image, epoch):
        """(Past, fate) of a clip that begins at frame `searches[0]`, shown by `image`."""
        clip, sequence = self.data.CLIP, self.sequences[number]
        chance, kind, cut = rng.random(3)
        # From here on the progress of the training decides, so that a sample stays a function of (seed, epoch, index).
        progress = (epoch - 1) / self.epochs if self.training else clip.CHAIN_GT
        room = self.training and progress >= clip.CHAIN_PRED
        other = CHAIN_PRED if room else CHAIN_GT if progress >= clip.CHAIN_GT else INDEPENDENT
        chain = other if chance < 0.5 else CHAIN_GT
        shares = np.cumsum([clip.DROP, clip.POISON, clip.DRAW_OFF]) * self.training
        fate = (DROPPED, POISONED, DRAWN_OFF, KEPT)[int(np.searchsorted(shares, kind, side="right"))]
        stride = max(searches[1] - searches[0], 1) if len(searches) > 1 else 1
        earlier = searches[0] - stride * np.arange(self.query.TRAIL, 0, -1)
        known = (earlier >= template) & sequence.visible[np.maximum(earlier, 0)]
        if self.training and cut < 0.3:  # a track just begun
            known[: -1 - int(cut / 0.3 * (len(known) - 1))] = False
        history = np.zeros((len(earlier), 5))
        for row in np.flatnonzero(known):
            history[row] = *self._whole(number, int(earlier[row]), image.shape[0]), 1
        if fate == DRAWN_OFF:  # as by a look-alike that crosses the target's way
            count, angle = int(rng.integers(1, 9)), rng.uniform(0, 2 * np.pi)
            ramp = rng.uniform(0, 0.8) * np.arange(1, count + 1) / count
            size = np.sqrt(history[-count:, 2:4].prod(axis=1))
            history[-count:, :2] += (ramp[-len(size) :] * size)[:, None] * [np.cos(angle), np.sin(angle)]
        before = []
        for frame in searches:
            last = frame - stride
            seen = last >= 0 and sequence.visible[last] and len(sequence) > 1
            before.append(self._seen_in(number, last, frame, image.shape[0]) if seen else None)
        gap = max(round((searches[0] - template) / stride), 1)
        return Past(chain, room, before, history, gap + np.arange(len(searches))), fate

    def _source(self, number, frame, size):
        """The part of the whole frame that an image shows, `size` px wide, as a Crop; None for all of it."""
        windows = self.sequences[number].windows
        return None if windows is None else Crop(*windows[frame, 1:].tolist(), size)

    def _whole(self, number, frame, size):
        """The target's box (4,) in a frame, px of the whole frame."""
        source, box = self._source(number, frame, size), self.sequences[number].boxes_xywh[frame]
        return box if source is None else source.to_image(box)

    def _seen_in(self, number, last, frame, size):
        """The target's box (4,) in frame `last`, px of the image of `frame`."""
        source, box = self._source(number, frame, size), self._whole(number, last, size)
        return box if source is None else source.to_patch(box)

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
        source = self._source(number, frame, image.shape[0])
        return Shot(image, box if seen else None, box, f"{self.names[number]}, frame {frame}", source)

    def _frame(self, number, frame):
        """One frame, decoded where it is cut if it can be."""
        return partial_frame(self._frames(number), frame)
