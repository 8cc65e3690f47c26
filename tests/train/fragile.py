"""Frames some of which cannot be read, for tests."""

from lib.errors import FrameError


class Frames(list):
    """[(H, W, 3)], of which those numbered in `fail` raise FrameError."""

    def __init__(self, images, fail=()):
        super().__init__(images)
        self.fail = fail

    def __getitem__(self, index):
        if index in self.fail:
            raise FrameError("broken", f"frame {index}")
        return super().__getitem__(index)
