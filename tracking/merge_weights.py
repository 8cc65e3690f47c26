"""One file of weights out of several: their mean, or each tensor from the first file that has it."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.merge_weights import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
