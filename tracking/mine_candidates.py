"""Find the frames of training videos in which several objects look like the target, and write their search crops."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.mine_candidates import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
