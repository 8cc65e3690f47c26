#!/usr/bin/env python3
"""A tracker for the VOT toolkit, which calls this from trackers.ini: docs/vot.md has the lines."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.vot_trax import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
