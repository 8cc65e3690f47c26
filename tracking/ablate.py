"""Track with each part of a tracker switched off and compare with the whole, sequence by sequence."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.ablate import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
