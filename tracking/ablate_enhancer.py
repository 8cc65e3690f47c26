"""Compare low-light enhancers: on photographs darkened, on real night photographs, and before trackers."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.ablate_enhancer import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
