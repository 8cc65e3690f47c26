"""Where to look for a target that is lost: squares that cover the image, one a frame, so that no frame costs more.

In place of one coarse look at the whole frame (spec tracker.md A.8.6), in which a tiny target would vanish.
"""

import math

OVERLAP = 0.25  # share of a square's side that neighbours have in common: a target this small is whole in one of them


def windows(image_size, side, overlap=OVERLAP):
    """Centres [(cx, cy)], px, of squares of `side` px that cover an image (width, height), in reading order.

    Neighbours share `overlap` of a side or more, and none reaches beyond the image unless the image is smaller than it.
    """
    across, down = (_line(length, side, overlap) for length in image_size)
    return [(cx, cy) for cy in down for cx in across]


def tile(image_size, side, place, turn, overlap=OVERLAP):
    """The `turn`-th of these squares (cx, cy), nearest to a place (2,) px first, and round again after the last.

    The place has to stay the same during a search, or squares may be left out.
    """
    x, y = place
    order = sorted(windows(image_size, side, overlap), key=lambda centre: math.hypot(centre[0] - x, centre[1] - y))
    return order[turn % len(order)]


def _line(length, side, overlap):
    """Centres of the fewest intervals of `side` that cover [0, length] evenly."""
    if length <= side:
        return [length / 2]
    gaps = math.ceil((length - side) / (side * (1 - overlap)))
    return [side / 2 + (length - side) * i / gaps for i in range(gaps + 1)]
