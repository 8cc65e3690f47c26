"""Flights of balls: sports with their balls and courts, and rallies with gravity, drag, spin and bounces.

The world is in metres and seconds: x along the court with the net at 0, y across it, z up from the floor.
"""

from dataclasses import dataclass

import numpy as np

GRAVITY = 9.81  # m/s^2
STEPS = 8  # of the integration, a frame


@dataclass(frozen=True)
class Shot:
    """A way to play the ball.

    seconds: range of the time to its end, or to its bounce. height: range of the height of its end, m; None for a shot
    that bounces before it is played again. other_side: over the net. depth: range of its end's distance from the net,
    as a share of half the court.
    """

    seconds: tuple
    height: tuple | None
    other_side: bool = True
    depth: tuple = (0.3, 0.95)


@dataclass(frozen=True)
class Sport:
    """A sport: its ball, its court, how it is played and filmed.

    diameter: of the ball, m. drag: deceleration by the air per speed squared, 1/m. spin: largest sideways or downward
    acceleration by spin per speed, 1/s. bounce: share of vertical speed that a bounce leaves. court: length and width,
    m. net: height and length, m. floor: height of what the ball bounces on, m. shots: any of them, or one after the
    other where `in_turn`. players: of one side, least and most. views: of the camera, "behind" or "side". distance,
    height: ranges of the camera's distance from the court's border and height, m. colours: of the ball, RGB.
    """

    diameter: float
    drag: float
    spin: float
    bounce: float
    court: tuple
    net: tuple
    shots: tuple
    players: tuple
    views: tuple
    distance: tuple
    height: tuple
    colours: tuple
    floor: float = 0.0
    in_turn: bool = False


WHITE, YELLOW, GREEN, ORANGE, BLUE = (240, 240, 232), (235, 205, 60), (200, 225, 60), (240, 150, 40), (50, 80, 170)
SPORTS = {
    "badminton": Sport(
        diameter=0.066, drag=0.212, spin=0.0, bounce=0.25, court=(13.4, 6.1), net=(1.55, 6.1),
        shots=(Shot((1.2, 1.9), (1.4, 2.5)), Shot((0.8, 1.2), (0.5, 1.2), depth=(0.15, 0.4)),
               Shot((0.35, 0.6), (0.4, 1.2)), Shot((0.5, 0.8), (1.0, 1.8))),
        players=(1, 2), views=("behind",), distance=(6, 12), height=(4, 7), colours=(WHITE,),
    ),
    "tennis": Sport(
        diameter=0.067, drag=0.020, spin=0.35, bounce=0.72, court=(23.8, 11.0), net=(0.95, 12.8),
        shots=(Shot((0.8, 1.3), None, depth=(0.5, 0.95)), Shot((0.5, 0.8), None, depth=(0.5, 0.9))),
        players=(1, 2), views=("behind",), distance=(10, 16), height=(6, 10), colours=(GREEN,),
    ),
    "table_tennis": Sport(
        diameter=0.040, drag=0.112, spin=0.6, bounce=0.85, court=(2.74, 1.53), net=(0.91, 1.83),
        shots=(Shot((0.28, 0.5), None, depth=(0.4, 0.95)), Shot((0.2, 0.3), None, depth=(0.5, 0.95))),
        players=(1, 2), views=("behind", "side"), distance=(3, 5), height=(1.8, 3.0), colours=(WHITE, ORANGE),
        floor=0.76,
    ),
    "volleyball": Sport(
        diameter=0.21, drag=0.023, spin=0.1, bounce=0.7, court=(18.0, 9.0), net=(2.43, 9.5),
        shots=(Shot((0.9, 1.4), (0.4, 1.0), depth=(0.5, 0.9)), Shot((1.1, 1.7), (2.0, 2.8), False, (0.1, 0.4)),
               Shot((1.0, 1.6), (2.6, 3.2), False, (0.05, 0.2)), Shot((0.35, 0.7), (0.3, 0.9), depth=(0.4, 0.95)),
               Shot((1.1, 1.7), (2.0, 2.8), False, (0.1, 0.4)), Shot((1.0, 1.6), (2.6, 3.2), False, (0.05, 0.2))),
        players=(6, 6), views=("side", "behind"), distance=(10, 16), height=(5, 9), colours=(YELLOW, WHITE),
        in_turn=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Flight:
    """What the ball of a rally does.

    places (N * STEPS + 1, 3): m, from the beginning of frame 0; NaN before the first hit. hits: [(time in frames,
    place (3,), side)], side -1 or 1 of the player.
    """

    places: np.ndarray
    hits: list


def fly(rng: np.random.Generator, sport: Sport, frames: int, fps: float) -> Flight:
    """Play a rally: every shot begins where the one before ended.

    Args:
        rng: all that is random comes from it.
        sport: a value of SPORTS.
        frames: length of the rally.
        fps: frames a second.

    Returns:
        The ball's places and the hits.
    """
    count, pace = frames * STEPS + 1, 1 / (fps * STEPS)
    places = np.full((count, 3), np.nan)
    side = int(rng.choice((-1, 1)))
    length, width = sport.court
    place = np.array([side * rng.uniform(0.5, 0.95) * length / 2, rng.uniform(-0.4, 0.4) * width, 0])
    place[2] = sport.floor + rng.uniform(0.2, 0.4) if sport.floor else rng.uniform(1.0, 2.4)
    step = int(rng.uniform(0, 0.25) * count) if rng.random() < 0.5 else 0
    last = count if rng.random() < 0.75 else int(rng.uniform(0.4, 0.9) * count)  # nobody plays it after that
    turn, velocity = int(rng.integers(len(sport.shots))), np.zeros(3)
    hits = []
    while step < count:
        if step >= last:
            path = _integrate(place, velocity, np.zeros(3), sport, count - step, pace)
            places[step:] = path[: count - step]
            break
        shot = sport.shots[turn % len(sport.shots)]
        turn += 1 if sport.in_turn else int(rng.integers(1, len(sport.shots) + 1))
        hits.append((step / STEPS, place, side))
        side = -side if shot.other_side else side
        end = np.array([side * rng.uniform(*shot.depth) * length / 2, rng.uniform(-0.45, 0.45) * width, 0.0])
        end[2] = rng.uniform(*shot.height) if shot.height else sport.floor + sport.diameter / 2
        steps = max(int(rng.uniform(*shot.seconds) / pace), 2)
        spin = sport.spin * rng.normal(0, 0.5, 3) * (1, 0.3, 1)
        velocity = _aim(place, end, spin, sport, steps, pace)
        if not shot.height:
            steps += max(int(rng.uniform(0.6, 1.0) * steps * (0.5 if sport.floor == 0 else 0.7)), 2)
        path = _integrate(place, velocity, spin, sport, steps + 1, pace)
        fits = min(steps + 1, count - step)
        places[step : step + fits] = path[:fits]
        place, velocity = path[-1], (path[-1] - path[-2]) / pace
        step += steps
    return Flight(places, hits)


def _aim(start, end, spin, sport, steps, pace):
    """The velocity with which a ball reaches `end` after `steps`, as nearly as drag allows."""
    time = steps * pace
    velocity = (end - start) / time + (0, 0, GRAVITY * time / 2)
    for _ in range(8):
        reached = _integrate(start, velocity, spin, sport, steps + 1, pace, bounces=False)[-1]
        speed = np.linalg.norm(velocity)
        velocity = velocity + (end - reached) / time * (1 + min(sport.drag * speed * time, 3) / 2)
        velocity *= min(1, 90 / np.linalg.norm(velocity))
    return velocity


def _integrate(place, velocity, spin, sport, count, pace, bounces=True):
    """(count, 3) places, the first is `place`; second order in time."""
    path = np.empty((count, 3))
    x, y, z = map(float, place)
    vx, vy, vz = map(float, velocity)
    sx, sy, sz = map(float, spin)
    radius, table = sport.diameter / 2, sport.floor
    half_length, half_width = sport.court[0] / 2, sport.court[1] / 2
    path[0] = x, y, z
    for k in range(1, count):
        slow = sport.drag * (vx * vx + vy * vy + vz * vz) ** 0.5
        ax = -slow * vx + sy * vz - sz * vy
        ay = -slow * vy + sz * vx - sx * vz
        az = -slow * vz + sx * vy - sy * vx - GRAVITY
        x += (vx + ax * pace / 2) * pace
        y += (vy + ay * pace / 2) * pace
        z += (vz + az * pace / 2) * pace
        vx, vy, vz = vx + ax * pace, vy + ay * pace, vz + az * pace
        if bounces and vz < 0:
            over_table = table and abs(x) < half_length and abs(y) < half_width
            ground = radius + (table if over_table else 0)
            reach = 0.1 if over_table else 1  # m; a ball that is already below the table falls past it
            if ground - reach < z < ground:
                z, vz, vx, vy = 2 * ground - z, -sport.bounce * vz, 0.8 * vx, 0.8 * vy
        path[k] = x, y, z
    return path
