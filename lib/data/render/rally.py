"""Rendered rallies with exact positions of the ball: `ball_rendered`, for training and tests of ball finders.

A rally is played in three dimensions (lib/data/render/flight.py) in a hall of its own (court.py) and filmed from where
broadcasters stand. The ball is drawn as the light that it sends during the exposure: a streak along its path. Its
position is where its centre is in the middle of the exposure. Players, the net and the scores hide it; it leaves the
image and comes back; lamps, lines, shoes, faces and balls on the floor look like it. Noise, soft optics and JPEG come
last. A rally is a function of the generator that it is given, and frame i of it does not depend on the frames before.
"""

import fnmatch
from functools import lru_cache

import cv2
import numpy as np

from . import court
from .flight import SPORTS, STEPS, WHITE, fly
from .streak import lay, streak

HIDDEN = 0.65  # a ball of which more than this share is covered counts as not seen
FAINT = 6.0  # grey levels: a ball that changes no 3x3 px by this counts as not seen, as noise and compression hide it
_MARGIN = 0.04  # of the image's width, on each side, for a camera that pans
_NOISE = 256  # px, side of the tile of noise
_SHUTTLE = ((0.048, 0.014), (0.016, 0.022), (-0.029, 0.033))  # discs along its axis from its middle: place, radius, m
_FIXED = 4  # bits of a fraction in OpenCV's drawing


class Rally:
    """One rendered rally, a frame source: `len(rally)`, `rally[i]` -> (H, W, 3) uint8 RGB.

    name, sport, size (width, height) px, fps. points (N, 2): the ball's centre at mid-exposure, continuous px, NaN
    where `visible` (N,) is False. sides (N,): its diameter, px. boxes_xywh (N, 4): the square about the centre, NaN
    where it is not seen. streaks (N,): length of its path during the exposure, px.

    Args:
        rng: all that is random comes from it.
        sport: a key of SPORTS; None draws one.
        size (width, height): of the image, px.
        frames: number of frames N.
        name: of the sequence.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        sport: str | None = None,
        size: tuple = (1920, 1080),
        frames: int = 64,
        name: str = "rally",
    ) -> None:
        self.sport = sport or str(rng.choice(list(SPORTS)))
        self.name, self.size, self.kind = name, tuple(size), SPORTS[self.sport]
        self.fps = float(rng.choice((25, 30, 30, 50, 60)))
        self._seed = int(rng.integers(2**62))
        self._flight = fly(rng, self.kind, frames, self.fps)
        self._margin = int(_MARGIN * size[0]) if rng.random() < 0.4 else 0
        wide = (size[0] + 2 * self._margin, size[1] + 2 * self._margin)
        view = court.film(rng, self.kind, size)
        self._camera = court.Camera(view.place, view.axes, view.focal, view.centre + self._margin)
        self._wide = wide
        self._pan = self._pans(rng, frames)
        self._players = _players(rng, self.kind, self._flight, frames, self.fps)
        self._exposure = rng.uniform(0.2, 0.95)  # share of the time between frames
        self._blur = max(rng.uniform(0.4, 1.1) * size[0] / 1920, 0.3)  # px, of the lens
        self._soft = float(rng.choice((1, 0.85, 0.75, 0.5)))  # resolution that the encoder kept
        self._noise = rng.uniform(0, 5)
        self._quality = int(rng.uniform(35, 92))
        self._light = rng.uniform(0.75, 1.0)
        colours = self.kind.colours
        self._colour = np.array(colours[int(rng.integers(len(colours)))], np.float32)
        self._second = np.array(rng.choice(((50, 80, 170), (180, 60, 50), (60, 130, 80))), np.float32)
        self._net_colour = (25, 25, 30) if rng.random() < 0.7 else (225, 225, 225)
        self._turn = rng.uniform(0.05, 0.5)  # of the ball's panels, radians a frame
        self._truth(frames)

    def _pans(self, rng, frames):
        time = np.arange(frames)[:, None] / self.fps
        slow, phase = rng.uniform(0.3, 1.0, 2), rng.uniform(0, 6.28, 2)
        shift = np.sin(slow * time * 2 + phase) * (0.8, 0.25)
        return np.rint(self._margin * (1 + shift)).astype(int)  # corner of the view in the wide picture, px

    def _truth(self, frames):
        middle = self._flight.places[STEPS // 2 :: STEPS][:frames]
        points, scale = self._camera.project(middle)
        self.sides = self.kind.diameter * scale
        self._near = middle[:, 0] * self._camera.place[0] >= 0  # of the net
        inside = points - self._pan
        with np.errstate(invalid="ignore"):
            seen = ((inside >= 0) & (inside < self.size)).all(axis=1) & (self.sides > 0)
        self.streaks = np.full(frames, np.nan)
        for i in np.flatnonzero(np.isfinite(self.sides)):
            path = self._path(i)[0]
            self.streaks[i] = np.linalg.norm(np.diff(path, axis=0), axis=1).sum()
            if seen[i]:
                seen[i] = self._covered(i) <= HIDDEN and self._contrast(i) >= FAINT
        self.visible = seen
        self.points = np.where(seen[:, None], inside, np.nan)
        side = np.where(seen, self.sides, np.nan)[:, None]
        self.boxes_xywh = np.concatenate([self.points - side / 2, side, side], axis=1)

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, i: int) -> np.ndarray:
        i = range(len(self))[i]
        rng = np.random.default_rng([self._seed, 1, i])
        image = _hall(self).copy()
        self._paint(image, i)
        x, y = self._pan[i]
        image = image[y : y + self.size[1], x : x + self.size[0]]
        scores, (x, y) = _scores(self)
        part = image[y : y + scores.shape[0], x : x + scores.shape[1]]
        part[:] = scores[: part.shape[0], : part.shape[1]]
        return self._record(image, rng)

    def _order(self, i):
        """What moves, farthest first: [(distance, nearer than the net, player or None for the ball)]."""
        ahead = self._camera.axes[2]
        things = []
        for player in self._players:
            foot = player.path[i]
            distance = ahead @ (np.array([*foot, 0.9]) - self._camera.place)
            things.append((float(distance), bool(foot[0] * self._camera.place[0] >= 0), player))
        if np.isfinite(self.sides[i]):
            place = self._flight.places[i * STEPS + STEPS // 2]
            things.append((float(ahead @ (place - self._camera.place)), bool(self._near[i]), None))
        return sorted(things, key=lambda thing: (thing[1], -thing[0]))

    def _path(self, i):
        """Centres (K, 2) px of the wide picture during the exposure of frame i, their radii, and the axis (3,)."""
        middle = i * STEPS + STEPS / 2
        half = self._exposure * STEPS / 2
        steps = np.arange(len(self._flight.places))
        first, last = max(int(middle - half) - 1, 0), min(int(middle + half) + 3, len(steps))
        places = self._flight.places[first:last]
        steps = steps[first:last][np.isfinite(places[:, 0])]
        places = places[np.isfinite(places[:, 0])]
        ends, scale = self._camera.project(places[[0, -1]])
        radius = self.kind.diameter / 2 * np.nanmean(scale)
        count = int(np.clip(np.linalg.norm(ends[1] - ends[0]) / max(0.35 * radius, 0.35), 4, 60)) | 1
        times = np.linspace(middle - half, middle + half, count)
        path = np.stack([np.interp(times, steps, places[:, axis]) for axis in range(3)], axis=1)
        centres, scale = self._camera.project(path)
        ahead = places[-1] - places[0]
        return centres, scale, path, ahead / max(np.linalg.norm(ahead), 1e-9)

    def _extent(self, i):
        """Rectangle of the ball's light in the wide picture, not cut: low (2,), high (2,) px, whole; and its discs.

        The discs: centres (K, D, 2) and radii (K, D), px, D of them at each of K times.
        """
        centres, scale, path, ahead = self._path(i)
        if self.sport == "badminton":
            offsets, radii = np.array(_SHUTTLE).T
            centres, scale = self._camera.project(path[:, None] + offsets[:, None] * ahead)
            radii = radii * scale
        else:
            centres, radii = centres[:, None], (self.kind.diameter / 2 * scale)[:, None]
        reach = radii.max() + 3 * self._blur + 1
        low, high = centres.min(axis=(0, 1)) - reach, centres.max(axis=(0, 1)) + reach
        return np.floor(low).astype(int), np.ceil(high).astype(int), centres, radii

    def _streak(self, i):
        """The ball's light on the picture: (corner (x, y), alpha (h, w) float32), or None outside of it."""
        low, high, centres, radii = self._extent(i)
        low, high = low.clip(0, self._wide), high.clip(0, self._wide)
        if (high <= low).any():
            return None
        x, y = (np.arange(first, last) + 0.5 for first, last in zip(low, high, strict=True))
        return low, streak(centres, radii, x, y, self._blur)

    def _covered(self, i):
        """Share of the ball's light in frame i that something in front of it hides."""
        low, high = self._extent(i)[:2]
        order = self._order(i)
        mine = next(k for k, thing in enumerate(order) if thing[2] is None)
        nearer = [player for _, _, player in order[mine + 1 :] if player.near(i, self._camera, low, high)]
        scores, corner = _scores(self)
        title = self._pan[i] + corner
        below_title = (high > title).all() and (low < title + scores.shape[1::-1]).all()
        cut = (low < self._pan[i]).any() or (high > self._pan[i] + self.size).any()
        x, y, w, h = cv2.boundingRect(_net(self))
        behind_net = not self._near[i] and (high > (x, y)).all() and (low < (x + w, y + h)).all()
        if not nearer and not below_title and not cut and not behind_net:
            return 0.0
        placed = self._streak(i)
        if placed is None:
            return 1.0
        low, alpha = placed
        if alpha.sum() <= 0:
            return 1.0
        cover = np.zeros((*alpha.shape, 3), np.uint8)
        for player in nearer:
            player.draw(cover, i, self._camera, low, flat=True)
        share = cover[..., 0] / np.float32(255)
        height, width = alpha.shape
        rows = np.arange(height)[:, None] + low[1] - self._pan[i][1]
        columns = np.arange(width) + low[0] - self._pan[i][0]
        right, bottom = np.add(corner, scores.shape[1::-1])
        titled = (rows >= corner[1]) & (rows < bottom) & (columns >= corner[0]) & (columns < right)
        outside = (rows < 0) | (rows >= self.size[1]) | (columns < 0) | (columns >= self.size[0])
        share = np.maximum(share, titled | outside)
        if behind_net:
            net = _net(self)[low[1] : low[1] + height, low[0] : low[0] + width] / np.float32(255)
            share = np.maximum(share, np.where(net > 0.8, net, 0))
        return float((share * alpha).sum() / alpha.sum())

    def _paint(self, image, i, corner=(0, 0), ball=True):
        """Paint what moves, and the net, over a part of the hall that begins at `corner` (x, y)."""
        order = self._order(i)
        far = [thing for thing in order if not thing[1]]
        height, width = image.shape[:2]
        for things in (far, order[len(far) :]):
            for _, _, player in things:
                if player is not None:
                    player.draw(image, i, self._camera, corner)
                elif ball:
                    self._draw_ball(image, i, corner)
            if things is far:
                net = _net(self)[corner[1] : corner[1] + height, corner[0] : corner[0] + width]
                _lay_net(image, np.ascontiguousarray(net), self._net_colour)

    def _contrast(self, i):
        """Largest change of the brightness of 3x3 px by the ball in frame i, grey levels."""
        placed = self._streak(i)
        if placed is None:
            return 0.0
        (left, top), alpha = placed
        part = _hall(self)[top : top + alpha.shape[0], left : left + alpha.shape[1]]
        shown = [part.copy(), part.copy()]
        for image, ball in zip(shown, (True, False), strict=True):
            self._paint(image, i, (left, top), ball)
        change = np.subtract(*shown, dtype=np.float32).mean(axis=2)
        return float(np.abs(cv2.blur(change, (3, 3))).max())

    def _draw_ball(self, image, i, corner):
        placed = self._streak(i)
        if placed is None:
            return
        (left, top), alpha = placed
        height, width = alpha.shape
        part = image[top - corner[1] :, left - corner[0] :][:height, :width]
        centre, _ = self._camera.project(self._flight.places[i * STEPS + STEPS // 2])
        radius = self.sides[i] / 2
        x = (np.arange(left, left + width) + 0.5 - centre[0]) / radius
        y = ((np.arange(top, top + height) + 0.5 - centre[1]) / radius)[:, None]
        light = self._light * (0.85 - 0.15 * np.clip(y, -1, 1)) * np.ones_like(x)
        colour = light[..., None] * self._colour
        sharp = np.exp(-self.streaks[i] / (2 * radius)) if self.sport in ("volleyball", "tennis") else 0
        if sharp > 0.05 and radius > 1.5:
            turn = i * self._turn
            panel = np.sin(3 * (x * np.cos(turn) + y * np.sin(turn)) + 2 * turn)
            other = self._second if self.sport == "volleyball" else np.float32(WHITE)
            share = sharp * np.clip(panel * 2 - 0.6, 0, 1) * (0.9 if self.sport == "volleyball" else 0.4)
            colour = colour + share[..., None] * (light[..., None] * other - colour)
        lay(part, alpha, colour)

    def _record(self, image, rng):
        """What the recorder makes of it: lost resolution, noise, JPEG."""
        if self._soft < 1:
            small = tuple(max(round(side * self._soft), 8) for side in self.size)
            way = cv2.INTER_AREA if self._soft <= 0.5 else cv2.INTER_LINEAR
            image = cv2.resize(image, small, interpolation=way)
        height, width = image.shape[:2]
        if self._noise > 0.5:
            dy, dx = rng.integers(0, _NOISE, 2)
            field = _noise(height, width)[dy : dy + height, dx : dx + width]
            noisy = cv2.addWeighted(image, 1.0, field, self._noise / 16, 0, dtype=cv2.CV_16S)
            image = noisy.clip(0, 255).astype(np.uint8)
        _, data = cv2.imencode(
            ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, self._quality]
        )
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
        if self._soft < 1:
            image = cv2.resize(image, self.size, interpolation=cv2.INTER_LINEAR)
        return image


def rendered_rallies(
    count: int = 40,
    seed: int = 0,
    size: tuple = (1920, 1080),
    frames: int = 64,
    sport: str | None = None,
    like: str = "*",
) -> list[Rally]:
    """The rallies of `ball_rendered`, in a fixed order. Pixels are made when frames are read.

    Args:
        count: number of rallies. The first ones do not depend on it.
        seed: of all of them.
        size (width, height): of the images, px.
        frames: of each rally.
        sport: a key of SPORTS for all; None takes the sports in turn.
        like: pattern of the names of those that are wanted; the others are not planned.

    Returns:
        The rallies.
    """
    names = list(SPORTS)
    rallies = []
    for number in range(count):
        kind = sport or names[number % len(names)]
        name = f"rally_{number:03d}_{kind}"
        if fnmatch.fnmatchcase(name, like):
            rallies.append(Rally(np.random.default_rng([seed, number]), kind, size, frames, name))
    return rallies


class Player:
    """A figure of limbs. path (N, 2): m on the floor. strokes: [(frame, place (3,))] where a hand meets the ball."""

    def __init__(self, rng, path, strokes, facing, shirt, shorts, racket):
        self.path, self.strokes, self.facing, self.racket = path, strokes, facing, racket
        self.shirt, self.shorts = shirt, shorts
        self.skin = tuple(int(c) for c in np.array((205, 160, 130)) * rng.uniform(0.45, 1.05))
        self.hair = tuple(int(c) for c in np.array((60, 45, 35)) * rng.uniform(0.3, 2.0))
        self.shoes = (240, 240, 240) if rng.random() < 0.6 else tuple(int(c) for c in rng.integers(20, 230, 3))
        self.tall = rng.uniform(0.92, 1.08)
        self.phase = rng.uniform(0, 6.28)
        speed = np.linalg.norm(np.gradient(path, axis=0), axis=1)
        self.stride = np.cumsum(speed) * 4.5 + self.phase
        self.pace = np.clip(speed * 8, 0, 1)

    def near(self, i, camera, low, high):
        """Can the figure touch the rectangle from low to high, px?"""
        points, scale = camera.project(np.array([(*self.path[i], 0.0), (*self.path[i], 2.0)]))
        reach = 1.6 * np.nanmax(scale) if np.isfinite(scale).any() else 0
        return bool((points.max(axis=0) + reach > low).all() and (points.min(axis=0) - reach < high).all())

    def joints(self, i):
        """(13, 3) m: head, neck, hips, then left and right of shoulder, elbow, hand, knee, foot."""
        tall, ahead = self.tall, np.array([self.facing, 0.0, 0.0])
        aside = np.array([0.0, self.facing, 0.0])
        foot = np.array([*self.path[i], 0.0])
        stride, pace = self.stride[i], self.pace[i]
        sway = 0.03 * np.sin(i * 0.2 + self.phase)
        up = np.array([0.0, 0.0, 1.0])
        hips = foot + up * (0.93 - 0.08 * pace) * tall
        neck = hips + up * 0.52 * tall + ahead * (0.08 + 0.1 * pace + sway)
        head = neck + up * 0.19 * tall + ahead * 0.03
        parts = [head, neck, hips]
        legs = []
        for sign in (-1, 1):
            swing = pace * np.sin(stride) * sign
            shoulder = neck - up * 0.06 * tall + aside * 0.2 * sign * tall
            elbow = shoulder - up * 0.22 * tall + aside * 0.07 * sign + ahead * (0.12 - 0.15 * swing)
            hand = elbow + ahead * 0.24 * tall + up * (0.02 + 0.1 * sway)
            if sign > 0:
                elbow, hand = self._stroke(i, shoulder, elbow, hand)
            parts += [shoulder, elbow, hand]
            knee = hips - up * 0.45 * tall + aside * 0.13 * sign + ahead * (0.12 + 0.25 * swing)
            ankle = foot + aside * 0.17 * sign + ahead * 0.35 * swing + up * (0.05 + 0.2 * max(swing, 0))
            legs += [knee, ankle]
        return np.array(parts + legs)

    def _stroke(self, i, shoulder, elbow, hand):
        for frame, place in self.strokes:
            near = np.exp(-(((i + 0.5 - frame) / 5) ** 2))
            if near > 0.05:
                way = place - shoulder
                way = way / max(np.linalg.norm(way), 1e-6)
                hand = hand + near * (shoulder + 0.62 * self.tall * way - hand)
                elbow = elbow + near * (shoulder + 0.32 * self.tall * way - elbow)
        return elbow, hand

    def draw(self, image, i, camera, corner=(0, 0), flat=False):
        """Draw the figure. corner (x, y): px of the image's first px. flat: a silhouette of 255."""
        joints = self.joints(i)
        points, scale = camera.project(joints)
        if not np.isfinite(scale).all():
            return
        px = float(scale[2])
        fixed = np.round((points - corner - 0.5) * 2**_FIXED).astype(int)
        limit = 2**14 << _FIXED
        if (np.abs(fixed) > limit).any():
            return
        head, neck, hips, ls, le, lh, rs, re, rh, lk, lf, rk, rf = fixed.tolist()

        def tint(colour):
            return (255, 255, 255) if flat else colour

        def limb(a, b, wide, colour):
            cv2.line(image, a, b, tint(colour), max(round(wide * px), 1), cv2.LINE_AA, _FIXED)

        def blob(centre, radius, colour):
            cv2.circle(image, centre, max(round(radius * px * 2**_FIXED), 8), tint(colour), -1, cv2.LINE_AA, _FIXED)

        for knee, ankle in ((lk, lf), (rk, rf)):
            limb(knee, ankle, 0.1, self.skin)
            limb(hips, knee, 0.16, self.shorts)
            blob(ankle, 0.07, self.shoes)
        limb(ls, le, 0.1, self.shirt)
        limb(le, lh, 0.08, self.skin)
        wide = 0.14 * px * 2**_FIXED
        body = np.array([ls, rs, (hips[0] + wide, hips[1]), (hips[0] - wide, hips[1])])
        cv2.fillConvexPoly(image, np.round(body).astype(np.int32), tint(self.shirt), cv2.LINE_AA, _FIXED)
        limb(neck, hips, 0.28, self.shirt)
        limb(ls, rs, 0.12, self.shirt)
        blob(head, 0.115, self.hair)
        blob([head[0], head[1] + round(0.03 * px * 2**_FIXED)], 0.09, self.skin)
        limb(rs, re, 0.1, self.shirt)
        limb(re, rh, 0.08, self.skin)
        if self.racket and not flat:
            way = np.subtract(rh, re)
            tip = (np.array(rh) + way * self.racket / max(np.linalg.norm(way) / (px * 2**_FIXED), 0.05)).astype(int)
            cv2.line(image, rh, tip.tolist(), (60, 60, 65), max(round(0.02 * px), 1), cv2.LINE_AA, _FIXED)
            radius = round(0.12 * px * 2**_FIXED)
            cv2.circle(image, tip.tolist(), max(radius, 8), (60, 60, 65), max(round(0.02 * px), 1), cv2.LINE_AA, _FIXED)


def _players(rng, sport, flight, frames, fps):
    length, width = sport.court
    shirts = [court.shirt(rng) for _ in range(2)]
    racket = 0.0 if sport.net[0] > 2 else (0.12 if sport.floor else 0.55)
    each = int(rng.integers(sport.players[0], sport.players[1] + 1))
    players = []
    for team, side in enumerate((-1, 1)):
        shorts = shirts[team] if rng.random() < 0.4 else court.shirt(rng)
        if sport.floor:
            bases = [(side * (length / 2 + rng.uniform(0.4, 1.2)), rng.normal(0, 0.3)) for _ in range(each)]
        elif each > 2:
            bases = [(side * length / 2 * a, width * b) for a in (0.25, 0.7) for b in (-0.33, 0, 0.33)]
        else:
            bases = [(side * length / 2 * rng.uniform(0.4, 0.9), rng.uniform(-0.25, 0.25) * width) for _ in range(each)]
        bases = np.array(bases, float) + rng.normal(0, 0.3 if not sport.floor else 0.1, (each, 2))
        hits = [(time, place) for time, place, whose in flight.hits if whose == side]
        strokes = [[] for _ in range(each)]
        for time, place in hits:
            strokes[int(np.linalg.norm(bases - place[:2], axis=1).argmin())].append((time, place))
        for base, mine in zip(bases, strokes, strict=True):
            keys = [(time, place[:2] + (side * 0.35, -0.25 * side)) for time, place in mine]
            times = np.arange(frames)
            path = np.tile(base, (frames, 1)).astype(float)
            if keys:
                known = [(-40.0, base)]
                for time, spot in keys:
                    if time - known[-1][0] > fps:
                        known.append((time - 0.5 * fps, base + rng.normal(0, 0.3, 2)))
                    known.append((time, spot))
                known.append((known[-1][0] + fps, base))
                whens, wheres = np.array([k for k, _ in known]), np.array([w for _, w in known])
                path = np.stack([np.interp(times, whens, wheres[:, axis]) for axis in range(2)], axis=1)
            path += 0.08 * np.sin(times[:, None] * 0.11 + rng.uniform(0, 6.28, 2))
            if sport.floor:
                path[:, 0] = side * np.maximum(side * path[:, 0], length / 2 + 0.25)
            kernel = np.ones(7) / 7
            path = np.stack([np.convolve(np.pad(path[:, k], 3, "edge"), kernel, "valid") for k in range(2)], axis=1)
            players.append(Player(rng, path, mine, -side, shirts[team], shorts, racket))
    if rng.random() < 0.6:  # the umpire
        where = (rng.normal(0, 0.2), sport.net[1] / 2 + (2.5 if sport.floor else 0.8))  # away from the camera
        path = np.tile(np.array(where, float), (frames, 1))
        players.append(Player(rng, path, [], 1, (30, 40, 90), (25, 25, 30), 0.0))
    return players


@lru_cache(maxsize=64)  # training draws from as many in turn
def _hall(rally):
    return court.hall(np.random.default_rng([rally._seed, 0]), rally.kind, rally._camera, rally._wide)


@lru_cache(maxsize=64)
def _net(rally):
    return court.net_cover(rally.kind, rally._camera, rally._wide)


@lru_cache(maxsize=64)
def _scores(rally):
    """Picture of the scores and its corner (x, y), px of the view."""
    return court.scores(np.random.default_rng([rally._seed, 2]), rally.size)


@lru_cache(maxsize=2)
def _noise(height, width):
    """(height + 256, width + 256, 3) int16 noise of deviation 16, a tile of 256 px again and again.

    Grey grain that neighbours share a little, and some of colour. A frame takes a window of it at a place of its own.
    """
    rng = np.random.default_rng(0)
    grain = rng.normal(0, 1, (_NOISE, _NOISE, 1)) + 0.4 * rng.normal(0, 1, (_NOISE, _NOISE, 3))
    grain = grain + 0.4 * np.roll(grain, 1, axis=0) + 0.4 * np.roll(grain, 1, axis=1)
    tile = np.round(16 * grain / grain.std()).astype(np.int16)
    return np.tile(tile, (height // _NOISE + 2, width // _NOISE + 2, 1))[: height + _NOISE, : width + _NOISE]


def _lay_net(image, net, colour):
    """Lay the net over what is behind it, within its bounding rectangle."""
    x, y, width, height = cv2.boundingRect(net)
    if not width:
        return
    part = np.s_[y : y + height, x : x + width]
    cover = cv2.merge([net[part]] * 3)
    tint = np.empty_like(cover)
    tint[:] = colour
    kept = cv2.multiply(image[part], cv2.bitwise_not(cover), scale=1 / 255)
    image[part] = cv2.add(kept, cv2.multiply(tint, cover, scale=1 / 255))
