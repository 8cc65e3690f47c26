"""Track one object through a video file, a folder of frames, or a camera; watch it, or save it without a display."""

from .. import cli
from ..errors import UserError
from . import video_demo

EXAMPLES = """
python tracking/track.py night.mp4 --box 311 120 9 7 --save_video tracked.mp4
python tracking/track.py frames/ --box 311 120 9 7 --save_results --tracker opencv:mil
python tracking/track.py 0
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("--tracker", default="lunar:tiny", metavar="FAMILY:CONFIG", help="what tracks")
    options = video_demo.parse(arguments, argv)
    options.tracker_name, colon, options.tracker_param = options.tracker.partition(":")
    if not colon:
        raise UserError(f"--tracker {options.tracker}: expected FAMILY:CONFIG, as in lunar:tiny")
    return video_demo.start(options)
