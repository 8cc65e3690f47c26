"""Show every configuration key with its type, default and meaning, or the values of one experiment."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.show_config import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
