"""Track one object through a video file, a folder of frames, or a camera; watch it, or save it without a display."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.track import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
