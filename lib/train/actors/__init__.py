"""The forward pass and losses of each family's network, in one training step."""
