"""Parameters, multiply-accumulates, and the whole budget of a frame, from JPEG file to box."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.profile_model import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
