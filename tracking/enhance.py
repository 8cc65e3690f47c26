"""Enhance low-light images or a video, whole, as a tracker behind the enhancer sees the part about its target."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.enhance import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
