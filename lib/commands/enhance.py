"""Enhance low-light images or a video, whole, as a tracker behind the enhancer sees the part about its target.

Whether an image needs it is decided of each by itself, of a video by the brightness of the frames so far, which are
averaged over time where the enhancer asks for it; one in good light is written as it was.
"""

import logging
import sys
from pathlib import Path

from .. import cli
from ..config.paths import paths as find_paths
from ..errors import UserError

EXAMPLES = """
python tracking/enhance.py night.jpg enhanced.png --side_by_side
python tracking/enhance.py frames/ enhanced/ --enhancer blur_gamma
python tracking/enhance.py night.mp4 enhanced.mp4 --enhancer my_enhancer.safetensors --side_by_side --steps
"""


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
    from ..vis.enhancing import Artist, targets_in, write_images, write_video

    frame_enhancer = FrameEnhancer(_load(options.enhancer), device, *_strength(options.strength))
    artist = Artist(frame_enhancer, options.side_by_side, options.steps)
    line = cli.ProgressLine("frames")
    if isinstance(frames, VideoFrames):
        write_video(frames, output, artist, line)
    else:
        targets = targets_in(output, frames.names) if source.is_dir() else [output]
        write_images(frames, targets, artist, line)
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
    from ..vis.enhancing import WRITTEN
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
