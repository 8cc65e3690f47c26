"""Accuracy, robustness and EAO of supervised (reset-based) results, as VOT2013 to VOT2019 and pysot's toolkit measure.

A tracker is started on the first frame and again five frames after every failure, a frame where it overlaps the target
nowhere. Its result file has a row a frame: `1` started, `2` failed, `0` skipped, else the region, `x,y,w,h` or the
corners of a polygon.

    accuracy    mean overlap over all frames but the first ten from every start (Kristan et al., A Novel Performance
                Evaluation Methodology for Single-Target Trackers, 2016); frames first averaged over repetitions
    robustness  failures in 100 frames; also their number, of all sequences together
    EAO         expected average overlap (Kristan et al., The Visual Object Tracking VOT2015 Challenge Results): a run
                is cut at every new start into fragments; one that ended in a failure is zero from there on for ever,
                the last is as long as it is. The expected overlap of a length is the mean, over the fragments at least
                so long, of their mean overlap up to it without their first frame. EAO is its mean over an interval of
                typical lengths, which VOT published with every challenge. Repetitions of a sequence share one weight.

Overlap is counted in pixels, as both toolkits do and published figures have it: corners are rounded to whole pixels,
and a pixel on the outline belongs to the region. A rectangle covers x to x + w inclusive, as in pysot's toolkit (VOT's
own takes one pixel less). The practical difference, which only breaks ties in VOT's ranking, is not computed.
"""

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...data import image as images
from ...errors import UserError

EAO_INTERVALS = {  # frames; VOT2013 and VOT2014 had no EAO
    "vot2015": (108, 371),
    "vot2016": (108, 371),
    "vot2017": (100, 356),
    "vot2018": (100, 356),
    "vot2019": (46, 291),
}
SKIPPED, STARTED, FAILED = 0, 1, 2  # codes of frames without a region
REGION = -1
BURN_IN = 10  # frames from a start on that accuracy leaves out
RESTART = 5  # frames from a failure to the next start
CHUNK = 256  # frames whose overlap is counted at once: what is in work then fits a processor's cache
LIMIT = 1e6  # px; nothing in an image is farther out


class Truth(NamedTuple):
    """One sequence: name, image size (width, height) px, and corners (N, V, 2) px of its regions, NaN where unknown."""

    name: str
    size: tuple
    corners: np.ndarray


class Result(NamedTuple):
    """One run: code (N,) of every frame, REGION where there is one, and its corners (N, V, 2) px, else NaN."""

    code: np.ndarray
    corners: np.ndarray


# ---- files ----------------------------------------------------------------------------------------------------------


def read_truth(path):
    """Ground truth: pysot's JSON, or a folder of VOT sequences, `<sequence>/groundtruth.txt` with their frames.

    Image sizes are those of the first frames, unless the JSON gives `width` and `height`. Returns [Truth] by name.
    Raises UserError with the place where something is not as expected.
    """
    path = Path(path)
    sequences = _truth_of_folder(path) if path.is_dir() else _truth_of_json(path)
    if not sequences:
        raise UserError("no sequences here; expected <sequence>/groundtruth.txt or pysot's JSON", path)
    return sorted(sequences, key=lambda one: one.name)


def trackers(folder, experiment="baseline"):
    """Names of the trackers that have results in a folder, `<tracker>/<experiment>/<sequence>/<sequence>_001.txt`."""
    return sorted(path.parent.name for path in Path(folder).glob(f"*/{experiment}") if path.is_dir())


def read_results(folder, truth):
    """The repetitions of one sequence in a tracker's folder of an experiment. Returns [Result]. Raises UserError."""
    place = Path(folder) / truth.name
    numbered = re.compile(re.escape(truth.name) + r"_\d+\.txt").fullmatch
    files = sorted(path for path in place.glob("*.txt") if numbered(path.name))
    if not files:
        raise UserError(f"no results of the sequence; expected {truth.name}_001.txt", place)
    return [_read_result(file, len(truth.corners)) for file in files]


def _read_result(path, frames):
    rows = _rows(path)
    if len(rows) != frames:
        raise UserError(f"expected {frames} rows, one a frame, found {len(rows)}", path)
    code = np.full(frames, REGION)
    for number, row in enumerate(rows):
        if len(row) == 1:
            if row[0] not in (SKIPPED, STARTED, FAILED):
                raise UserError(f"expected 0, 1, 2 or a region, found {row[0]:g}", path, number + 1)
            code[number] = row[0]
    if code[0] != STARTED:
        raise UserError("expected 1, the start of the tracker, in the first row of supervised results", path, 1)
    return Result(code, _corners(rows, _by_line(path)))


def _truth_of_folder(folder):
    sequences = []
    for path in sorted(folder.glob("*/groundtruth.txt")):
        frames = [file for pattern in ("color/*", "*") for file in sorted(path.parent.glob(pattern))]
        first = next((file for file in frames if file.suffix.lower() in images.EXTENSIONS), None)
        if first is None:
            raise UserError("no frames beside it, whose size is needed", path)
        sequences.append(Truth(path.parent.name, _image_size(first), _corners(_rows(path), _by_line(path))))
    return sequences


def _truth_of_json(path):
    try:
        entries = json.loads(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path) from error
    except json.JSONDecodeError as error:
        raise UserError(f"not JSON: {error.msg}", path, error.lineno) from error
    except (ValueError, RecursionError) as error:
        raise UserError("not JSON, or nested without end", path) from error
    if not isinstance(entries, dict):
        raise UserError("expected sequences by name, as in pysot's VOT2018.json", path)
    return [_truth_of_entry(path, name, entry) for name, entry in entries.items()]


def _truth_of_entry(path, name, entry):
    def wrong(what):
        return UserError(f"{name}: {what}", path)

    def by_frame(index, what):
        return wrong(f"frame {index + 1}: {what}")

    rows = entry.get("gt_rect") if isinstance(entry, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in rows):
        raise wrong("expected a list of regions called gt_rect")
    if not all(isinstance(value, int | float) and abs(value) < LIMIT for row in rows for value in row):
        raise wrong("expected numbers in gt_rect")
    size = entry.get("width"), entry.get("height")
    if not all(isinstance(side, int) and side > 0 for side in size):
        frames = entry.get("img_names")
        if not isinstance(frames, list) or not frames or not isinstance(frames[0], str):
            raise wrong("expected width and height, or img_names, to know the size of its frames")
        size = _image_size(path.parent / frames[0])
    return Truth(name, size, _corners(rows, by_frame))


def _image_size(path):
    try:
        return tuple(images.image_size(path.read_bytes(), path))
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}; the size of the frames is needed", path) from error


def _rows(path):
    """The numbers of every line of a file. Raises UserError with the line where they are none."""
    try:
        lines = path.read_bytes().decode("utf-8-sig").rstrip().splitlines()
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", path) from error
    except UnicodeDecodeError:
        raise UserError("is not a text file of numbers", path) from None
    if not lines:
        raise UserError("is empty, expected a row a frame", path)
    rows = []
    for number, line in enumerate(lines, 1):
        fields = line.replace(",", " ").split()
        try:
            row = [float(field) for field in fields]
        except ValueError:
            raise UserError(f"expected numbers, found {line.strip()[:40]!r}", path, number) from None
        if not row or not all(abs(value) < LIMIT for value in row):
            raise UserError(f"expected numbers within +-{LIMIT:g}, found {line.strip()[:40]!r}", path, number)
        rows.append(row)
    return rows


def _by_line(path):
    return lambda index, what: UserError(what, path, index + 1)


def _corners(rows, wrong):
    """Regions as (N, V, 2), NaN for rows of one number. wrong: called with the row and what was expected, an error."""
    lengths = np.array([len(row) for row in rows])
    for index in np.flatnonzero((lengths != 1) & (lengths != 4) & ((lengths < 6) | (lengths % 2 == 1)))[:1]:
        raise wrong(index, f"expected x,y,w,h or the corners of a polygon, found {lengths[index]} numbers")
    corners = np.full((len(rows), max(4, lengths.max() // 2), 2), np.nan)
    for length in np.unique(lengths[lengths > 1]):
        index = np.flatnonzero(lengths == length)
        regions = np.array([rows[i] for i in index])
        if length == 4:
            x, y, w, h = regions.T
            regions = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], axis=1)
        regions = regions.reshape(len(index), -1, 2)
        for bent in index[~_convex(regions)][:1]:
            raise wrong(bent, "expected a convex polygon")
        count = regions.shape[1]
        corners[index, :count], corners[index, count:] = regions, regions[:, -1:]  # repeated corners change no outline
    return corners


def _convex(regions):
    """(N,) bool: every corner turns the same way, but for what two decimals of the corners can hide."""
    sides = np.roll(regions, -1, axis=1) - regions
    after = np.roll(sides, -1, axis=1)
    turns = sides[..., 0] * after[..., 1] - sides[..., 1] * after[..., 0]
    slack = 0.02 * np.abs(sides).sum(axis=(1, 2))
    return (turns.min(axis=1) >= -slack) | (turns.max(axis=1) <= slack)


# ---- overlap --------------------------------------------------------------------------------------------------------


def overlaps(first, second, size):
    """Overlap of convex regions as VOT counts it, in whole pixels inside the image.

    first (N, V, 2), second (N, W, 2): corners px, NaN where there is no region. size: (width, height) px.
    Returns (N,) in [0, 1], NaN where either is missing.
    """
    known = ~(np.isnan(first).any(axis=(1, 2)) | np.isnan(second).any(axis=(1, 2)))
    found = np.full(len(first), np.nan)
    for index in np.array_split(np.flatnonzero(known), -(-known.sum() // CHUNK) or 1):
        found[index] = _overlaps(first[index], second[index], np.asarray(size, float) - 1)
    return found


def _overlaps(first, second, last):
    """As overlaps, of known regions. last: (x, y) of the image's last pixel."""
    low, high = zip(*(_bounds(regions, last) for regions in (first, second)), strict=True)
    meeting = (np.minimum(*high) > np.maximum(*low)).all(axis=1)  # an edge in common is no overlap
    found, index = np.zeros(len(first)), np.flatnonzero(meeting)
    origin = np.minimum(*low)[index]
    width, height = (np.maximum(*high)[index] - origin + 1).astype(int).T
    frame = np.repeat(np.arange(len(index)), height)  # of every row of pixels that is looked at
    row = np.arange(len(frame)) - np.repeat(np.cumsum(height) - height, height)
    (left, right), (other_left, other_right) = (
        _spans(_round(regions[index] - origin[:, None]), frame, row, (width - 1)[frame]) for regions in (first, second)
    )

    def pixels(begin, end):
        return np.bincount(frame, np.maximum(end - begin + 1, 0), len(index))

    shared = pixels(np.maximum(left, other_left), np.minimum(right, other_right))
    covered = pixels(left, right) + pixels(other_left, other_right) - shared
    found[index] = shared / np.maximum(covered, 1)
    return found


def _bounds(regions, last):
    return np.maximum(np.floor(regions.min(axis=1)), 0), np.minimum(np.ceil(regions.max(axis=1)), last)


def _round(values):
    """To whole numbers, halves away from zero, as C's round."""
    return np.copysign(np.floor(np.abs(values) + 0.5), values)


def _spans(regions, frame, row, last):
    """First and last pixel that a region covers in a row of pixels, first > last where none.

    regions: (F, V, 2) whole px. frame: (R,) which of them, row: (R,) which of its rows, last: (R,) of its last pixel.
    Every side that is not level meets the rows from its one end to its other in one pixel; what lies between the
    outermost of these is covered. Where they are the same pixel nothing is, as at the tip of a diamond.
    """
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for corner in range(regions.shape[1]):
        (x, y), (before_x, before_y) = regions[:, corner].T, regions[:, corner - 1].T
        top = np.where(y == before_y, np.inf, np.minimum(y, before_y))
        met = np.flatnonzero((row >= top[frame]) & (row <= np.maximum(y, before_y)[frame]))
        at = frame[met]
        pixel = np.trunc(x[at] + (row[met] - y[at]) / (before_y - y)[at] * (before_x - x)[at])
        left[met], right[met] = np.minimum(left[met], pixel), np.maximum(right[met], pixel)
    covered = left < right
    return np.where(covered, np.maximum(left, 0), 0), np.where(covered, np.minimum(right, last), -1)


# ---- measures -------------------------------------------------------------------------------------------------------


def evaluate(folder, sequences, interval):
    """Measure one tracker.

    folder: of its results in one experiment, with a folder a sequence. sequences: [Truth]. interval: (low, high)
    frames, see EAO_INTERVALS, or None where there is no EAO.
    Returns {"eao", "accuracy", "robustness": failures in 100 frames, "failures", "frames", "curve": [expected overlap
    of 1, 2 ... frames], "sequences": [{"name", "frames", "repetitions", "accuracy", "failures"}]}; means over
    repetitions, NaN where there is nothing to measure. Raises UserError for a sequence without results, or malformed.
    """
    runs, weights, frames, rows = [], [], [], []
    for truth in sequences:
        results = read_results(folder, truth)
        found = [overlaps(one.corners, truth.corners, truth.size) for one in results]
        failed = [np.flatnonzero(one.code == FAILED) for one in results]
        runs += zip(found, failed, strict=True)
        weights += [1 / len(results)] * len(results)
        kept = [_after_burn_in(each, one.code) for each, one in zip(found, results, strict=True)]
        frames.append(_nanmean(np.stack(kept), axis=0))
        rows.append(
            {
                "name": truth.name,
                "frames": len(truth.corners),
                "repetitions": len(results),
                "accuracy": float(_nanmean(frames[-1])),
                "failures": sum(map(len, failed)) / len(results),
            }
        )
    curve = expected_overlaps(*zip(*runs, strict=True), weights)
    failures, count = sum(row["failures"] for row in rows), sum(row["frames"] for row in rows)
    return {
        "eao": eao(curve, interval) if interval else np.nan,
        "accuracy": float(_nanmean(np.concatenate(frames))),
        "robustness": 100 * failures / count,
        "failures": failures,
        "frames": count,
        "curve": curve.tolist(),
        "sequences": rows,
    }


def expected_overlaps(overlaps, failures, weights):
    """The expected overlap of every length of run, up to that of the longest sequence.

    overlaps: list of (N,), NaN where there is none. failures: list of the frames that failed. weights: of every run.
    Returns (L,), that of length l at l - 1; the first is 1, since no run is shorter.
    """
    longest = max(map(len, overlaps))
    fragments, shares = [], []
    for frames, failed, weight in zip(overlaps, failures, weights, strict=True):
        starts = [0, *(frame + RESTART for frame in failed if frame + RESTART <= len(frames))]
        for begin, end in zip(starts, [*starts[1:], None], strict=True):
            part = frames[begin:] if end is None else frames[begin : end + 1]
            fragment = np.full(longest, np.nan if end is None else 0.0)
            fragment[: len(part)] = np.nan_to_num(part)
            fragments.append(fragment)
            shares.append(weight)
    later = np.array(fragments)[:, 1:]
    means = later.cumsum(axis=1) / np.arange(1, longest)
    weighted = np.where(np.isnan(later), 0, np.array(shares)[:, None])
    with np.errstate(invalid="ignore"):
        return np.append(1.0, (weighted * np.nan_to_num(means)).sum(axis=0) / weighted.sum(axis=0))


def eao(curve, interval):
    """Mean of a curve of expected_overlaps over an interval of lengths, as far as it goes; NaN if it ends before."""
    low, high = interval
    return float(_nanmean(curve[low - 1 : high]))


def _after_burn_in(found, code):
    """A run's overlaps, NaN in the frames that accuracy leaves out."""
    kept = found.copy()
    for start in np.flatnonzero(code == STARTED):
        kept[start : start + BURN_IN] = np.nan
    return kept


def _nanmean(values, axis=None):
    """Mean of what is not NaN, NaN without a warning where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.where(known, values, 0).sum(axis=axis) / np.float64(known.sum(axis=axis))
