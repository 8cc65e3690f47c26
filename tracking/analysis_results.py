#!/usr/bin/env python3
"""Score tracking results: tables, curves, HTML report, JSON. Without arguments, all that is in the results folder."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.analysis_results import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
