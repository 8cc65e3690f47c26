"""Pairs of crops with target candidates, and which candidates of the two are the same object."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch

from ...cli import invocation
from ...config.dimp import stride_of
from ...errors import UserError
from ...models.keep_track.model import candidate_centres, normalise_centres
from .samples import Samples

# A crop by its candidates: the target has the highest score ("leads") or not ("beaten"), is the only one ("alone"), or
# is none of several ("missing"). How often each is drawn, alone and as two consecutive frames (arXiv:2103.16556).
SINGLE = {"leads": 1.0, "beaten": 0.5, "missing": 0.5}
PAIRS = {("leads", "leads"): 1.0, ("leads", "beaten"): 0.1, ("leads", "alone"): 0.1}
BACKGROUND = (0.0, 0.1)  # range of the scores of places in the background
APART = 3  # cells between such a place and a candidate
SHIFT = 4.0  # standard deviation of what all candidates move together between two views of a frame, cells
RESCORED = 0.2  # standard deviation of the change of a score between them, of its logarithm
BLURRED = 0.5  # sigma of the blur, px


class Candidates(NamedTuple):
    """Candidates of a crop.

    Attributes:
        cells (K, 2): rows and columns in the score map.
        scores (K,): of the score map.
        numbers: what each of them is; equal numbers of two crops are the same object.
    """

    cells: np.ndarray
    scores: np.ndarray
    numbers: list

    def chosen(self, indices: np.ndarray) -> "Candidates":
        """Those with these indices, in this order."""
        return Candidates(self.cells[indices], self.scores[indices], [self.numbers[index] for index in indices])


class CandidateSamples(Samples):
    """Two crops with K candidates each. `self[epoch, index]` holds, beside Samples' own,

        images (2, 3, S, S) uint8
        cells (2, K, 2) int64: rows and columns of the candidates in the score map
        centres (2, K, 2) float32: their places in the frame, see normalise_centres
        scores (2, K) float32
        matches (K + 1, K + 1) float32: 1 where a candidate of the first crop is known to be one of the second. The last
            column is for those of the first that are not in the second, the last row for those of the second

    Either the crops are of consecutive frames, and the match of the target alone is known. Or they are two views of one
    crop, of which one is changed, and all matches are known.

    Args:
        datasets: {name: [Sequence]}, of crops that pack_candidates wrote.
        seed, ratios: see Samples.
        config: a `keep_track` configuration.
        training: False for validation: the same in every epoch.

    Raises:
        UserError: a dataset without candidates, or with none that could be drawn.
    """

    def __init__(self, datasets: dict, config: Any, *, seed: int, training: bool = True, ratios: list | None = None):
        data = self.data = config.DATA
        for name, sequences in datasets.items():
            if not any(one.candidates is not None for one in sequences):
                raise UserError(
                    f"{name}: holds no candidates; {invocation('mine_candidates')} finds them: see its --help"
                )
        datasets = {name: [one for one in group if one.candidates is not None] for name, group in datasets.items()}
        super().__init__(datasets, data.TRAIN if training else data.VAL, seed=seed, training=training, ratios=ratios)
        self.stride = stride_of(config.MODEL.BACKBONE.TYPE)
        self.singles, self.pairs = [], []
        for name, group in zip(datasets, self.groups, strict=True):
            singles: dict = {kind: [] for kind in SINGLE}
            pairs: dict = {kinds: [] for kinds in PAIRS}
            for number in group:
                kinds, frames = self._kinds(number), self.sequences[number].windows[:, 0]
                for row, kind in enumerate(kinds):
                    if kind in singles:
                        singles[kind].append((number, row))
                    if row and frames[row] == frames[row - 1] + 1 and (kinds[row - 1], kind) in pairs:
                        pairs[kinds[row - 1], kind].append((number, row - 1))
            if not any(singles.values()):
                raise UserError(f"{name}: no crop has two candidates")
            self.singles.append(_weighted(singles, SINGLE))
            self.pairs.append(_weighted(pairs, PAIRS))

    def _draw(self, rng, epoch):
        dataset, supervised = rng.random(2).tolist()
        group = self._dataset(dataset)
        pair = supervised < self.data.SUPERVISED and bool(self.pairs[group])
        number, row = _one_of(rng, self.pairs[group] if pair else self.singles[group])
        rows = (row, row + 1) if pair else (row, row)
        images = [self._frames(number)[each] for each in rows]
        found, size = [self._candidates(number, each) for each in rows], len(images[0])
        if pair:
            known = [[index for index, each in enumerate(crop.numbers) if each == "target"] for crop in found]
            found = [self._filled(rng, crop, crop.cells, size) for crop in found]
            matches = np.zeros((self.data.CANDIDATES + 1,) * 2, np.float32)
            matches[known[0][0], known[1][0]] = 1
            places = [crop.cells for crop in found]
        else:
            images[1] = self._changed(rng, images[1])
            cells = found[0].cells
            found = [self._filled(rng, crop.chosen(self._seen(rng, crop)), cells, size) for crop in found]
            second = found[1].chosen(rng.permutation(self.data.CANDIDATES))
            found[1] = second._replace(scores=_rescored(rng, second.scores))
            matches = all_matches(found[0].numbers, found[1].numbers)
            places = [found[0].cells, self._moved(rng, second.cells)]
        centres = [self._centres(number, each, cells, size) for each, cells in zip(rows, places, strict=True)]
        return {
            "images": torch.from_numpy(np.stack(images).transpose(0, 3, 1, 2).copy()),
            "cells": torch.from_numpy(np.stack([crop.cells for crop in found]).astype(np.int64)),
            "centres": torch.stack(centres).float(),
            "scores": torch.from_numpy(np.stack([crop.scores for crop in found]).astype(np.float32)),
            "matches": torch.from_numpy(matches),
            "frame_ids": torch.tensor(rows),
            "name": torch.tensor(number),
        }

    def _rows(self, number, row):
        candidates = self.sequences[number].candidates
        return candidates[slice(*np.searchsorted(candidates[:, 0], (row, row + 1)))]

    def _target(self, number, row, rows):
        """Which of the candidates `rows` of a crop is the target: the nearest one in its box or within a cell; or None.

        A score map has one cell more than the crop has strides: its first and last cell lie on the border.
        """
        sequence = self.sequences[number]
        if not sequence.visible[row]:
            return None
        x, y, w, h = sequence.boxes_xywh[row]
        off = np.abs(rows[:, [2, 1]] * self.stride - (x + w / 2, y + h / 2))
        near = (off <= np.maximum((w / 2, h / 2), self.stride)).all(axis=1)
        return int(np.where(near, np.hypot(*off.T), np.inf).argmin()) if near.any() else None

    def _kinds(self, number):
        """What each crop of a sequence is, see SINGLE; "" where it has one candidate that is not the target."""
        kinds = []
        for row in range(len(self.sequences[number])):
            rows = self._rows(number, row)
            target = self._target(number, row, rows)
            if target is None:
                kinds.append("missing" if len(rows) > 1 else "")
            else:
                kinds.append("alone" if len(rows) == 1 else "beaten" if target else "leads")
        return kinds

    def _candidates(self, number, row):
        """The Candidates of a crop: the target and those with the highest scores, at most CANDIDATES."""
        rows = self._rows(number, row)
        target = self._target(number, row, rows)
        order = sorted(range(len(rows)), key=lambda index: (index != target, index))[: self.data.CANDIDATES]
        numbers = ["target" if index == target else index for index in order]
        return Candidates(rows[order][:, 1:3], rows[order, 3], numbers)

    def _filled(self, rng, crop, taken, size):
        """With places in the background, so that there are CANDIDATES. taken (N, 2): cells of objects. size: px."""
        cells, scores, numbers = list(crop.cells), list(crop.scores), list(crop.numbers)
        last = size // self.stride
        while len(cells) < self.data.CANDIDATES:
            drawn = rng.integers(0, last + 1, (20, 2))
            free = [each for each in drawn if all(np.abs(each - cell).max() >= APART for cell in (*taken, *cells))]
            cells.append(free[0] if free else drawn[0])
            scores.append(rng.uniform(*BACKGROUND))
            numbers.append(None)
        return Candidates(np.array(cells, float), np.array(scores), numbers)

    def _seen(self, rng, crop):
        """Indices of the candidates that a view shows; it shows at least one."""
        seen = np.flatnonzero(rng.random(len(crop.scores)) >= self.data.DROP / 2)
        return seen if len(seen) else np.array([0])

    def _moved(self, rng, cells):
        """Where candidates (K, 2) are a frame later."""
        return cells + rng.normal(0, SHIFT, 2) + rng.normal(0, self.data.MOVE, cells.shape)

    def _changed(self, rng, image):
        light = 1 + rng.uniform(-1, 1) * self.data.BRIGHTNESS
        image = cv2.LUT(image, (np.arange(256) * light).clip(0, 255).astype(np.uint8))
        return cv2.GaussianBlur(image, (0, 0), BLURRED) if rng.random() < self.data.BLUR else image

    def _centres(self, number, row, cells, size):
        """(K, 2) y, x of candidates at cells (K, 2) of a crop of `size` px, as the network takes them."""
        _, cx, cy, side = self.sequences[number].windows[row].tolist()
        width, height = self._rows(number, row)[0, 4:].tolist()
        area = cx - side / 2, cy - side / 2, side, side
        centres = candidate_centres(torch.from_numpy(cells), area, size // self.stride + 1)
        return normalise_centres(centres, (int(height), int(width)))


def all_matches(first: list, second: list) -> np.ndarray:
    """The matches (K + 1, K + 1) of two views of one crop, from what their candidates are; None matches nothing."""
    matches = np.zeros((len(first) + 1, len(second) + 1), np.float32)
    for row, number in enumerate(first):
        column = second.index(number) if number is not None and number in second else len(second)
        matches[row, column] = 1
    for column in range(len(second)):
        matches[len(first), column] = not matches[:-1, column].any()
    return matches


def _rescored(rng, scores):
    return (scores * np.exp(rng.normal(0, RESCORED, scores.shape))).clip(0, 1)


def _weighted(found: Mapping, weights: Mapping) -> list:
    """[(cumulated share, entries)] of the kinds of which there are any."""
    present = [(weights[kind], entries) for kind, entries in found.items() if entries]
    total = sum(weight for weight, _ in present)
    shares = np.cumsum([weight / total for weight, _ in present]).tolist() if present else []
    return [(share, entries) for share, (_, entries) in zip(shares, present, strict=True)]


def _one_of(rng, weighted):
    kind, place = rng.random(2).tolist()
    entries = next((entries for share, entries in weighted if kind < share), weighted[-1][1])
    return entries[int(place * len(entries))]
