"""One training step of each script's network: forward and losses."""
