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
    """Places as "module:name". `tracker` is called as tracker(config, checkpoint=None, device="cpu", name=...)."""

    schema_place: str
    tracker_place: str
    network_place: str | None = None

    def schema(self):
        return _resolve(self.schema_place)

    def tracker(self):
        return _resolve(self.tracker_place)

    def network(self):
        """The function that builds the network from a configuration, or None where there is none."""
        return self.network_place and _resolve(self.network_place)


ENTRIES = {
    "lunar": Entry("lib.config.schema:Lunar", "lib.test.tracker.lunar:LunarTracker", "lib.build:build_network"),
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
