"""Write the crops around a dataset's targets as a dataset of its own, to train from without decoding whole frames."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.make_crops import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
