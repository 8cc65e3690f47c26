"""What several networks are made of, and how their weights are read and written."""
