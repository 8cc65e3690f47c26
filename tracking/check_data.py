"""Say which datasets are on disk, what is in them, and everything that is wrong with them: nothing is decoded."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.check_data import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
