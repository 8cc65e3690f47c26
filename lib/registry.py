"""Script name -> where its configuration schema, its online tracker and what trains it live.

Adding a tracker is one folder or module and one entry here. Modules are named, not imported, so that --help and
configuration errors stay fast.
"""

import importlib
from dataclasses import dataclass

from .errors import UserError, nearest


@dataclass(frozen=True)
class Training:
    """Places as "module:name". network: (config) -> the module to train, with random weights. actor: built from
    (network, config), what lib/train/trainers asks of it. samples: its data set, built like lib/train/data's SampleSet.
    """

    network_place: str
    actor_place: str
    samples_place: str

    def network(self, config):
        return _resolve(self.network_place)(config)

    def actor(self, network, config):
        return _resolve(self.actor_place)(network, config)

    def samples(self, datasets, config, **options):
        return _resolve(self.samples_place)(datasets, config, **options)


@dataclass(frozen=True)
class Entry:
    """Places as "module:name". The tracker is built as in lib/test/tracker; with a network it needs weights.

    Without a tracker_place a script does not track, without a Training it has nothing to train.
    """

    schema_place: str
    tracker_place: str | None = None
    has_network: bool = False
    training: Training | None = None

    def schema(self):
        return _resolve(self.schema_place)

    def tracker(self):
        if self.tracker_place is None:
            raise UserError(f"this script has no tracker; those that have: {', '.join(names())}")
        return _resolve(self.tracker_place)


ENTRIES = {
    "lunar": Entry(
        ".config.lunar:Lunar",
        ".test.tracker.lunar:LunarTracker",
        has_network=True,
        training=Training(".build:build_network", ".train.actors.lunar:LunarActor", ".train.data.samples:SampleSet"),
    ),
    "opencv": Entry(".config.opencv:OpenCV", ".test.tracker.opencv:OpenCVTracker"),
    "identity": Entry(".config.identity:Identity", ".test.tracker.identity:IdentityTracker"),
    "enhancer": Entry(
        ".config.enhancer:Enhancer",
        training=Training(
            ".build:build_low_light",
            ".train.actors.enhancer:EnhancerActor",
            ".train.data.night_pairs:NightPairs",
        ),
    ),
}


def names():
    """The scripts that track."""
    return [name for name, each in ENTRIES.items() if each.tracker_place]


def scripts():
    """All scripts."""
    return list(ENTRIES)


def entry(script):
    """The Entry of a script. Raises UserError naming the nearest one that exists."""
    if script not in ENTRIES:
        raise UserError(f"no tracker named {script!r}{nearest(script, ENTRIES)}; there are: {', '.join(names())}")
    return ENTRIES[script]


def training(script):
    """The Training of a script. Raises UserError for one that has nothing to train."""
    found = entry(script).training
    if found is None:
        known = ", ".join(name for name, each in ENTRIES.items() if each.training)
        raise UserError(f"--script {script}: has no training; those that have: {known}")
    return found


def _resolve(place):
    module, name = place.split(":")
    return getattr(importlib.import_module(module, __package__), name)
