"""Write clips put together from photographs (lib/data/render/collage.py) as an LMDB, a dataset to train from."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.make_collages import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
