#!/usr/bin/env python3
"""Draw the results of several trackers, and the ground truth, into a video of every sequence. No display is needed."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.vis_results import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
