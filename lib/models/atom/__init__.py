"""ATOM: an IoU-Net on a ResNet-18, and a filter that is only learned online."""

from .model import ATOM, atom

__all__ = ["ATOM", "atom"]
