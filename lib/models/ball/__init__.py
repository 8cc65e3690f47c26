"""Networks that find a ball of a few pixels in a window of frames, and what turns their heat maps into points."""
