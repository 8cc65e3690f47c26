"""Configuration of the family `identity`."""

from .sections import Section


class Identity(Section):
    """Configuration of script `identity`: the first box for ever, a floor for every score."""
