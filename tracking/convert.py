"""Write the boxes of a dataset, or a tracker's results on it, in the form of an annotation program."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.convert import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
