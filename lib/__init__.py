import os

__version__ = "0.1.0"

# What OpenCV would print on its own about a bad file is in our one-line errors; a user's own setting wins.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
