"""Does a score say when the target is lost? A reliability table and the AUROC of the score, for any results."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.trust import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
