"""What an enhancer makes of images and videos, written as files."""

import time
from pathlib import Path

import cv2
import numpy as np

from ..data import image as images
from ..errors import UserError
from ..files import write_bytes
from .video import VideoWriter

WRITTEN = (".png", ".jpg", ".jpeg")
QUALITY = 95  # of a JPEG


class Artist:
    """Makes of each frame the picture to be written, and keeps count. closed: frames left as they were."""

    def __init__(self, frame_enhancer, side_by_side, steps):
        self.frame_enhancer, self.side_by_side, self.steps = frame_enhancer, side_by_side, steps
        probe = np.zeros((16, 16, 3), np.uint8)
        self.results = len(frame_enhancer.steps(probe, 1.0)[0]) if steps else 1
        self.frames, self.closed, self.seconds = 0, 0, 0.0

    def picture(self, image, before=(None, None)):
        """(picture, light and memory so far): a frame's panels in a row. Where nothing is to be done, the very image.

        before: what the last frame of the video gave, the default for its first or a single image.
        """
        began = time.perf_counter()
        light, memory = before
        light = images.brightness(image, light)
        gate = self.frame_enhancer.gate(light)
        if gate and self.steps:
            panels, memory = self.frame_enhancer.steps(image, gate, memory)
        else:
            result, memory = self.frame_enhancer.enhance(image, gate, None, memory)
            panels = [result] * self.results
        self.seconds += time.perf_counter() - began
        self.frames += 1
        self.closed += not gate
        panels = [image, *panels] if self.side_by_side else panels
        return panels[0] if len(panels) == 1 else np.hstack(panels), (light, memory)


def write_video(frames, output, artist, line):
    """Write every frame of a video. line: cli.ProgressLine."""
    before = (None, None)
    with VideoWriter(output, frames.fps) as video:
        for done, image in enumerate(frames, 1):
            picture, before = artist.picture(image, before)
            video.write(picture)
            line.show(done, max(done, frames.claimed or 0), "enhanced")


def write_images(frames, targets, artist, line):
    """Write every image under its name in `targets`; one in good light as the file that it was, where names allow."""
    for index, target in enumerate(targets):
        data = frames.read(index)
        image = frames.decode(index, data)
        picture, _ = artist.picture(image)
        same = picture is image and Path(frames.names[index]).suffix.lower() == target.suffix.lower()
        write_bytes(target, data if same else _encode(picture, target))
        line.show(index + 1, len(targets), "enhanced")


def targets_in(folder, names):
    """Where the images go: under their own names, as PNG what is neither PNG nor JPEG."""
    targets = {}
    for name in names:
        target = folder / (name if name.lower().endswith(WRITTEN) else Path(name).with_suffix(".png"))
        if target in targets:
            raise UserError(f"{targets[target]} and {name} would both be written as {target.name}")
        targets[target] = name
    return list(targets)


def _encode(image, target):
    """(H, W, 3) uint8 RGB -> bytes of a file of the target's kind."""
    if target.suffix.lower() != ".png":
        return images.encode_jpeg(image, QUALITY)
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
