"""Write local.yaml: where data, output and weights are, read by training and testing. Nothing needs it."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.create_default_local_file import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
