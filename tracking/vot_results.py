#!/usr/bin/env python3
"""Accuracy, robustness and EAO of supervised results, as VOT's and pysot's toolkits write and measure them."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.vot_results import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
