import os

# What OpenCV would print on its own about a bad file is in our one-line errors; a user's own setting wins.
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
