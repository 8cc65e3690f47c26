"""Drawing on frames (OpenCV)."""

from collections.abc import Sequence

import cv2
import numpy as np

SHIFT = 4  # OpenCV draws in 1/16 px
# (r, g, b) of several targets, distinguishable for colour-blind people (Okabe and Ito). A single target has the first.
COLOURS = ((255, 176, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167), (213, 94, 0), (240, 228, 66))


def draw_box(image, box_xywh, color, thickness=1, label=None):
    """Draw a box on a copy of an image, at sub-pixel position, with anti-aliased lines.

    Args:
        image (H, W, 3): uint8 RGB.
        box_xywh (4,): px, continuous coordinates. A box with NaN is not drawn.
        color: (r, g, b) in 0..255.
        thickness: px.
        label: text above the box. At the upper border of the image it is below the box.

    Returns:
        (H, W, 3) uint8.
    """
    image = np.array(image)
    if not np.isfinite(box_xywh).all():
        return image
    x, y, w, h = (float(value) for value in box_xywh)
    limit = 4.0 * max(image.shape)  # OpenCV's 32-bit coordinates would overflow far outside the image
    # Pixel i spans [i, i + 1) here; for OpenCV its centre is i.
    corners = np.clip([[x, y], [x + w, y], [x + w, y + h], [x, y + h]], -limit, limit) - 0.5
    points = np.round(corners * (1 << SHIFT)).astype(np.int32)
    cv2.polylines(image, [points], True, color, thickness, cv2.LINE_AA, SHIFT)
    if label:
        scale = max(0.4, min(image.shape[:2]) / 1000)
        (width, height), base = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        left = int(np.clip(x, 0, max(0, image.shape[1] - width)))
        top = y - base if y - base - height >= 0 else y + h + height + base
        bottom = int(np.clip(top, height, max(height, image.shape[0] - base)))
        for ink, width in (((0, 0, 0), 3), (color, 1)):
            cv2.putText(image, label, (left, bottom), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, width, cv2.LINE_AA)
    return image


def draw_ball(image: np.ndarray, points: Sequence, color: tuple = (255, 176, 0)) -> np.ndarray:
    """Draw a ball's trajectory on a copy of an image: a ring around its last point, and a tail that fades.

    Args:
        image (H, W, 3): uint8 RGB.
        points (N, 2): px, the oldest first. Points that are not finite (no visible ball) interrupt the tail.
        color: (r, g, b) in 0..255.

    Returns:
        (H, W, 3) uint8.
    """
    image = np.array(image)
    places = np.asarray(points, np.float64).reshape(-1, 2)
    seen = np.isfinite(places).all(axis=1)
    limit = 4.0 * max(image.shape)
    fixed = np.round((np.where(seen[:, None], places, 0).clip(-limit, limit) - 0.5) * (1 << SHIFT)).astype(int)
    thick = max(round(min(image.shape[:2]) / 360), 1)
    for k in range(1, len(fixed)):
        if seen[k - 1 : k + 1].all():
            faded = image.copy()
            cv2.line(faded, fixed[k - 1].tolist(), fixed[k].tolist(), color, thick, cv2.LINE_AA, SHIFT)
            share = k / len(fixed)
            cv2.addWeighted(faded, share, image, 1 - share, 0, dst=image)
    if len(seen) and seen[-1]:
        radius = round(max(min(image.shape[:2]) / 72, 5) * (1 << SHIFT))
        cv2.circle(image, fixed[-1].tolist(), radius, color, thick, cv2.LINE_AA, SHIFT)
    return image


def draw_grid(image: np.ndarray) -> np.ndarray:
    """A copy of an image (H, W, 3) uint8 RGB with lines at round numbers of px and those numbers beside them."""
    image = np.array(image)
    height, width = image.shape[:2]
    step = next(each for each in (10, 20, 50, 100, 200, 500, 1000, 2000) if max(height, width) / each <= 16)
    scale = max(0.35, min(height, width) / 1500)
    for along, length in ((0, width), (1, height)):
        for place in range(step, length, step):
            ends = ((place, 0), (place, height - 1)) if along == 0 else ((0, place), (width - 1, place))
            cv2.line(image, *ends, (255, 220, 40), 1)
            where = (place + 2, round(24 * scale)) if along == 0 else (2, place - 2)
            for ink, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
                cv2.putText(image, str(place), where, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, thickness, cv2.LINE_AA)
    return image
