"""Enhance low-light images or a video, whole, as a tracker behind the enhancer sees the part about its target.

Whether an image needs it is decided of each by itself, of a video by the brightness of the frames so far, which are
averaged over time where the enhancer asks for it; one in good light is written as it was.
"""

import logging
import sys
import time
from pathlib import Path

from .. import cli
from ..config.paths import paths as find_paths
from ..errors import UserError

EXAMPLES = """
python tracking/enhance.py night.jpg enhanced.png --side_by_side
python tracking/enhance.py frames/ enhanced/ --enhancer blur_gamma
python tracking/enhance.py night.mp4 enhanced.mp4 --enhancer my_enhancer.safetensors --side_by_side --steps
"""
WRITTEN = (".png", ".jpg", ".jpeg")
QUALITY = 95  # of a JPEG


@cli.command
def main(argv=None):
    options = _parse(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    from ..data.frames import VideoFrames, open_frames

    source, output = Path(options.input), Path(options.output)
    frames = open_frames(options.input, turn=not options.as_stored)
    _check(source, frames, output)
    cli.set_threads()
    device = cli.choose_devices(options.device)[0]
    from ..test.tracker.enhanced import FrameEnhancer

    frame_enhancer = FrameEnhancer(_load(options.enhancer), device, *_strength(options.strength))
    artist = _Artist(frame_enhancer, options.side_by_side, options.steps)
    line = cli.ProgressLine("frames")
    if isinstance(frames, VideoFrames):
        _write_video(frames, output, artist, line)
    else:
        targets = _targets(frames.names, output) if source.is_dir() else [output]
        _write_images(frames, targets, artist, line)
    line.clear()
    print(
        f"wrote {output}: {artist.frames} frames, {artist.closed} of them as they were (gate closed), "
        f"{1000 * artist.seconds / artist.frames:.1f} ms a frame on {device}"
    )
    return 0


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("input", help="an image, a folder of images, or a video")
    arguments.add_argument("output", help="the same: an image file, a folder, or a video (.mp4, .avi or .webm)")
    arguments.add_argument(
        "--enhancer",
        metavar="NAME_OR_FILE",
        help="average, gamma, blur, blur_gamma, clahe, dcp, a .safetensors file, or a .pt file of SCI "
        "(default: pretrained/enhancer.safetensors)",
    )
    arguments.add_argument(
        "--strength",
        default="people",
        help="people: as people like to look at it (default); tracker: as a tracker sees it; night_tracker: as one "
        "that was trained on dark images sees it; or a share in [0, 1] of what people get",
    )
    arguments.add_argument("--side_by_side", action="store_true", help="show the input beside the result")
    arguments.add_argument("--steps", action="store_true", help="show the image after every step of the enhancer")
    arguments.add_argument("--as_stored", action="store_true", help="do not turn photographs as their EXIF data says")
    arguments.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 or mps")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    return arguments.parse_args(argv)


def _check(source, frames, output):
    """Raise UserError unless there is an image, folder or video to read, and `output` can be written as the same."""
    from ..data.frames import VIDEO_EXTENSIONS, ImageFrames, VideoFrames
    from ..data.image import EXTENSIONS
    from ..data.storage import Folder
    from ..files import check_not_over
    from ..vis.video import CODECS

    if not isinstance(frames, VideoFrames) and not (isinstance(frames, ImageFrames) and type(frames.storage) is Folder):
        raise UserError("expected an image, a folder of images or a video", source)
    check_not_over(output, source)
    extension = output.suffix.lower()
    if source.is_dir():
        if output.is_file() or extension in EXTENSIONS + VIDEO_EXTENSIONS:
            raise UserError("a folder of images becomes a folder", output)
        return
    kind, known = ("a video", CODECS) if isinstance(frames, VideoFrames) else ("an image", WRITTEN)
    if extension not in known:
        raise UserError(f"{kind} becomes {kind}: expected a name ending in {', '.join(known)}", output)


def _strength(text):
    """(purpose, strength) of FrameEnhancer."""
    from ..test.tracker.enhanced import PURPOSES

    if text in PURPOSES:
        return text, None
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UserError(f"--strength {text}: expected {', '.join(PURPOSES)} or a number from 0 to 1")
    return "people", share


def _load(enhancer):
    from ..models.enhancer import UNTRAINED, load_enhancer

    if enhancer is None:
        enhancer = find_paths().weights("enhancer.safetensors")
        if not enhancer.is_file():
            raise UserError(f"not there; pass --enhancer FILE.safetensors, or one of {', '.join(UNTRAINED)}", enhancer)
    return load_enhancer(enhancer)


class _Artist:
    """Makes of each frame the picture to be written, and keeps count. closed: frames left as they were."""

    def __init__(self, frame_enhancer, side_by_side, steps):
        import numpy as np

        self.frame_enhancer, self.side_by_side, self.steps = frame_enhancer, side_by_side, steps
        probe = np.zeros((16, 16, 3), np.uint8)
        self.results = len(frame_enhancer.steps(probe, 1.0)[0]) if steps else 1
        self.frames, self.closed, self.seconds = 0, 0, 0.0

    def picture(self, image, before=(None, None)):
        """(picture, light and memory so far): a frame's panels in a row. Where nothing is to be done, the very image.

        before: what the last frame of the video gave, the default for its first or a single image.
        """
        import numpy as np

        from ..data import image as images

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


def _write_video(frames, output, artist, line):
    from ..vis.video import VideoWriter

    before = (None, None)
    with VideoWriter(output, frames.fps) as video:
        for done, image in enumerate(frames, 1):
            picture, before = artist.picture(image, before)
            video.write(picture)
            line.show(done, max(done, frames.claimed or 0), "enhanced")


def _write_images(frames, targets, artist, line):
    from ..files import write_bytes

    for index, target in enumerate(targets):
        data = frames.read(index)
        image = frames.decode(index, data)
        picture, _ = artist.picture(image)
        same = picture is image and Path(frames.names[index]).suffix.lower() == target.suffix.lower()
        write_bytes(target, data if same else _encode(picture, target))
        line.show(index + 1, len(targets), "enhanced")


def _targets(names, folder):
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
    import cv2

    from ..data.image import encode_jpeg

    if target.suffix.lower() != ".png":
        return encode_jpeg(image, QUALITY)
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
