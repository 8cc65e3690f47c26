"""Clips put together from photographs: things cut out of some move over others, as many as wanted, to train from.

What boxes of photographs cannot teach, these do: the target moves over what is behind it, turns, grows and is hidden,
and other things, its own copies among them, cross its way. Some targets have limbs, so that their box changes its
shape. Some are a part of a thing (a helmet, a wheel) or have another thing fixed to them (a rider), so that what moves
together is not what is followed. As with `lunar_rendered` the boxes are exact, and frame i is a function of (seed,
clip, i) and the photographs alone. After "cut, paste and learn" (arXiv:1708.01642), in motion.

A `Style` chooses the size of the view and whether the motion is lively: then things also turn over large angles, are
seen narrowed, grow or shrink up to three times, and targets leave the view and come back.
"""

from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache, partial

import cv2
import numpy as np

from ...errors import FrameError, UserError
from ..benchmarks.annotated import PHOTO
from ..sequence import Sequence
from .segmenter import crop_around

SIZE, FRAMES = (320, 240), 32
SIDES = (7.0, 72.0)  # px, sqrt(w h) of the target at the start, in a view of SIZE
TEXELS, FINE_TEXELS, WIDE = 96, 192, 400  # side of a cut-out's patch, texels; the same for views wider than WIDE px
SEGMENTED = 64.0  # px, sqrt(w h): smaller labelled boxes are too blurred for a segmenter
LEAST = 12  # px, and texels: smaller sides of a box show too little
FILLED = (0.3, 0.97)  # share of the box that GrabCut must find to be believed
PLAIN = 8.0  # grey levels, deviation: what changes less is not cut out of a photograph without boxes
HIDDEN = 0.8  # a target of which a larger share is covered is absent
SUBSTEP = 1.5  # px a blurred thing moves between two of the exposures that are averaged
PART = (0.25, 0.7)  # sides of a part / those of the whole thing
WHOLE = 110.0  # px, largest sqrt(w h) of a thing of which a part is followed, in a view of SIZE
MARGIN = 0.06  # of the view: centres stay that far from its borders

# Lively motion only. The first four are probabilities of a thing, the fifth of a target.
TURNING = 0.35  # it turns steadily, by up to FULL_TURN during the clip
ROTATED = 0.25  # it starts at any angle
NARROWING = 0.3  # it becomes narrow and wide again, as if it turned in depth
GROWING = 0.3  # it grows or shrinks steadily, by up to GROWTH
LEAVING = 0.25  # it leaves the view and comes back, half of the time somewhere else
FULL_TURN, NARROWEST, GROWTH = 2 * np.pi, 0.45, 3.0  # rad in a clip; width / its own width; last size / first size


@dataclass(frozen=True)
class Style:
    """What clips look like.

    Args:
        size: width and height of the view, px. Targets grow with its diagonal.
        lively: whether large turns, narrowing, strong growth and leaving the view happen.
    """

    size: tuple = SIZE
    lively: bool = False

    @property
    def texels(self):
        """Side of a cut-out's patch, texels."""
        return FINE_TEXELS if self.size[0] > WIDE else TEXELS

    @property
    def scale(self):
        """The view's diagonal / that of SIZE."""
        return float(np.hypot(*self.size) / np.hypot(*SIZE))

    def __str__(self):
        size = "" if self.size == SIZE else ", {} x {}".format(*self.size)
        return size + (", lively" if self.lively else "")


PLAIN_STYLE = Style()


@dataclass(frozen=True)
class Cutout:
    """A thing of a photograph.

    levels: [(T, T, 4) float32 colour x coverage and coverage in 0..1], each half as large as the one before. hull:
    (K, 2) corners of its convex hull, from the patch's middle in texels of levels[0]. outline: (L, 2) the same of what
    its box encloses: the hull, or a part's.
    """

    levels: tuple = field(repr=False)
    hull: np.ndarray
    outline: np.ndarray

    @property
    def texels(self):
        """Side of its patch, texels."""
        return self.levels[0].shape[0]

    @property
    def side(self):
        """sqrt(w h) of the box, texels."""
        return float(np.sqrt(np.ptp(self.outline, axis=0).prod()))

    @property
    def middle(self):
        """(2,) the box's, texels."""
        return (self.outline.min(axis=0) + self.outline.max(axis=0)) / 2


class PhotoSource:
    """Cut-outs and backgrounds: the first frames of a list of Sequence.

    Args:
        sequences: a list of Sequence.
        segmenter: a Segmenter that finds the outlines of labelled objects, or None to find all by GrabCut.

    Raises:
        UserError: no sequence has a box of LEAST px or more.
    """

    def __init__(self, sequences, segmenter=None):
        self.segmenter = segmenter
        self.sequences = [one for one in sequences if one.visible[0]]
        self._large = [n for n, one in enumerate(self.sequences) if PHOTO in one.attributes or _large(one.first_box)]
        if not self._large:
            raise UserError(f"no photograph with a box of {LEAST} px or more, nothing to cut out")
        self._image = lru_cache(maxsize=8)(self._read)

    def _read(self, number):
        return self.sequences[number].frames()[0]

    def background(self, rng):
        """(H, W, 3) uint8 of a photograph."""
        return self._image(int(rng.integers(len(self.sequences))))

    def cutout(self, rng, texels=TEXELS):
        """A Cutout of a random one, its patch of texels x texels.

        Raises FrameError where 50 tries find nothing that can be cut out.
        """
        for _ in range(50):
            number = self._large[int(rng.integers(len(self._large)))]
            sequence, image = self.sequences[number], self._image(number)
            box = sequence.first_box
            if PHOTO in sequence.attributes:
                sides = rng.uniform(0.06, 0.4, 2) * min(image.shape[:2])
                box = np.concatenate([rng.uniform(0, image.shape[1::-1] - sides), sides])
            labelled = PHOTO not in sequence.attributes and np.sqrt(box[2:].prod()) >= SEGMENTED
            found = cut_out(rng, image, box, texels, self.segmenter if labelled else None) if _large(box) else None
            if found is not None:
                return found
        raise FrameError(f"{sequence.place}: like 49 others before it, nothing that can be cut out")


def _large(box_xywh):
    return box_xywh[2:].min() >= LEAST


def cut_out(rng, image, box_xywh, texels=TEXELS, segmenter=None):
    """What of an image lies in a box, as a Cutout.

    The outline is found by the segmenter if there is one, else by GrabCut, else it is a random star-shaped one.

    Args:
        rng: a numpy Generator.
        image (H, W, 3): uint8 RGB.
        box_xywh (4,): the box, px.
        texels: side of the cut-out's patch.
        segmenter: a Segmenter or None.

    Returns:
        A Cutout, or None if the box shows too little.
    """
    crop = crop_around(box_xywh, TEXELS)
    patch, (left, top, width, height) = crop.extract(image), crop.to_patch(box_xywh)
    inside = patch[int(top) : int(top + height), int(left) : int(left + width)]
    if min(inside.shape[:2]) < LEAST or inside.std(axis=(0, 1)).mean() < PLAIN:
        return None
    cover = segmenter.cover(image, box_xywh) if segmenter else None
    if cover is None:
        mask = _grabbed(patch, (int(left), int(top), int(width), int(height)))
        if mask is None:
            mask = _star(rng, width, height)
        if texels != TEXELS:
            mask = cv2.resize(np.float32(mask), (texels, texels), interpolation=cv2.INTER_LINEAR) > 0.5
        cover = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 0.7)[..., None]
    else:
        cover = cv2.resize(np.float32(cover) / 255, (texels, texels), interpolation=cv2.INTER_AREA)
        mask, cover = cover > 0.5, cover[..., None]
    points = cv2.convexHull(np.argwhere(mask)[:, ::-1].astype(np.float32))[:, 0]
    corners = np.concatenate([points + offset for offset in ((0, 0), (0, 1), (1, 0), (1, 1))]) - texels / 2
    if texels != TEXELS:
        patch = crop_around(box_xywh, texels).extract(image)
    return Cutout(_levels(np.concatenate([patch * cover, cover], axis=2)), corners, corners)


def _levels(texels):
    levels = [texels]
    while levels[-1].shape[0] > 6:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return tuple(levels)


def part_of(rng, cutout):
    """The Cutout of which a part is followed: an ellipse that it fills; itself where 20 tries find none."""
    low, high = cutout.hull.min(axis=0), cutout.hull.max(axis=0)
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    for _ in range(20):
        outline = rng.uniform(low, high) + circle * rng.uniform(*PART, 2) * (high - low) / 2
        cover = cutout.levels[0][..., 3][_filled(outline + cutout.texels / 2, cutout.texels, cutout.texels) > 0]
        if cover.size > (LEAST * cutout.texels / TEXELS) ** 2 / 2 and cover.mean() > 0.9:
            return replace(cutout, outline=outline)
    return cutout


def piece_of(rng, cutout):
    """A Cutout that is a part of another and shows nothing else."""
    outline = part_of(rng, cutout).outline
    mask = _filled(outline + cutout.texels / 2, cutout.texels, cutout.texels).astype(np.float32)
    mask = cv2.GaussianBlur(mask, (0, 0), 0.7)
    return Cutout(_levels(cutout.levels[0] * mask[..., None]), outline, outline)


def _filled(outline, width, height):
    """(H, W) uint8, 1 within a convex outline (L, 2) px."""
    corners = cv2.convexHull(np.floor(outline).astype(np.int32))
    return cv2.fillConvexPoly(np.zeros((height, width), np.uint8), corners, 1)


def _grabbed(patch, rect):
    """(T, T) bool, the largest connected thing in a rectangle; None where it fills too little of it, or all."""
    mask = np.zeros(patch.shape[:2], np.uint8)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(patch, mask, rect, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_RECT)
    except cv2.error:  # all one colour
        return None
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask & 1).astype(np.uint8))
    if count < 2:
        return None
    largest = 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    share = stats[largest, cv2.CC_STAT_AREA] / (rect[2] * rect[3])
    return labels == largest if FILLED[0] <= share <= FILLED[1] else None


def _star(rng, width, height):
    """(T, T) bool, a star-shaped blob about as large as a box of width x height texels."""
    v, u = (np.mgrid[:TEXELS, :TEXELS] + 0.5 - TEXELS / 2) * 2 / np.array([height, width])[:, None, None]
    angle, radius = np.arctan2(v, u), 0.85
    for wave in range(2, 6):
        radius = radius + rng.uniform(0, 0.3 / wave) * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(u, v) < radius


@dataclass
class _Mover:
    """A cut-out on its way.

    centres: (N, 2) px, of its patch. shapes: (N, 2, 2), texels of levels[0] to px. gain, shift: of its light. blur:
    share of the time between two frames during which the shutter is open. size: of the view, px. jump: number of the
    frame before which it went, out of sight, to another place, or None.
    """

    cutout: Cutout
    centres: np.ndarray
    shapes: np.ndarray
    gain: np.ndarray
    shift: np.ndarray
    blur: float
    size: tuple = SIZE
    jump: int | None = None

    @cached_property
    def outlines(self):
        """(N, L, 2) px."""
        return self.cutout.outline @ self.shapes.transpose(0, 2, 1) + self.centres[:, None]

    def boxes_xywh(self):
        """(N, 4) float64 px: the extent of its outline."""
        return np.concatenate([self.outlines.min(axis=1), np.ptp(self.outlines, axis=1)], axis=1)

    def drawn(self, i, centre=None):
        """((rows, columns), (h, w, 4) float32) where and how it covers the view; None where it does not."""
        centre = self.centres[i] if centre is None else centre
        shape = self.shapes[i]
        reach = np.abs(self.cutout.hull @ shape.T).max(axis=0) + 2
        x0, y0 = np.maximum(np.floor(centre - reach), 0).astype(int)
        x1, y1 = np.minimum(np.ceil(centre + reach), self.size).astype(int)
        if x1 <= x0 or y1 <= y0:
            return None
        scale = np.sqrt(abs(np.linalg.det(shape)))
        level = int(np.clip(np.floor(-np.log2(scale)), 0, len(self.cutout.levels) - 1))
        texels = self.cutout.levels[level]
        # From pixels of the part to texels: both count from the middle of their first one.
        inverse = np.linalg.inv(shape) / 2**level
        offset = inverse @ (np.array([x0, y0]) + 0.5 - centre) + texels.shape[0] / 2 - 0.5
        matrix = np.concatenate([inverse, offset[:, None]], axis=1)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.s_[y0:y1, x0:x1], cv2.warpAffine(texels, matrix, (int(x1 - x0), int(y1 - y0)), flags=flags)

    def exposures(self, i):
        """Its centres (n, 2) px while the shutter of frame i is open."""
        way = (self.centres[i] - self.centres[i - 1] if i and i != self.jump else np.zeros(2)) * self.blur
        count = int(min(max(np.hypot(*way) / SUBSTEP, 1), 8))
        return self.centres[i] + np.linspace(-0.5, 0.5, count)[:, None] * way if count > 1 else self.centres[i][None]


def collages(photographs, dataset, clips, seed=0, style=PLAIN_STYLE, progress=lambda done, total: None):
    """So many clips, a list of Sequence.

    A scene is made for its boxes (30 ms, with a segmenter up to some seconds), and again when frames are opened.
    progress(done, total) is called after every scene.
    """
    made = []
    for number in range(clips):
        opener = partial(CollageClip, photographs, number, seed, style)
        clip = opener()
        made.append(Sequence(f"{number:05d}", dataset, clip.boxes_xywh, opener, clip.visible, place=dataset))
        progress(number + 1, clips)
    return made


class CollageClip:
    """One clip, a frame source: `len(clip)`, `clip[i]` -> (H, W, 3) uint8 RGB; boxes_xywh (N, 4), visible (N,).

    The box is the target's whole extent also where it is partly hidden, NaN where it is absent.

    Args:
        photographs: a PhotoSource.
        number: of the clip.
        seed: of all clips.
        style: a Style.
    """

    fps = 30.0

    def __init__(self, photographs, number, seed=0, style=PLAIN_STYLE):
        rng = np.random.default_rng([seed, number])
        self._world = _world(rng, photographs.background(rng), style)
        side = float(np.exp(rng.uniform(*np.log(np.multiply(SIDES, style.scale)))))
        cutout, harmony = photographs.cutout(rng, style.texels), rng.uniform(0, 0.9) * (rng.random() < 0.6)
        if rng.random() < 0.25:
            whole, cutout = cutout.side, part_of(rng, cutout)
            side = min(side, WHOLE * style.scale * cutout.side / whole)
        speed = side * np.exp(rng.uniform(*np.log((0.02, 0.35)))) * (2.5 if rng.random() < 0.15 else 1)
        blur = float(rng.uniform(0.2, 0.8)) if rng.random() < 0.4 else 0.0
        light = self._world(0).mean(axis=(0, 1))
        target = _mover(rng, cutout, _way(rng, speed, style.size), side, light, harmony, blur, style)
        if style.lively and rng.random() < LEAVING:
            target = _leaving(rng, target, speed)
        others = []
        for _ in range(int(rng.integers(1, 6)) if rng.random() < 0.65 else 0):
            twin = rng.random() < 0.4
            other = cutout if twin else photographs.cutout(rng, style.texels)
            size = side * np.exp(rng.normal(0, 0.12 if twin else 0.4))
            way = _way(rng, speed, style.size) if rng.random() < 0.5 else _crossing(rng, target.centres, side, speed)
            others.append(_mover(rng, other, way, size, light, harmony, blur, style))
        split = int(rng.integers(len(others) + 1))
        under, over = others[:split], others[split:]
        if rng.random() < 0.25:
            under.append(_fixed_to(rng, target, photographs.cutout(rng, style.texels), light))
        if rng.random() < 0.3:  # something larger that may hide it
            way = _crossing(rng, target.centres, 0.3 * side, max(speed, 0.1 * side))
            other, size = photographs.cutout(rng, style.texels), side * rng.uniform(1, 2.5)
            over.append(_mover(rng, other, way, size, light, 0, blur, style))
        limbs = _limbs(rng, target) if cutout.outline is cutout.hull and rng.random() < 0.4 else []
        self._movers, self._target = [*under, *limbs, target, *over], len(under) + len(limbs)
        self.boxes_xywh = _joined([mover.boxes_xywh() for mover in (target, *limbs)])
        self.visible = np.array([_covered(target, over, i) <= HIDDEN for i in range(FRAMES)])
        if style.lively:
            self.visible &= _share_in_view(self.boxes_xywh, style.size) >= 1 - HIDDEN
        self.boxes_xywh[~self.visible] = np.nan

    def __len__(self):
        return FRAMES

    def __getitem__(self, i):
        i = range(FRAMES)[i]
        view = self._world(i)
        for mover in self._movers:
            places = mover.exposures(i)
            behind = view.copy() if len(places) > 1 else view
            for centre in places:
                drawn = mover.drawn(i, centre)
                if drawn is not None:
                    part, patch = drawn
                    colour = patch[..., :3] * mover.gain[i] + patch[..., 3:] * mover.shift
                    view[part] += (colour - patch[..., 3:] * behind[part]) / len(places)
        view += 0.5
        return np.clip(view, 0, 255, out=view).astype(np.uint8)


def _world(rng, image, style):
    """A function of the frame's number: the background (H, W, 3) float32 as a moving camera sees it."""
    width, height = style.size
    shown = rng.uniform(0.45, 0.95) * min(image.shape[1] / width, image.shape[0] / height)  # image px a px of the view
    if shown > 1:
        image = cv2.resize(image, None, fx=1 / shown, fy=1 / shown, interpolation=cv2.INTER_AREA)
        shown = 1.0
    room = np.array(image.shape[1::-1]) - np.array(style.size) * shown
    drift = _wander(rng, style.scale * rng.uniform(0, 3) if rng.random() < 0.5 else 0.0)
    corners = np.clip(rng.uniform(0, room) + drift, 0, room)
    gains = np.exp(_wander(rng, 0.01)[:, 0])

    def show(i):
        x, y = corners[i] + 0.5 * (shown - 1)
        matrix = np.array([[shown, 0, x], [0, shown, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view = cv2.warpAffine(image, matrix, style.size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return np.multiply(view, np.float32(gains[i]), dtype=np.float32)

    return show


def _mover(rng, cutout, way, side, light, harmony, blur, style=PLAIN_STYLE):
    """A _Mover of sqrt(w h) = side px at the start; its box's middle goes `way` (N, 2) px.

    Its colours are moved by `harmony` (0..1) towards `light` (3,).
    """
    scale = side / cutout.side * np.exp(np.clip(_wander(rng, 0.025)[:, 0], -0.7, 0.7))
    turn = rng.normal(0, 0.25) + _wander(rng, 0.25 if rng.random() < 0.15 else 0.02)[:, 0]
    narrow = np.exp(np.clip(_wander(rng, 0.06 if rng.random() < 0.3 else 0.02)[:, 0], -0.8, 0.8) + rng.normal(0, 0.1))
    stretch = np.stack([scale * np.sqrt(narrow), scale / np.sqrt(narrow)], axis=1)
    shapes = _rotations(turn) * stretch[:, None, :]
    if style.lively:
        turn, stretch = _lively(rng, turn, stretch, side / np.array(SIDES) / style.scale)
        shapes = _rotations(turn) * stretch[:, None, :]
    gain = np.exp(np.clip(_wander(rng, 0.06 if rng.random() < 0.2 else 0.015)[:, 0], -1, 0.3)).astype(np.float32)
    shift = _shift(rng, cutout, light, harmony)
    return _Mover(cutout, way - shapes @ cutout.middle, shapes, gain, shift, blur, style.size)


def _lively(rng, turn, stretch, room):
    """Add large turns, narrowing and growth, each by chance, to a thing's motion.

    Args:
        rng: a numpy Generator.
        turn (N,): rad.
        stretch (N, 2): px for each texel, along the cut-out's own axes.
        room (2,): its size / the smallest and / the largest size that targets start with.

    Returns:
        turn and stretch with what was added.
    """
    time = np.arange(FRAMES) / (FRAMES - 1)
    if rng.random() < TURNING:
        turn = turn + rng.choice((-1, 1)) * rng.uniform(0.2, 1) * FULL_TURN * time
    if rng.random() < ROTATED:
        turn = turn + rng.uniform(-np.pi, np.pi)
    if rng.random() < NARROWING:
        depth, axis = 1 - rng.uniform(NARROWEST, 0.8), int(rng.random() < 0.3)
        wave = np.sin(np.pi * (rng.uniform(0.5, 2) * time + rng.random())) ** 2
        stretch = stretch * np.where(np.arange(2) == axis, 1 - depth * wave[:, None], 1)
    if rng.random() < GROWING:
        low, high = -min(np.log(GROWTH), max(np.log(room[0]), 0)), min(np.log(GROWTH), max(-np.log(room[1] / 1.3), 0))
        stretch = stretch * np.exp(rng.uniform(low, high) * time)[:, None]
    return turn, stretch


def _leaving(rng, target, speed):
    """A _Mover like a target (a _Mover) that goes out of the view, stays away for some frames and comes back.

    speed: px a frame of its usual motion. It leaves and returns faster if it must, in at most 8 frames.
    """
    size, frame = np.array(target.size, float), np.arange(FRAMES)
    low, extent = target.outlines.min(axis=1), np.ptp(target.outlines, axis=1)
    middle, offset = low + extent / 2, target.centres - low - extent / 2
    gone = int(rng.integers(10, 17))  # the first frame in which it is outside
    back = gone + int(rng.integers(3, 9))  # the first frame in which it is not
    elsewhere, jump = rng.random() < 0.5, (gone + back) // 2
    ways = [middle, _way(rng, speed, target.size) if elsewhere else middle]
    placed = []
    for way, turning_point in zip(ways, (gone, back), strict=True):
        borders = np.concatenate([way[turning_point], size - way[turning_point]])  # left, top, right, bottom
        border = int(borders.argmin()) if not (placed and elsewhere) else int(rng.integers(4))
        axis, right = border % 2, border >= 2
        outside = way.copy()
        outside[:, axis] = (size[axis] if right else 0) + (1 if right else -1) * (extent[:, axis] / 2 + 2)
        frames = int(np.clip(borders[border] / max(speed, 0.25 * target.boxes_xywh()[0, 2:].max()), 3, 8))
        share = 1 - np.clip(np.abs(frame - turning_point) / frames, 0, 1)
        share[gone:back] = 1
        placed.append(way + (1 - np.cos(np.pi / 2 * share))[:, None] * (outside - way))
    moved = np.where((frame < jump)[:, None], *placed)
    return replace(target, centres=moved + offset, jump=jump)


def _share_in_view(boxes_xywh, size):
    """(N,) share of the area of boxes (N, 4) that lies in a view of size (width, height) px."""
    low, high = np.maximum(boxes_xywh[:, :2], 0), np.minimum(boxes_xywh[:, :2] + boxes_xywh[:, 2:], size)
    return np.maximum(high - low, 0).prod(axis=1) / np.maximum(boxes_xywh[:, 2:].prod(axis=1), 1e-9)


def _fixed_to(rng, target, cutout, light):
    """A _Mover of another thing that moves, turns and grows with a target (a _Mover), behind it or at its side."""
    size = target.cutout.side / cutout.side * np.exp(rng.normal(0.3, 0.5))  # texels of the target / its own
    angle = rng.uniform(0, 2 * np.pi)
    apart = 0.3 * (target.cutout.side + size * cutout.side) * rng.uniform(0.5, 1.5)
    place = target.cutout.middle + apart * np.array([np.cos(angle), np.sin(angle)])
    centres = target.centres + target.shapes @ place
    shift = _shift(rng, cutout, light, rng.uniform(0, 0.9))
    return replace(target, cutout=cutout, centres=centres, shapes=target.shapes * size, shift=shift)


def _limbs(rng, target):
    """One to three _Movers of pieces of a target (a _Mover) that swing about their joints with it."""
    made, time = [], np.arange(FRAMES)
    low, extent = target.cutout.outline.min(axis=0), np.ptp(target.cutout.outline, axis=0)
    for _ in range(int(rng.integers(1, 4))):
        piece = piece_of(rng, target.cutout)
        along = int(np.ptp(piece.outline, axis=0).argmax())  # its longer side
        length = np.ptp(piece.outline[:, along])
        end = piece.middle - 0.4 * length * np.eye(2)[along]  # where it is fixed, its own texels
        outward, swing = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.9)
        joint = low + extent * (0.5 + 0.35 * np.array([np.cos(outward), np.sin(outward)]))
        angles = outward - along * np.pi / 2 + rng.normal(0, 0.4) + _wander(rng, 0.03)[:, 0]
        angles = angles + swing * np.sin(2 * np.pi * (time / rng.uniform(4, 40) + rng.random()))
        size = target.cutout.side / length * rng.uniform(0.4, 1.1)  # texels of the target / its own
        turned = size * _rotations(angles)
        centres = target.centres + (target.shapes @ (joint - turned @ end)[..., None])[..., 0]
        made.append(replace(target, cutout=piece, centres=centres, shapes=target.shapes @ turned))
    return made


def _rotations(angles):
    """(N,) rad -> (N, 2, 2)."""
    cosine, sine = np.cos(angles), np.sin(angles)
    return np.stack([cosine, -sine, sine, cosine], axis=1).reshape(-1, 2, 2)


def _joined(boxes_xywh):
    """(N, 4) the boxes around several (N, 4)."""
    boxes = np.stack(boxes_xywh)
    low, high = boxes[..., :2].min(axis=0), (boxes[..., :2] + boxes[..., 2:]).max(axis=0)
    return np.concatenate([low, high - low], axis=1)


def _shift(rng, cutout, light, harmony):
    """(3,) float32 grey levels that move a cut-out's mean colour by `harmony` (0..1) towards `light` (3,)."""
    texels = cutout.levels[0]
    colour = texels[..., :3].sum(axis=(0, 1)) / texels[..., 3].sum()
    return np.float32(harmony * (light - colour) + rng.normal(0, 4, 3))


def _wander(rng, step):
    """(N, 2) a smooth random walk from 0 whose steps are about `step` long."""
    steps = rng.normal(0, 1, (FRAMES, 2))
    for i in range(1, FRAMES):
        steps[i] = 0.9 * steps[i - 1] + np.sqrt(1 - 0.9**2) * steps[i]
    walk = np.cumsum(step * steps, axis=0)
    return walk - walk[0]


def _way(rng, speed, size):
    """(N, 2) px, a way in the view at about `speed` px a frame that turns back at the borders."""
    low, room = np.array(size) * MARGIN, np.array(size) * (1 - 2 * MARGIN)
    free = rng.uniform(0, room) + _wander(rng, speed / np.sqrt(2))
    return low + room - np.abs(free % (2 * room) - room)


def _crossing(rng, centres, miss, speed):
    """(N, 2) px, a straight way that meets another one (N, 2) at some frame, `miss` px off or so."""
    when, angle = rng.uniform(2, FRAMES - 2), rng.uniform(0, 2 * np.pi)
    velocity = rng.uniform(0.3, 2) * speed * np.array([np.cos(angle), np.sin(angle)])
    time = np.arange(FRAMES)[:, None] - when
    return centres[int(when)] + rng.normal(0, max(miss, 0.1), 2) + time * velocity


def _covered(target, over, i):
    """Share of the target in frame i that other things cover."""
    drawn = target.drawn(i)
    if drawn is None:
        return 1.0
    (rows, columns), patch = drawn
    followed = _filled(target.outlines[i], *target.size)
    own, free = patch[..., 3] * followed[rows, columns], np.ones(patch.shape[:2], np.float32)
    for mover in over:
        above = mover.drawn(i)
        if above is None:
            continue
        view = np.zeros(target.size[::-1], np.float32)
        view[above[0]] = above[1][..., 3]
        free *= 1 - view[rows, columns]
    return 1 - float((own * free).sum() / max(own.sum(), 1e-6))
