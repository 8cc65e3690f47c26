"""Videos of the network's maps: search crop, score map, and the query's attention and expected position."""

import cv2
import numpy as np

from .draw import draw_box
from .video import VideoWriter

PANEL = 256  # px, side of each picture
GREEN, YELLOW = (60, 220, 60), (255, 220, 40)


def save_maps(path, tracker, frames, first_box, fps=10.0):
    """Track frames and write a video of the network's maps. From left to right it shows:

    - the search crop with the predicted box, and a cross at the position that was expected before the frame
    - the score map
    - the query's attention, mean over the heads
    - the query's gain on the features: positive in red, negative in blue

    The cross and the last two need a network with a query.

    Args:
        path: path of the video.
        tracker: a tracker with score maps.
        frames: a frame source.
        first_box: (4,) xywh px.
        fps: frames per second of the video.
    """
    views = []
    tracker.watcher = lambda *view: views.append(view)
    try:
        with VideoWriter(path, fps) as video:
            tracker.initialize(frames[0], first_box)
            for index in range(1, len(frames)):
                views.clear()
                result = tracker.track(frames[index])
                (patch,), (crop,), output, readout = views[-1]
                video.write(panels(patch, crop.to_patch(result["target_bbox"]), output, readout))
    finally:
        tracker.watcher = None


def panels(patch, box_xywh, output, readout):
    """A row of n pictures, (PANEL, n PANEL, 3) uint8; see save_maps.

    Args:
        patch (S, S, 3): uint8, the search crop.
        box_xywh (4,): px of the crop.
        output: TrackerOutput of batch size 1.
        readout: Readout of batch size 1, or None.
    """
    scale = PANEL / len(patch)
    image = cv2.resize(patch, (PANEL, PANEL), interpolation=cv2.INTER_NEAREST)
    boxed = draw_box(image, np.asarray(box_xywh) * scale, GREEN)
    shown = [boxed, _over(image, _heat(output.score_map[0, 0].float().cpu().numpy()))]
    if readout is not None:
        centre = ((readout.expected[0, :2].float().cpu().numpy() + 0.5) * PANEL).round().astype(int)
        cv2.drawMarker(boxed, centre.tolist(), YELLOW, cv2.MARKER_CROSS, 9, 1)
        side = round(readout.attention.shape[1] ** 0.5)
        attention = readout.attention[0].float().cpu().view(side, side).numpy()
        shown.append(_over(image, _heat(attention / attention.max())))
        if readout.gain is not None:
            gain = readout.gain[0].float().cpu().view(side, side).numpy()
            shown.append(_over(image, np.stack([gain.clip(0), np.zeros_like(gain), (-gain).clip(0)], axis=2)))
    return np.concatenate(shown, axis=1)


def _heat(values):
    """(H, W) in [0, 1] -> (H, W, 3) in [0, 1], black to yellow."""
    return np.stack([values, values**2, np.zeros_like(values)], axis=2)


def _over(image, colours):
    """Blend colours (H, W, 3) in [0, 1] over a darkened image."""
    colours = cv2.resize(colours.astype(np.float32), image.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    return np.clip(0.5 * image + 255 * colours, 0, 255).astype(np.uint8)
