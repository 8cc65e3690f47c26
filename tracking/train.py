"""Train a tracker or an enhancer: from the datasets of its configuration to a checkpoint, exactly resumable."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.train import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
