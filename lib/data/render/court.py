"""What of a filmed rally does not move: camera, hall with crowd, boards and lamps, court and net."""

from dataclasses import dataclass

import cv2
import numpy as np

from .flight import Sport

_TEXTURE = 40  # px a metre of the floor's texture, for a court of 20 m; smaller courts have more
_WORDS = ("SPORT", "ARENA", "OPEN", "MOTORS", "BANK", "TV", "LIVE", "AIR", "CUP", "2024", "WATER", "GO")
_FLOORS = (
    (215, 180, 140), (205, 165, 120), (225, 195, 160), (70, 120, 85), (55, 100, 165), (180, 105, 80), (110, 90, 135),
    (105, 110, 115), (90, 150, 140),
)  # fmt: skip
_SHIRTS = ((235, 235, 235), (190, 35, 40), (35, 60, 140), (25, 25, 30), (225, 195, 50), (40, 120, 70), (90, 160, 210))
_FONTS = (cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_TRIPLEX)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. place (3,): m. axes (3, 3): rows right, down, ahead. focal: px. centre (2,): px."""

    place: np.ndarray
    axes: np.ndarray
    focal: float
    centre: np.ndarray

    def project(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where places of the world appear.

        Args:
            places (..., 3): m.

        Returns:
            (..., 2) px of the image, and (...) px that a metre has there, NaN for what is behind the camera.
        """
        seen = (np.asarray(places, np.float64) - self.place) @ self.axes.T
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = np.where(seen[..., 2] > 0.1, self.focal / seen[..., 2], np.nan)
        return seen[..., :2] * scale[..., None] + self.centre, scale


def film(rng: np.random.Generator, sport: Sport, size: tuple) -> Camera:
    """Place a camera as broadcasters do, so that the court fills much of the image.

    Args:
        rng: all that is random comes from it.
        sport: a value of SPORTS.
        size (width, height): of the image, px.

    Returns:
        The camera.
    """
    length, width = sport.court
    distance, height = rng.uniform(*sport.distance), rng.uniform(*sport.height)
    if rng.choice(sport.views) == "behind":
        place = np.array([-length / 2 - distance, rng.normal(0, 0.05 * width), height])
    else:
        place = np.array([rng.normal(0, 0.06 * length), -width / 2 - distance, height])
    ahead = np.array([0.0, 0.0, sport.floor]) - place
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, (0, 0, 1.0))
    right /= np.linalg.norm(right)
    roll = rng.normal(0, 0.01)
    down = np.cross(ahead, right)
    right, down = right * np.cos(roll) + down * np.sin(roll), down * np.cos(roll) - right * np.sin(roll)
    camera = Camera(place, np.stack([right, down, ahead]), 1.0, np.zeros(2))
    corners = np.array([(x * length / 2, y * width / 2, sport.floor) for x in (-1, 1) for y in (-1, 1)])
    points, _ = camera.project(corners)
    low, high = points.min(axis=0), points.max(axis=0)
    share = rng.uniform((0.65, 0.42), (0.95, 0.6)) * (0.55 if sport.floor else 1)
    focal = float((share * size / (high - low)).min())
    wanted = np.multiply(size, (0.5 + rng.normal(0, 0.03), rng.uniform(0.58, 0.7)))
    return Camera(place, camera.axes, focal, wanted - focal * (low + high) / 2)


def hall(rng: np.random.Generator, sport: Sport, camera: Camera, size: tuple) -> np.ndarray:
    """Draw what is behind everything that moves, without the net.

    Args:
        rng: all that is random comes from it.
        sport: a value of SPORTS.
        camera: see `film`.
        size (width, height): of the picture, px.

    Returns:
        (height, width, 3) uint8 RGB.
    """
    width, height = size
    picture = _crowd(rng, size)
    horizon = _floor_line(camera, sport, size)
    _lamps(rng, picture, horizon)
    _floor(rng, sport, camera, picture)
    _boards(rng, picture, horizon)
    if sport.floor:
        _table(rng, sport, camera, picture)
    _spare_balls(rng, sport, camera, picture)
    y, x = np.ogrid[:height, :width]
    vignette = 1 - rng.uniform(0.05, 0.3) * (((x / width - 0.5) ** 2 + (y / height - 0.5) ** 2) * 2)
    picture = (picture * (vignette * rng.uniform(0.85, 1.15))[..., None]).clip(0, 255).astype(np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), max(width / 1920 * rng.uniform(0.6, 1.4), 0.3))
    if rng.random() < 0.3:
        _heads(rng, picture)
    return picture


def colour_of(rng: np.random.Generator, palette: tuple, spread: int = 18) -> tuple:
    """Draw a colour near one of a palette.

    Args:
        rng: all that is random comes from it.
        palette: RGB colours, 0..255.
        spread: largest change of a channel.

    Returns:
        (r, g, b), whole numbers.
    """
    colour = np.array(palette[int(rng.integers(len(palette)))]) + rng.integers(-spread, spread + 1, 3)
    return tuple(int(value) for value in colour.clip(5, 250))


def shirt(rng: np.random.Generator) -> tuple:
    """Draw a colour of clothes, RGB."""
    return colour_of(rng, _SHIRTS)


def _colour(rng, low=20, high=230):
    """A colour of print: grey as often as gaudy."""
    colour = rng.integers(low, high, 3)
    grey = rng.uniform(0.2, 1)
    return tuple(int(value) for value in colour + grey * (colour.mean() - colour))


def _crowd(rng, size):
    """Rows of people, dark; or a curtain; or the walls of a small hall."""
    width, height = size
    kind = rng.choice(("crowd", "crowd", "curtain", "wall"))
    base = np.array(_colour(rng, 15, 90), np.float32)
    if kind == "wall":
        base = base + rng.uniform(40, 120)
    picture = np.full((height, width, 3), base, np.float32)
    if kind == "curtain":
        folds = np.sin(np.arange(width) * 40 / width + np.cumsum(rng.normal(0, 0.15, width)))
        picture *= (1 + 0.25 * folds)[None, :, None].astype(np.float32)
    if kind == "crowd":
        person = max(int(height * rng.uniform(0.012, 0.03)), 3)
        rows, columns = height // person + 2, width // max(int(0.7 * person), 2) + 2
        shirts = rng.lognormal(3.8, 0.8, (rows, columns, 1)).clip(5, 190) + rng.normal(0, 14, (rows, columns, 3))
        if rng.random() < 0.6:  # a home team
            mine = rng.random((rows, columns)) < rng.uniform(0.2, 0.7)
            shirts[mine] = np.array(_colour(rng, 20, 160)) * rng.uniform(0.5, 1.1, (int(mine.sum()), 1))
        cell = 12
        y, x = np.mgrid[:cell, :cell] + 0.5
        head = ((x - cell / 2) ** 2 + (y - 3) ** 2 < 5)[..., None]
        body = (np.abs(x - cell / 2) < 4.5)[..., None] & (y > 5)[..., None]
        faces = np.array((150, 110, 90)) * rng.uniform(0.35, 0.9, (rows, columns, 1))
        seats = base * rng.uniform(0.5, 1, (rows, columns, 1))
        tiles = np.where(
            head, faces[:, :, None, None], np.where(body, shirts[:, :, None, None], seats[:, :, None, None])
        )
        people = tiles.transpose(0, 2, 1, 3, 4).reshape(rows * cell, columns * cell, 3).astype(np.float32)
        stairs = (np.arange(columns * cell) // cell) % int(rng.integers(14, 30)) == 0
        people[:, stairs] = 0.6 * base
        for row in range(rows):  # nobody sits exactly behind another
            part = np.s_[row * cell : (row + 1) * cell]
            people[part] = np.roll(people[part], int(rng.integers(-cell // 2, cell // 2)), axis=1)
        full = (int(columns * 0.7 * person), rows * person)
        picture = cv2.resize(people, full, interpolation=cv2.INTER_AREA)
        picture = np.tile(picture, (2, 2, 1))[:height, :width]
        picture = cv2.GaussianBlur(picture, (0, 0), max(0.1 * person, 0.4))
        picture *= rng.normal(1, 0.12, picture.shape[:2]).astype(np.float32)[..., None]
    picture *= np.linspace(rng.uniform(0.3, 1), 1, height, dtype=np.float32)[:, None, None]
    return picture.clip(0, 255).astype(np.uint8)


def _heads(rng, picture):
    """The backs of spectators who sit before the camera, along the lower border."""
    height, width = picture.shape[:2]
    side = height * rng.uniform(0.02, 0.05)
    for x in np.arange(0, width, 2.2 * side) + rng.uniform(-1, 1, len(np.arange(0, width, 2.2 * side))) * side:
        if rng.random() < 0.7:
            y, dark = height - rng.uniform(0.3, 1.6) * side, rng.uniform(0.3, 1)
            _circle(picture, (x, y), 0.55 * side, tuple(int(c * dark) for c in (45, 35, 30)))
            cv2.ellipse(picture, (int(x), int(y + 1.6 * side)), (int(side), int(side)), 0, 180, 360,
                        tuple(int(c * dark) for c in shirt(rng)), -1, cv2.LINE_AA)  # fmt: skip


def _lamps(rng, picture, horizon):
    """Lamps below the roof: round and as bright as a ball."""
    height, width = picture.shape[:2]
    for _ in range(int(rng.integers(0, 10)) if horizon > 0.12 * height else 0):
        x, y = rng.uniform(0, width), rng.uniform(0, 0.5 * horizon)
        radius = width * rng.uniform(0.0015, 0.005)
        _circle(picture, (x, y), 2.5 * radius, tuple(int(c) for c in picture[int(y), int(x)] // 2 + 60))
        _circle(picture, (x, y), radius, (255, 252, 240))


def _circle(picture, centre, radius, colour):
    x, y = (round(float(c) * 16) for c in centre)
    cv2.circle(picture, (x, y), round(radius * 16), colour, -1, cv2.LINE_AA, 4)


def _floor_line(camera, sport, size):
    """Row of the far end of the hall's floor, px."""
    away = np.array([0, 0, 1.0]) - camera.place
    away[2] = 0
    away /= np.linalg.norm(away)
    behind = sport.court[0 if abs(away[0]) > abs(away[1]) else 1] / 2
    margin = 0.35 * sum(sport.court) / 2 + 1.5
    points, _ = camera.project(away * (behind + margin))
    return float(np.clip(points[1], 0.02 * size[1], 0.95 * size[1]))


def _floor(rng, sport, camera, picture):
    """The floor with the court's lines and painted words, drawn from above and seen by the camera."""
    length, width = sport.court
    margin = 0.35 * (length + width) / 2 + 1.5
    extent = np.array([length / 2 + margin, width / 2 + margin])
    zoom = _TEXTURE * 20 / max(length, 8)
    rows, columns = int(2 * extent[1] * zoom), int(2 * extent[0] * zoom)
    outer, inner = np.array(colour_of(rng, _FLOORS)), np.array(colour_of(rng, _FLOORS))
    texture = np.empty((rows, columns, 3), np.uint8)
    texture[:] = outer

    def at(x, y):
        return round((x + extent[0]) * zoom), round((extent[1] - y) * zoom)

    if not sport.floor:
        if rng.random() < 0.75:
            cv2.rectangle(texture, at(-length / 2, -width / 2), at(length / 2, width / 2), inner.tolist(), -1)
        if rng.random() < 0.4:
            third = length / 6
            colour = (0.75 * inner + 0.1 * outer).astype(int).tolist()
            cv2.rectangle(texture, at(-third, -width / 2), at(third, width / 2), colour, -1)
    grain = rng.normal(1, 0.03, (rows // 6 + 1, 1, 1)) * rng.normal(1, 0.015, (rows // 6 + 1, columns // 40 + 1, 1))
    grain = cv2.resize(grain.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    texture = (texture * grain[..., None]).clip(0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(-0.9, 0.5) * extent[0], rng.choice((-0.9, 0.95, 0.1)) * extent[1]
        scale = zoom * rng.uniform(0.02, 0.05) * length / 18
        word = str(rng.choice(_WORDS))
        cv2.putText(texture, word, at(x, y), int(rng.choice(_FONTS)), scale, _colour(rng), max(round(2 * scale), 1))
    if not sport.floor:
        thick = max(round((0.05 if length < 20 else 0.08) * zoom), 2)
        line = (235, 235, 230)
        for x in (-length / 2, -length / 6, length / 6, length / 2):
            cv2.line(texture, at(x, -width / 2), at(x, width / 2), line, thick)
        for y in (-width / 2, -0.42 * width, 0.42 * width, width / 2):
            cv2.line(texture, at(-length / 2, y), at(length / 2, y), line, thick)
        if rng.random() < 0.6:
            cv2.line(texture, at(-length / 2, 0), at(-length / 6, 0), line, thick)
            cv2.line(texture, at(length / 6, 0), at(length / 2, 0), line, thick)
    corners = np.array([(x, y, 0.0) for x, y in ((-1, 1), (1, 1), (1, -1), (-1, -1))]) * (*extent, 1)
    _warp(picture, texture, camera, corners)


def _warp(picture, texture, camera, corners):
    """Paint a flat texture onto a parallelogram. corners (4, 3): m, of the texture's first row, then of its last."""
    seen = (corners - camera.place) @ camera.axes.T
    rows, columns = texture.shape[:2]
    origin, across, down = seen[0], (seen[1] - seen[0]) / columns, (seen[3] - seen[0]) / rows
    to_image = np.stack([across, down, origin], axis=1)
    to_image = (
        np.array([[camera.focal, 0, camera.centre[0]], [0, camera.focal, camera.centre[1]], [0, 0, 1]]) @ to_image
    )
    height, width = picture.shape[:2]
    to_texture = np.linalg.inv(to_image)
    painted = cv2.warpPerspective(texture, to_texture, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    ones = np.full(texture.shape[:2], 255, np.uint8)
    mask = cv2.warpPerspective(ones, to_texture, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP) > 127
    y, x = np.ogrid[:height, :width]
    mask &= to_texture[2, 0] * x + to_texture[2, 1] * y + to_texture[2, 2] > 0  # in front of the camera
    picture[mask] = painted[mask]


def _boards(rng, picture, horizon):
    """A band of advertisements behind the court, and sometimes people who sit before it."""
    height, width = picture.shape[:2]
    tall = height * rng.uniform(0.03, 0.08)
    top, bottom = int(max(horizon - tall, 0)), int(horizon)
    x = -int(rng.uniform(0, 0.1) * width)
    if bottom - top < 4 or rng.random() < 0.15:
        return
    while x < width:
        wide = int(width * rng.uniform(0.06, 0.25))
        back = _colour(rng, 0, 255)
        cv2.rectangle(picture, (x, top), (x + wide, bottom), back, -1)
        ink = (245, 245, 245) if sum(back) < 380 else (20, 20, 30)
        scale = (bottom - top) / 45
        word = str(rng.choice(_WORDS))
        place = (x + wide // 8, bottom - (bottom - top) // 4)
        cv2.putText(picture, word, place, int(rng.choice(_FONTS)), scale, ink, max(round(1.6 * scale), 1), cv2.LINE_AA)
        x += wide + int(rng.integers(0, 3))
    for _ in range(int(rng.integers(0, 8))):
        x, side = rng.uniform(0, width), 0.5 * (bottom - top)
        cv2.ellipse(picture, (int(x), bottom), (int(0.4 * side), int(side)), 0, 180, 360, _colour(rng, 20, 220), -1)
        _circle(picture, (x, bottom - 1.2 * side), 0.3 * side, (170, 125, 100))


def _table(rng, sport, camera, picture):
    length, width = np.array(sport.court) / 2
    floor = sport.floor
    for x in (-0.8, 0.8):
        for y in (-0.8, 0.8):
            points, scale = camera.project(np.array([(x * length, y * width, 0), (x * length, y * width, floor)]))
            thick = max(round(0.06 * float(scale[0])), 1)
            cv2.line(picture, *(tuple(map(int, p)) for p in points), (40, 40, 45), thick, cv2.LINE_AA)
    zoom = 200
    texture = np.empty((int(2 * width * zoom), int(2 * length * zoom), 3), np.uint8)
    texture[:] = rng.choice(((30, 70, 150), (20, 100, 70), (25, 40, 90)))
    rows, columns = texture.shape[:2]
    cv2.rectangle(texture, (0, 0), (columns - 1, rows - 1), (235, 235, 235), 8)
    cv2.line(texture, (0, rows // 2), (columns, rows // 2), (235, 235, 235), 2)
    corners = np.array(
        [(-length, -width, floor), (length, -width, floor), (length, width, floor), (-length, width, floor)]
    )
    _warp(picture, texture, camera, corners)


def _spare_balls(rng, sport, camera, picture):
    """Balls that lie outside the court: they look like the ball and never move."""
    if rng.random() < 0.6:
        return
    length, width = sport.court
    for _ in range(int(rng.integers(1, 4))):
        where = np.array(
            [rng.uniform(-0.6, 0.6) * length, rng.choice((-1, 1)) * (0.6 * width + 0.5), sport.diameter / 2]
        )
        point, scale = camera.project(where)
        if np.isfinite(scale):
            _circle(picture, point, max(sport.diameter / 2 * float(scale), 0.6), sport.colours[0])


def net_cover(sport: Sport, camera: Camera, size: tuple) -> np.ndarray:
    """Draw how much of each px the net covers: a fine mesh evenly, tape and posts wholly.

    Args:
        sport: a value of SPORTS.
        camera: see `film`.
        size (width, height): px.

    Returns:
        (height, width) uint8, of 255.
    """
    width, height = size
    cover = np.zeros((height, width), np.uint8)
    top, wide = sport.net
    low = sport.floor if sport.floor else (top - 1.0 if top > 2 else (0.76 if top > 1.2 else 0.0))
    corners = np.array([(0, -wide / 2, top), (0, wide / 2, top), (0, wide / 2, low), (0, -wide / 2, low)])
    points, scale = camera.project(corners)
    if not np.isfinite(scale).all():
        return cover
    fixed = np.round(points * 16).astype(np.int32)
    cv2.fillPoly(cover, [fixed], 70, cv2.LINE_AA, 4)
    pitch = 0.1 if top > 2 else 0.045
    if pitch * scale.min() > 4:  # the mesh is seen
        for y in np.arange(-wide / 2, wide / 2, pitch):
            ends, _ = camera.project(np.array([(0, y, low), (0, y, top)]))
            near, far = np.round(ends * 16).astype(int).tolist()
            cv2.line(cover, near, far, 150, 1, cv2.LINE_AA, 4)
    cv2.line(
        cover, fixed[0].tolist(), fixed[1].tolist(), 235, max(round(0.06 * float(scale.mean())), 1), cv2.LINE_AA, 4
    )
    for y in (-wide / 2, wide / 2):
        ends, across = camera.project(np.array([(0, y, sport.floor), (0, y, top + (0.8 if top > 2 else 0.0))]))
        thick = max(round((0.1 if top > 2 else 0.04) * float(across.mean())), 1)
        near, far = np.round(ends * 16).astype(int).tolist()
        cv2.line(cover, near, far, 255, thick, cv2.LINE_AA, 4)
    return cover


def scores(rng: np.random.Generator, size: tuple) -> tuple[np.ndarray, tuple]:
    """Draw the scores that broadcasters put over the image: names, numbers, and a small picture of a ball.

    Args:
        rng: all that is random comes from it.
        size (width, height): of the image, px.

    Returns:
        (h, w, 3) uint8 RGB, and its corner (x, y) in the image, px.
    """
    width, height = size
    wide, tall = int(width * rng.uniform(0.15, 0.4)), max(int(height * rng.uniform(0.05, 0.08)), 6)
    title = np.empty((tall, wide, 3), np.uint8)
    x = 0
    while x < wide:
        step = int(wide * rng.uniform(0.1, 0.35)) + 2
        back = _colour(rng, 10, 240)
        title[:, x : x + step] = back
        ink = (245, 245, 245) if sum(back) < 380 else (20, 20, 30)
        text = str(rng.choice(("GER", "JPN", "BRA", "ITA", "2", "1", "15", "0", "21", "7")))
        scale = tall / 40
        cv2.putText(
            title, text, (x + 3, int(0.7 * tall)), _FONTS[0], scale, ink, max(round(1.5 * scale), 1), cv2.LINE_AA
        )
        x += step
    _circle(title, (rng.uniform(0.1, 0.9) * wide, tall / 2), 0.25 * tall, (235, 200, 60))
    corner = ((0.03, 0.04), (0.3, 0.86), (0.03, 0.86), (0.6, 0.04))[int(rng.integers(4))]
    return title, (int(corner[0] * width), int(corner[1] * height))
