"""The trackers: script name -> where its configuration schema and online tracker live.

Adding a tracker is one folder or module and one entry here. Modules are named, not imported, so that --help and
configuration errors stay fast.
"""

import difflib
import importlib
from dataclasses import dataclass

from lib.errors import UserError


@dataclass(frozen=True)
class Entry:
    """Places as "module:name". The tracker is built as in lib/test/tracker; with a network it needs weights."""

    schema_place: str
    tracker_place: str
    has_network: bool = False

    def schema(self):
        return _resolve(self.schema_place)

    def tracker(self):
        return _resolve(self.tracker_place)


ENTRIES = {
    "lunar": Entry("lib.config.schema:Lunar", "lib.test.tracker.lunar:LunarTracker", has_network=True),
    "opencv": Entry("lib.config.schema:OpenCV", "lib.test.tracker.opencv:OpenCVTracker"),
    "identity": Entry("lib.config.schema:Identity", "lib.test.tracker.identity:IdentityTracker"),
}


def names():
    return list(ENTRIES)


def entry(script):
    """The Entry of a script. Raises UserError naming the nearest one that exists."""
    if script not in ENTRIES:
        close = difflib.get_close_matches(script, ENTRIES, 1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(f"no tracker named {script!r}{hint}; there are: {', '.join(ENTRIES)}")
    return ENTRIES[script]


def _resolve(place):
    module, name = place.split(":")
    return getattr(importlib.import_module(module), name)
