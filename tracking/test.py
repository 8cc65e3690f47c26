"""Run a tracker over benchmarks and write one result file a sequence."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.test import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
