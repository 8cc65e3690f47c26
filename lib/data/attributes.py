"""Attributes of a sequence derived from its boxes and its pixels, for datasets that come without annotated ones.

Every word is defined once, in FROM_BOXES or FROM_PIXELS, from values that are measured once. A word that cannot be told
is not given: none without two labelled frames (unlabelled sequences, test sets that show the first box alone), none of
size where only points are annotated, none of boxes that are relative to crops. Thresholds, sources and how far they
agree with annotation: docs/attributes.md.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from .frames import partial_frame
from .render.rally import Rally

TINY_SIDE, TINY_SHARE = 22.0, 0.01  # px, share of the image: LaTOT
NARROW = 0.03  # of the image's width or height: NT-VOT211
SCALE, SPEED = 2.0, 1.0  # ratio of areas a second apart; sides from frame to frame: LaTOT
OUTSIDE = 0.5  # share of the target that is off the image
BORDER = 1.0  # px: boxes that were cut to the image end there
DARK = 0.25  # of full brightness: 99 % of photographs by night are below, 6 % of those by day (docs/attributes.md)
GREY = 0.5  # grey values between a pixel's channels: less has a thermal or grey picture, whose brightness may be heat
DIM = 1.3  # standard deviations of the surroundings: nine in ten patches beside the target stay below
ALIKE = 0.7  # structural similarity

SAMPLES = 8  # frames that are looked at
WINDOW, LEAST_WINDOW = 5.0, 64.0  # the surroundings: so many sides of the target, at least so many px
LEAST_PATCH = 8.0  # px: smaller patches look like something by chance
LARGEST_SIDE = 32.0  # px: larger targets are compared at a smaller scale, where nothing is lost and much time won
GUARD, CLUTTER = 1.5, 3.0  # times the box: from where, as its outline is soft, to where its background is looked at


class Attribute(NamedTuple):
    """definition: in words. holds: from {name: value} as measured, False for NaN, to whether the sequence has it."""

    definition: str
    holds: Callable


FROM_BOXES = {
    "tiny (LaTOT)": Attribute(
        f"mean side below {TINY_SIDE:g} px and mean area below {TINY_SHARE:.0%} of the image",
        lambda value: value["side"] < TINY_SIDE and value["relative_area"] < TINY_SHARE,
    ),
    "tiny (NT-VOT211)": Attribute(
        f"narrower or lower than {NARROW:.0%} of the image in more than half of the labelled frames",
        lambda value: value["narrow_frames"] > 0.5,
    ),
    "scale variation": Attribute(
        f"areas a second apart differ by more than a factor of {SCALE:g}",
        lambda value: value["scale"] > SCALE,
    ),
    "fast motion": Attribute(
        "the centre moves farther than the side of the box between two labelled frames in a row",
        lambda value: value["speed"] > SPEED,
    ),
    "out of view": Attribute(
        "more than half of a box is off the image, or the target is absent next to crossing the border",
        lambda value: value["outside"] > OUTSIDE,
    ),
}
FROM_PIXELS = {
    "low illumination": Attribute(
        f"median brightness of the surroundings below {DARK:g}, in colour video",
        lambda value: value["brightness"] < DARK and value["colour"] >= GREY,
    ),
    "low contrast": Attribute(
        f"signal-to-clutter ratio of the target below {DIM:g}",
        lambda value: value["contrast"] < DIM,
    ),
    "similar object": Attribute(
        f"a patch beside the target has a structural similarity of at least {ALIKE:g} with it",
        lambda value: value["similarity"] >= ALIKE,
    ),
}


def from_boxes(sequence, size, fps=30.0):
    """The words of FROM_BOXES that hold for a sequence, as a tuple. size: (width, height) px. fps: frames a second."""
    return words(FROM_BOXES, measure_boxes(sequence, size, fps))


def from_pixels(sequence, frames):
    """The words of FROM_PIXELS that hold for a sequence, as a tuple.

    frames: its frame source, of which SAMPLES labelled frames are decoded, evenly spread (of images the surroundings
    of the target alone; of a video all frames up to the last of them). Raises FrameError.
    """
    return words(FROM_PIXELS, measure_pixels(sequence, frames))


def words(table, values):
    """The words of FROM_BOXES or FROM_PIXELS that hold for measured values, as a tuple."""
    return tuple(word for word, attribute in table.items() if values["labelled"] >= 2 and attribute.holds(values))


def frame_size(frames):
    """(width, height) px of a frame source: from the header of its first image, or the first frame of a video."""
    if isinstance(frames, Rally):
        return frames.size
    height, width = partial_frame(frames, 0).shape[:2]
    return width, height


def tiny_by_area(values):
    """LaTOT's rule read the other way: "22 x 22" as an area, mean area below 484 px2."""
    return values["labelled"] >= 2 and values["area"] < TINY_SIDE**2 and values["relative_area"] < TINY_SHARE


def measure_boxes(sequence, size, fps=30.0):
    """What FROM_BOXES is decided from. size: (width, height) px. fps: frames a second.

    Returns {name: float}, NaN where it cannot be told: labelled, frames with a box; side, px, and area, px2, means over
    them; relative_area, mean share of the image; tiny_frames, share of them that LaTOT's limits call tiny, and
    narrow_frames, NT-VOT211's; scale, the largest ratio of areas a second apart, >= 1; speed, the largest displacement
    from frame to frame, in sides; outside, the largest share of the target that is off the image.
    """
    seen = sequence.visible
    names = ("side", "area", "relative_area", "tiny_frames", "narrow_frames", "scale", "speed", "outside")
    values = {"labelled": float(np.count_nonzero(seen)), **dict.fromkeys(names, math.nan)}
    if not seen.any() or sequence.task == "point" or sequence.windows is not None:
        return values
    boxes = np.where(seen[:, None], sequence.boxes_xywh, np.nan)
    sizes, image = boxes[:, 2:], np.array(size, np.float64)
    areas = sizes.prod(axis=1)
    sides, shares = np.sqrt(areas), areas / image.prod()
    steps = np.linalg.norm(np.diff(boxes[:, :2] + sizes / 2, axis=0), axis=1)
    later = max(1, round(fps))
    ratios = areas[later:] / areas[:-later]
    return values | {
        "side": float(sides[seen].mean()),
        "area": float(areas[seen].mean()),
        "relative_area": float(shares[seen].mean()),
        "tiny_frames": float(((sides < TINY_SIDE) & (shares < TINY_SHARE))[seen].mean()),
        "narrow_frames": float((sizes < NARROW * image).any(axis=1)[seen].mean()),
        "scale": _largest(np.maximum(ratios, 1 / ratios)),
        "speed": _largest(steps / sides[1:]),
        "outside": _outside(boxes, seen, image),
    }


def measure_pixels(sequence, frames):
    """What FROM_PIXELS is decided from, from SAMPLES labelled frames, evenly spread.

    Returns {name: float}, NaN where it cannot be told: labelled, frames with a box; brightness of the target's
    surroundings, median over pixels of the brightest channel in [0, 1], mean over frames; colour there, mean difference
    of the brightest and the darkest channel, in grey values; contrast, median over frames of the signal-to-clutter
    ratio; similarity, the largest structural similarity of the target with a patch beside it. Raises FrameError.
    """
    labelled = np.flatnonzero(sequence.visible)
    names = ("brightness", "colour", "contrast", "similarity")
    values = {"labelled": float(len(labelled)), **dict.fromkeys(names, math.nan)}
    if not len(labelled) or sequence.windows is not None:
        return values
    chosen = labelled[np.unique(np.linspace(0, len(labelled) - 1, SAMPLES).round().astype(int))]
    surroundings = [_surroundings(partial_frame(frames, int(i)), sequence.boxes_xywh[i]) for i in chosen]
    surroundings = [(pixels, box) for pixels, box in surroundings if pixels.size]
    lights = [(pixels.max(axis=2), pixels.min(axis=2)) for pixels, _ in surroundings]
    values["brightness"] = _over(np.mean, [np.median(highest) / 255 for highest, _ in lights])
    values["colour"] = _over(np.mean, [(highest - lowest).mean() for highest, lowest in lights])
    if sequence.task != "point":
        values["contrast"] = _over(np.median, [contrast(*each) for each in surroundings])
        values["similarity"] = _over(np.max, [similarity(*each) for each in surroundings])
    return values


def contrast(pixels, box_xywh):
    """Signal-to-clutter ratio: how far the target's pixels are from the mean about it, in standard deviations there.

    Root mean square of the target's pixels minus the mean of a frame about it, over the standard deviation in that
    frame, of the channel in which it is largest: what target acquisition calls root-sum-square contrast,
    sqrt((mean - mean about)^2 + deviation^2), over clutter. 1 is what more of the same background has.
    pixels: (H, W, 3) uint8, the surroundings with the target. box_xywh: (4,) px in them. NaN where one of the two has
    no pixels.
    """
    inside = np.float64(pixels[_part(pixels, box_xywh, 1)].reshape(-1, 3))
    around = np.zeros(pixels.shape[:2], bool)
    around[_part(pixels, box_xywh, CLUTTER)] = True
    around[_part(pixels, box_xywh, GUARD)] = False
    outside = np.float64(pixels[around])
    if not len(inside) or not len(outside):
        return math.nan
    signal = np.sqrt(((inside - outside.mean(axis=0)) ** 2).mean(axis=0))
    # No clutter is less than the error of rounding to eight bits: a flat background would make any ratio.
    return float((signal / np.hypot(outside.std(axis=0), 1 / math.sqrt(12))).max())


def similarity(pixels, box_xywh):
    """How much like the target its nearest look-alike is: the largest structural similarity beside the target.

    That of the target's patch with all patches of its size whose target would not overlap this one (Wang et al., Image
    quality assessment, TIP 2004, over the patch as one, covariance summed over channels, without its constants, which
    call all that is flat alike). pixels: (H, W, 3) uint8, the surroundings with the target. box_xywh: (4,) px in them.
    Returns a float in [-1, 1], NaN where there is no such patch.
    """
    box = np.asarray(box_xywh, np.float64)
    scale = min(1.0, LARGEST_SIDE / math.sqrt(box[2] * box[3]))
    image = np.float32(pixels)
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        box = box * scale
    rows, columns = part = _part(image, box, max(1.0, LEAST_PATCH / math.sqrt(box[2] * box[3])))
    patch = image[part]
    height, width = patch.shape[:2]
    if height < 2 or width < 2:
        return math.nan
    found = _structural_similarity(image, patch)
    y, x = np.ogrid[: found.shape[0], : found.shape[1]]
    apart = (np.abs(x - columns.start) >= box[2]) | (np.abs(y - rows.start) >= box[3])
    return float(found[apart].max()) if apart.any() else math.nan


def _structural_similarity(image, patch):
    """(H - h + 1, W - w + 1) similarity of patch (h, w, 3) float32 with every patch of image (H, W, 3) float32."""
    height, width = patch.shape[:2]
    valid = np.s_[: image.shape[0] - height + 1, : image.shape[1] - width + 1]

    def mean_over_patches(values):
        return cv2.boxFilter(values, cv2.CV_64F, (width, height), anchor=(0, 0), borderType=cv2.BORDER_CONSTANT)[valid]

    centre = patch.mean(axis=(0, 1))  # taken off both, which changes no covariance and keeps the sums exact
    means = mean_over_patches(image - centre)
    variance = np.maximum(mean_over_patches((image - centre) ** 2) - means**2, 0).sum(axis=2)
    covariance = cv2.matchTemplate(image - centre, patch - centre, cv2.TM_CCORR) / (height * width)
    own = float(((patch - centre) ** 2).mean(axis=(0, 1)).sum())
    light = 2 * ((means + centre) * centre).sum(axis=2) / np.maximum(((means + centre) ** 2 + centre**2).sum(axis=2), 1)
    return light * 2 * covariance / np.maximum(variance + own, 1e-6)


def _surroundings(frame, box):
    """(pixels (h, w, 3) uint8 about the target, its box in them (4,) px), cut to the frame."""
    half = max(WINDOW * math.sqrt(box[2] * box[3]), LEAST_WINDOW) / 2
    centre = box[:2] + box[2:] / 2
    limits = frame.shape[1::-1]
    x0, y0 = np.clip(np.floor(centre - half), 0, limits).astype(int).tolist()
    x1, y1 = np.clip(np.ceil(centre + half), 0, limits).astype(int).tolist()
    return frame[y0:y1, x0:x1], box - (x0, y0, 0, 0)


def _part(pixels, box, grown):
    """(rows, columns) slices of the pixels whose centres a box covers, at least one, grown about its centre."""
    centre, half = box[:2] + box[2:] / 2, box[2:] * grown / 2
    limits = pixels.shape[1::-1]
    low = np.clip(np.rint(centre - half), 0, limits)
    high = np.clip(np.maximum(np.rint(centre + half), low + 1), 0, limits)
    (x0, y0), (x1, y1) = low.astype(int), high.astype(int)
    return slice(y0, y1), slice(x0, x1)


def _outside(boxes, seen, image):
    """The largest share of the target that is off the image; 1 where it is absent next to crossing the border.

    Absent elsewhere it may be hidden; and where most frames have no box, frames are unlabelled, not without a target.
    """
    corner = boxes[:, :2] + boxes[:, 2:]
    inside = np.clip(np.minimum(corner, image) - np.maximum(boxes[:, :2], 0), 0, None).prod(axis=1)
    largest = _largest(1 - inside / boxes[:, 2:].prod(axis=1))
    if seen.mean() < 0.5:
        return largest
    leaves = _crosses(boxes, image)[:-1] & ~seen[1:]
    returns = _crosses(boxes[::-1], image)[::-1][1:] & ~seen[:-1]
    return 1.0 if leaves.any() or returns.any() else largest


def _crosses(boxes, image):
    """(N,) bool: the box would be over the border one frame later, were it to go on as from the frame before."""
    step = np.diff(boxes[:, :2], axis=0, prepend=np.nan)
    moved = boxes[:, :2] + np.nan_to_num(step)
    return ((moved < BORDER) | (moved + boxes[:, 2:] > image - BORDER)).any(axis=1)


def _largest(values):
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else math.nan


def _over(average, values):
    known = [value for value in values if not math.isnan(value)]
    return float(average(known)) if known else math.nan
