#!/usr/bin/env python3
"""Write a tracker's network as ONNX graphs, and compare them with torch on frames of a video."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from lib.commands.export_onnx import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
