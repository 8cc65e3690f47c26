"""Write a dataset (images, video, still images, XML or JSON) as one LMDB, which is again a dataset."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.make_lmdb import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
