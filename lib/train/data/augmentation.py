"""What happens to the pixels of a crop: distractors, blur, brightness, night, noise, JPEG, in the order of a camera.

An Appearance is drawn once per sample, so that its crops belong together. Only noise and small changes are each crop's
own.
"""

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...data import camera_night, night
from ...data.crop import Crop
from ...data.frames import PartialFrame

MAX_BLUR = 1.2  # px, Gaussian sigma
MAX_NOISE = 6.0  # grey levels, standard deviation
QUALITY = (30, 96)
MEAN_OF = (2, 9)  # frames, of an averaged search crop
SMALL_TURN = 0.35  # radian, standard deviation
PART = (0.3, 0.7)  # sides of a pasted part / those of the target
TINY_CHANCE = 0.5  # share of shrunk samples that are blurred, noisy, compressed: distant targets are seen badly
MARGIN, FEATHER = 1.25, 0.15  # a pasted target: size of what is pasted / its box, width of the soft border / that size


@dataclass(frozen=True)
class Appearance:
    """How a camera sees the crops of a sample.

    Attributes:
        flip: whether all crops are mirrored.
        gray: whether they are without colour.
        gains: factor of the brightness of each crop.
        blurs: Gaussian sigma of each crop, px; 0 for none.
        noise: standard deviation, grey levels.
        quality: of JPEG; None for no compression.
        night: the night of a still camera, or None.
        stretch: of the search windows, see Crop.
        frames: of each crop, how many frames of the night it is the mean of.
        turn: of the templates in the plane, radian.
        camera: the night of a video camera instead of `night`, or None.
    """

    flip: bool
    gray: bool
    gains: tuple
    blurs: tuple
    noise: float
    quality: int | None
    night: night.NightParams | None
    stretch: float = 1.0
    frames: tuple = ()
    turn: float = 0.0
    camera: camera_night.CameraNight | None = None

    @classmethod
    def plain(cls, crops):
        return cls(False, False, (1.0,) * crops, (0.0,) * crops, 0.0, None, None, frames=(1,) * crops)


def draw_appearance(rng: np.random.Generator, augment, templates: int, searches: int, shrunk: bool) -> Appearance:
    """Draw the Appearance of a sample.

    Args:
        rng: of the sample.
        augment: section DATA.AUGMENT.
        templates, searches: how many crops of each.
        shrunk: whether the source is shrunk by tiny augmentation.
    """
    count = templates + searches
    flip, gray, blur, noise, jpeg, dark = rng.random(6).tolist()
    least = TINY_CHANCE if shrunk else 0.0
    # Templates and search frames are apart in time. Within either the brightness hardly changes.
    gains = np.repeat(rng.uniform(-1, 1, 2), (templates, searches)) + rng.uniform(-0.1, 0.1, count)
    blurs = rng.uniform(0, MAX_BLUR, count) * (blur < max(augment.BLUR, least))
    deviation, quality = rng.uniform(0, MAX_NOISE), int(rng.integers(*QUALITY))
    appearance = Appearance(
        flip=flip < augment.FLIP,
        gray=gray < augment.GRAY,
        gains=tuple((1 + augment.BRIGHTNESS * np.clip(gains, -1, 1)).tolist()),
        blurs=tuple(blurs.tolist()),
        noise=deviation if noise < least else 0.0,
        quality=quality if jpeg < max(augment.JPEG, least) else None,
        night=night.sample_night(rng, augment.NIGHT_EV) if dark < augment.NIGHT else None,
        stretch=float(np.exp(rng.normal(0, augment.STRETCH))),
        # A video's first frame, which the template is, has none before it.
        frames=(1,) * templates + (int(rng.integers(*MEAN_OF)) if rng.random() < augment.AVERAGED else 1,) * searches,
        turn=_draw_turn(rng) if augment.TURN and rng.random() < augment.TURN else 0.0,
    )
    # Drawn last and only where asked for, so that samples without it stay as they were.
    if appearance.night is not None and augment.NIGHT_VIDEO and rng.random() < augment.NIGHT_VIDEO:
        return replace(appearance, night=None, camera=camera_night.sample_camera_night(rng, augment.NIGHT_EV))
    return appearance


def _draw_turn(rng):
    """Radian: a small angle, any angle, or a quarter turn or two, after which boxes are exact."""
    kind, small, whole = rng.random(), rng.normal(0, SMALL_TURN), rng.uniform(-np.pi, np.pi)
    return float(small if kind < 0.35 else whole if kind < 0.7 else rng.integers(1, 4) * np.pi / 2)


def apply_appearance(image: np.ndarray, appearance: Appearance, number: int, rng: np.random.Generator) -> np.ndarray:
    """A crop as the camera sees it. Mirroring is left to the caller, who mirrors the boxes with it.

    Args:
        image (H, W, 3): uint8 RGB.
        appearance: of the sample.
        number: of the crop in the sample.
        rng: of the noise.

    Returns:
        (H, W, 3) uint8: a new array, or the same one where nothing changes.
    """
    if appearance.gray:
        image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    if appearance.blurs[number] > 0.3:  # less changes nothing
        image = cv2.GaussianBlur(image, (0, 0), appearance.blurs[number])
    if appearance.gains[number] != 1:
        image = cv2.convertScaleAbs(image, alpha=appearance.gains[number])
    if appearance.camera is not None:
        return camera_night.record_crop(image, appearance.camera, rng, appearance.frames[number])
    if appearance.night is not None:
        frames = [
            night.darken(image, appearance.night, rng) for _ in range(appearance.frames[number])
        ]  # with noise and JPEG
        if len(frames) == 1:
            return frames[0]
        return np.asarray(np.mean(frames, axis=0, dtype=np.float32)).round().astype(np.uint8)
    if appearance.noise > 0:
        noise = rng.standard_normal(image.shape, np.float32)
        image = cv2.add(image, noise * np.float32(appearance.noise), dtype=cv2.CV_8U)
    if appearance.quality is not None:
        _, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, appearance.quality])
        image = np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR_RGB))
    return image


@dataclass(frozen=True)
class Distractor:
    """Another target to be pasted near the true one.

    Attributes:
        image, box_xywh: where it comes from, as in LabelledFrame.
        size: its sqrt(w h) / that of the true target.
        angle: the direction in which it lies, radian.
        gap: distance of the two boxes, and what is added to it from frame to frame, in sizes of the target.
        trajectory: instead of both, (x, y) of its centre from the target's in frame 1, and what is added from frame to
            frame, in sizes of the target. It may then cover the target.
    """

    image: np.ndarray | PartialFrame
    box_xywh: np.ndarray
    size: float
    angle: float
    gap: tuple[float, float]
    trajectory: tuple | None = None

    @classmethod
    def crossing(cls, rng, image, box_xywh, frames):
        """One that meets the target in one of `frames` frames, or nearly."""
        size, angle, speed, when = rng.uniform((0.85, 0, 0.2, 1), (1.15, 2 * np.pi, 0.9, max(frames, 1))).tolist()
        velocity = speed * np.array([np.cos(angle), np.sin(angle)])
        miss = rng.normal(0, 0.25, 2)
        return cls(image, box_xywh, size, angle, (0, 0), (miss + (1 - when) * velocity, velocity))

    @classmethod
    def draw(cls, rng, image, box_xywh):
        size, angle, gap, drift = rng.uniform((0.7, 0, 0, -0.2), (1.4, 2 * np.pi, 1.5, 0.2)).tolist()
        return cls(image, box_xywh, size, angle, (gap, drift))

    @classmethod
    def part(cls, rng, image, box_xywh):
        """A part of the target (image, box) itself, at its own size or enlarged up to the size of the whole."""
        extent = box_xywh[2:] * rng.uniform(*PART, 2)
        corner = box_xywh[:2] + rng.uniform(0, 1, 2) * (box_xywh[2:] - extent)
        found = cls.draw(rng, image, np.concatenate([corner, extent]))
        natural = math.sqrt(extent.prod() / box_xywh[2:].prod())
        return replace(found, size=natural ** rng.uniform(0, 1))

    def paste(self, image, box_xywh, step=0):
        """Paste into a crop, beside the true box (4,) xywh px of it: (H, W, 3) uint8 -> a new array of that form.

        Without a `trajectory` the true box is never touched. Where there is no room nothing is pasted, and the same
        array comes back.
        """
        x, y, w, h = box_xywh
        own = self.box_xywh
        scale = self.size * np.sqrt((w * h) / (own[2] * own[3]))
        count = int(np.ceil(MARGIN * max(own[2:]) * scale))
        if not 2 <= count <= min(image.shape[:2]):
            return image
        patch = Crop(own[0] + own[2] / 2, own[1] + own[3] / 2, count / scale, count).extract(self.image)
        extent = own[2:] * scale * MARGIN
        if self.trajectory is None:
            # Along the direction, the centres are as far apart as it takes to part the boxes, and then the gap; 1 px is
            # for the rounding to whole pixels.
            direction = np.array([np.cos(self.angle), np.sin(self.angle)])
            apart = (np.array([w, h]) + extent) / 2 + 1
            distance = (apart / np.maximum(np.abs(direction), 1e-6)).min()
            distance += max(self.gap[0] + step * self.gap[1], 0) * np.sqrt(w * h)
            offset = distance * direction
        else:
            offset = (self.trajectory[0] + (step - 1) * self.trajectory[1]) * np.sqrt(w * h)
        left, top = (
            int(round(value)) for value in (x + w / 2 + offset[0] - count / 2, y + h / 2 + offset[1] - count / 2)
        )
        x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + count, image.shape[1]), min(top + count, image.shape[0])
        if x1 <= x0 or y1 <= y0:
            return image
        rows, columns = (_feather(count, part) for part in extent[::-1])
        alpha = (rows[:, None] * columns)[y0 - top : y1 - top, x0 - left : x1 - left, None]
        out = image.copy()
        under = out[y0:y1, x0:x1].astype(np.float32)
        # The border of what is pasted takes the colour around it, or a square would give it away.
        edge = (patch[0].mean(axis=0) + patch[-1].mean(axis=0)) / 2
        over = patch[y0 - top : y1 - top, x0 - left : x1 - left] + (under.mean(axis=(0, 1)) - edge)
        out[y0:y1, x0:x1] = np.clip(under + alpha * (over - under) + 0.5, 0, 255)
        return out


def _feather(count, extent):
    """(count,) float32 in [0, 1]: 1 within, 0 beyond `extent` px around the middle, with a soft step between."""
    distance = np.abs(np.arange(count) + 0.5 - count / 2)
    return np.clip((extent / 2 - distance) / (FEATHER * extent), 0, 1).astype(np.float32)
