"""What the formats have in common: a video with its tracks, and how tracks become sequences."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ...errors import UserError
from ..benchmarks.annotated import OpenFiles
from ..frames import OrderedFrames, VideoFrames, image_names, is_video
from ..image import natural_key
from ..sequence import Sequence
from ..textfile import LIMIT

IMAGES = ("images/", "img/", "img1/", "obj_train_data/", "")  # where programs put the images of one video


@dataclass(frozen=True)
class Track:
    """One target: its number, its class, and a box for each frame, (N, 4) xywh px, rows of NaN where it is absent."""

    number: int
    label: str
    boxes_xywh: np.ndarray


@dataclass(frozen=True)
class Clip:
    """A video and its tracks. size: (width, height) px of its frames. files: a name for each frame."""

    name: str
    size: tuple[int, int]
    files: tuple[str, ...]
    tracks: tuple[Track, ...]

    @classmethod
    def of(cls, sequence: Sequence, boxes_xywh: np.ndarray | None = None) -> "Clip":
        """A dataset's sequence, with its ground truth or with other boxes (N, 4), as a clip of one track."""
        from ..attributes import frame_size
        from ..frames import ImageFrames

        frames = sequence.frames()
        named = isinstance(frames, ImageFrames)
        files = [name.rpartition("/")[2] for name in frames.names] if named else _numbered(len(sequence))
        boxes = np.where(sequence.visible[:, None], sequence.boxes_xywh, np.nan) if boxes_xywh is None else boxes_xywh
        track = Track(1, sequence.category or "target", np.asarray(boxes, np.float64))
        return cls(sequence.name, frame_size(frames), tuple(files), (track,))


@dataclass(frozen=True)
class OpenPart:
    """Opens the frames `first` to `last` of a video file."""

    path: object
    first: int
    last: int

    def __call__(self):
        return OrderedFrames(VideoFrames(self.path), range(self.first, self.last + 1))


def sequences(
    storage, dataset: str, name: str, place: object, tracks: Mapping, frames: list[str] | str
) -> list[Sequence]:
    """A Sequence for each track of a video, from the first frame in which it is seen to the last.

    Args:
        storage: where the frames are, see lib/data/storage.py.
        dataset, name: of the dataset and of the video.
        place: of the annotations, for error messages.
        tracks: {(number, label): {frame from 0: [x, y, w, h]}}; in the frames between, the target is absent.
        frames: names of the images, or the name of a video file.

    Raises:
        UserError: a frame that the video does not have, or a box that is none.
    """
    found = []
    for (number, label), boxes in sorted(tracks.items(), key=lambda item: natural_key(str(item[0][0]))):
        if not boxes:
            continue
        first, last = min(boxes), max(boxes)
        if not isinstance(frames, str) and last >= len(frames):
            raise UserError(f"{name}: a box in frame {last}, counted from 0, of {len(frames)} images", place)
        table = np.full((last - first + 1, 4), np.nan)
        table[np.array(list(boxes)) - first] = list(boxes.values())
        if not (np.isnan(table) | (np.abs(table) < LIMIT)).all():
            raise UserError(f"{name}: track {number} has a box that is not four finite numbers", place)
        if isinstance(frames, str):
            opener: OpenPart | OpenFiles = OpenPart(storage.place(frames), first, last)
        else:
            opener = OpenFiles(storage, tuple(frames[first : last + 1]))
        called = f"{name}_{number}" if len(tracks) > 1 else name
        facts = {"place": str(place), "category": label, "video": name, "begins": first}
        found.append(Sequence(called, dataset, table, opener, **facts))
    return found


def frames_near(storage, folder: str, stem: str) -> list[str] | str | None:
    """The images of a video whose annotations lie in `folder` ("" or "<name>/"), or a video file beside them.

    Args:
        stem: of the annotation file; a video is called like it.
    """
    for file in storage.glob(f"{_literal(folder)}{_literal(stem)}.*"):
        if is_video(file):
            return file
    for place in IMAGES:
        for below in ("*", "*/*") if place else ("*",):
            names = image_names(storage, f"{_literal(folder)}{place}{below}")
            if names:
                return names
    return None


def frames_beside(storage, file: str) -> tuple[str, str, list[str] | str]:
    """The folder of an annotation file ("" or its name), its stem, and the frames near it, as `frames_near` has them.

    Raises:
        UserError: there are none.
    """
    folder, _, last = file.rpartition("/")
    stem = last.rpartition(".")[0]
    frames = frames_near(storage, f"{folder}/" if folder else "", stem)
    if frames is None:
        raise UserError(f"no frames beside it: expected images/*.jpg or {stem}.mp4", storage.place(file))
    return folder, stem, frames


def between(first: int, last: int, start: list[float], end: list[float]) -> dict[int, list[float]]:
    """{frame: box} of the frames between two keyframes, without them, interpolated from `start` to `end`."""
    shares = {frame: (frame - first) / (last - first) for frame in range(first + 1, last)}
    return {frame: [a + share * (b - a) for a, b in zip(start, end, strict=True)] for frame, share in shares.items()}


def thinned(boxes_xywh: np.ndarray, tolerance: float) -> list[int]:
    """The frames of a run of boxes that are to be keyframes, first and last included.

    Between them boxes are interpolated linearly, and no corner is then farther off than `tolerance` px.

    Args:
        boxes_xywh (N, 4): finite.
        tolerance: px.

    Method: Douglas and Peucker (1973), with time as the axis.
    """
    corners = np.concatenate([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], axis=1)
    kept, open_runs = {0, len(corners) - 1}, [(0, len(corners) - 1)]
    while open_runs:
        first, last = open_runs.pop()
        if last - first < 2:
            continue
        share = (np.arange(first, last + 1) - first)[:, None] / (last - first)
        error = np.abs(corners[first] + share * (corners[last] - corners[first]) - corners[first : last + 1]).max(
            axis=1
        )
        worst = first + int(error.argmax())
        if error.max() > tolerance:
            kept.add(worst)
            open_runs += [(first, worst), (worst, last)]
    return sorted(kept)


def runs(present: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) of every run of True in an array (N,) of bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(int), [0]])))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def number(value: float) -> str:
    """A coordinate as text, to a thousandth of a pixel."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _numbered(count):
    return [f"frame_{index:06d}.jpg" for index in range(count)]


def _literal(name):
    return name.replace("[", "[[]")
