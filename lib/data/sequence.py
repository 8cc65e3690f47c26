"""One video with its ground truth, the unit that everything else works on."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..errors import UserError


@dataclass
class Sequence:
    """Frames are opened only when asked for: scoring never decodes one.

    boxes_xywh: (N, 4) float64 px, rows of NaN where the target is absent or unlabelled. visible: (N,) bool.
    opener: called without arguments, returns a frame source (lib/data/frames.py). windows: of a sequence of crops,
    (N, 4) number of the frame that each was cut from, and centre and side of its window there, px; else None.
    candidates: of crops that mine_candidates.py made, (K, 6) number of the crop, row and column of a peak in its score
    map, the score, and width and height of the frame, px; else None.
    attributes: words that hold for the whole. frame_attributes: {word: (N,) bool} of those annotated by frame.
    category: class of the target, "" where unknown. task: "box", or "point" where only a centre is annotated and the
    boxes are squares of a nominal side about it. origin: what the dataset's own files call the first pixel's edge, px.
    video: what it is one of several runs through (lib/data/starts.py), else its own name. begins: number of its first
    frame in the video of several targets that it is a part of, else 0.
    """

    name: str
    dataset: str
    boxes_xywh: np.ndarray
    opener: Callable = field(repr=False)
    visible: np.ndarray = None  # type: ignore[assignment]  # __post_init__ makes it an array
    attributes: tuple = ()
    place: str = ""
    windows: np.ndarray | None = None
    candidates: np.ndarray | None = None
    frame_attributes: dict = field(default_factory=dict)
    category: str = ""
    task: str = "box"
    origin: float = 0.0
    video: str = ""
    begins: int = 0

    def __post_init__(self):
        self.video = self.video or self.name
        labelled = np.isfinite(self.boxes_xywh).all(axis=1) & (self.boxes_xywh[:, 2:] > 0).all(axis=1)
        self.visible = labelled if self.visible is None else np.asarray(self.visible, bool) & labelled

    def __len__(self):
        return len(self.boxes_xywh)

    @property
    def start(self):
        """The frame that a tracker with a first box starts on: the first one; of points the first with a ball."""
        return int(self.visible.argmax()) if self.task == "point" else 0

    @property
    def first_box(self):
        """(4,) float xywh that a tracker is started with. Raises UserError where the frame `start` has none."""
        if not self.visible[self.start]:
            raise UserError(f"{self.name}: the first frame has no box to start from", self.place)
        return self.boxes_xywh[self.start]

    @property
    def points(self):
        """(N, 2) px, the middles of the boxes, NaN where nothing is seen."""
        middles = self.boxes_xywh[:, :2] + self.boxes_xywh[:, 2:] / 2
        return np.where(self.visible[:, None], middles, np.nan)

    def to_file(self, boxes_xywh):
        """(N, 4) boxes as this class has them -> as the dataset's own files and result files have them."""
        return np.asarray(boxes_xywh, np.float64) + (self.origin, self.origin, 0, 0)

    def from_file(self, boxes_xywh):
        """The inverse of `to_file`."""
        return np.asarray(boxes_xywh, np.float64) - (self.origin, self.origin, 0, 0)

    def frames(self):
        """Open the frames. Raises UserError where their number is not that of the ground truth."""
        frames = self.opener()
        if len(frames) != len(self):
            raise UserError(f"{self.name}: {len(self)} rows for {len(frames)} frames", self.place)
        return frames


def squares(points, side):
    """(N, 2) points px, NaN where nothing is seen -> (N, 4) xywh of squares about them, rows of NaN there."""
    points = np.asarray(points, np.float64)
    side = np.where(np.isnan(points[:, :1]), np.nan, side)
    return np.concatenate([points - side / 2, side, side], axis=1)


def named(sequences, wanted):
    """Of a list of sequences the one that `wanted` (str) names, else the one whose number from 0 it is, as a list."""
    found = [sequence for sequence in sequences if sequence.name == wanted]
    if not found and wanted.isdecimal():
        found = sequences[int(wanted) :][:1]
    return found
