#!/usr/bin/env python3
"""What datasets consist of: videos, classes, lengths, sizes of targets, light, attributes annotated and derived."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.census import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
