"""The results of one video: the files of boxes or points, what they were made from, and what it takes to go on."""

import importlib
import json
import math
import time
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...files import atomic_path, write_text
from ..evaluation import provenance, results

EVERY = 60.0  # s between two times that unfinished results are written
NOWHERE = (math.nan,) * 4
# What a state may hold beside this package's own classes and tensors: arrays and numbers of NumPy.
TRUSTED = tuple(f"numpy.{name}" for name in (
    "ndarray", "dtype", "_core.multiarray._reconstruct", "_core.multiarray.scalar",
))  # fmt: skip


@dataclass
class Found:
    """What was tracked so far.

    Attributes:
        places: a dict for each frame, {target: box or point}; empty before the first box.
        scores: the same, with confidences.
        seconds: of each frame, without decoding and drawing.
        states: how many frames there were, and {target: its state then}, None where the tracker's state is no value.
    """

    places: list[dict[Hashable, Any]] = field(default_factory=list)
    scores: list[dict[Hashable, float]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    states: tuple[int, dict | None] = (0, None)

    def whole(self) -> "Found":
        """Without a frame that an interruption has left half done."""
        count = min(len(self.places), len(self.scores), len(self.seconds))
        if self.states[1] is not None:
            count = min(count, self.states[0])
        return Found(self.places[:count], self.scores[:count], self.seconds[:count], self.states)


class Saved:
    """Where the results of one video are, under the output folder; not among those of benchmarks.

    Args:
        run: results.Run of the tracker.
        source: the video as the user named it.
        made: what the results are made from, see provenance.describe; with "box", "frames" and "first_frame".
        targets: names of the targets; none where a ball is found.
        overwrite: whether what is there is replaced, whatever it is.
    """

    def __init__(self, run: results.Run, source: str, made: dict, targets: Iterable, overwrite: bool = False):
        self.run, self.made, self.targets = run, made, list(targets)
        self.name = f"video_{'stdin' if source == '-' else Path(source).stem}"
        path = results.boxes_path(run, "", self.name, flat=True)
        several = path.with_name(f"{self.name}_mot.txt") if len(self.targets) > 1 else path
        self.path = several if self.targets else path.with_suffix(results.POINTS)
        self._state = self.path.with_suffix(".state")
        self._overwrite = overwrite
        self._kept = time.monotonic()

    def complete(self) -> bool:
        """Whether all of it is there. Raises UserError where results of something else are."""
        return not self._overwrite and provenance.is_there(self.path, self.made)

    def partial(self) -> Found | None:
        """What this run tracked before an interruption; None where there is nothing to go on from.

        Raises UserError where the file of it is damaged.
        """
        if self._overwrite or not self._state.is_file() or find_spec("torch") is None:
            return None
        import torch

        package = __name__.partition(".")[0]
        try:
            unknown = torch.serialization.get_unsafe_globals_in_checkpoint(self._state)
            if not all(name.startswith(f"{package}.") or name in TRUSTED for name in unknown):
                raise ValueError(f"holds one of {unknown}")
            kinds = [type(np.dtype(kind)) for kind in "?bBhHiIlLfd"]
            with torch.serialization.safe_globals([*map(_named, unknown), *kinds]):
                kept = torch.load(self._state, weights_only=True)
            made = json.loads(kept.pop("made"))
            return Found(**kept) if made == json.loads(json.dumps(self.made)) else None
        except Exception as error:  # noqa: BLE001 -- torch raises a dozen kinds for a damaged file
            raise UserError("damaged: it should say how to go on; delete it to start again", self._state) from error

    def due(self) -> bool:
        """Whether it is time to write what there is."""
        return time.monotonic() - self._kept > EVERY

    def write(self, found: Found, complete: bool) -> None:
        """Write at least one frame. complete: whether that is all that was asked for."""
        found = found.whole()
        if not self.targets:
            points, scores = _column(found, None)
            results.write_points(self.run, "", self.name, points, scores, found.seconds, flat=True)
        elif len(self.targets) == 1:
            boxes, scores = _column(found, self.targets[0])
            results.write(self.run, "", self.name, boxes, found.seconds, scores, flat=True)
        else:
            write_text(self.path, _mot(found, self.targets))
        if complete or found.states[1] is None or find_spec("torch") is None:
            self._state.unlink(missing_ok=True)
        else:
            import torch

            with atomic_path(self._state) as temporary:
                torch.save({**vars(found), "made": json.dumps(self.made)}, temporary)
        provenance.note(self.path, self.made, complete)
        self._kept = time.monotonic()


def _named(name):
    """The class or function of a dotted name, for torch's list of what may be loaded."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def _column(found, target):
    """Boxes or points of one target in every frame, and its scores."""
    nothing = NOWHERE if target is not None else NOWHERE[:2]
    places = [each.get(target, nothing) for each in found.places]
    return places, [each.get(target, 0.0) for each in found.scores]


def _mot(found, targets):
    """Lines of MOTChallenge, frames from 1: frame, id, x, y, w, h, confidence, -1, -1, -1. An id is the target's name
    where that is a number, else the number of the target from 1."""
    numbers = {target: target if target.isdecimal() else number for number, target in enumerate(targets, 1)}
    lines = []
    for frame, (places, scores) in enumerate(zip(found.places, found.scores, strict=True), 1):
        for target, number in numbers.items():
            box = places.get(target, NOWHERE)
            if all(map(math.isfinite, box)):
                values = ",".join(f"{value:.3f}" for value in box)
                lines.append(f"{frame},{number},{values},{scores[target]:.4f},-1,-1,-1")
    return "\n".join(lines) + "\n"
