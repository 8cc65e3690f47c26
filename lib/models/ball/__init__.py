"""Networks that find a ball of a few pixels in a window of frames, and the conversion of heat maps to points."""
