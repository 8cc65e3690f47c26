"""`python -m lunar_tracking COMMAND ...` is `lunar COMMAND ...`."""

import sys

from .commands import main

if __name__ == "__main__":
    sys.exit(main())
