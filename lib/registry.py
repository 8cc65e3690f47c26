"""The families by name. A family is one line here and its files in the places that its `Family` names.

Packages of other people add families through the entry points "lunar_tracking.families":

    [project.entry-points."lunar_tracking.families"]
    mine = "my_package:FAMILY"  # a contracts.Family whose places are absolute, such as "my_package.config:Mine"
"""

import functools
import importlib
import importlib.metadata
import importlib.util
from typing import Any

from .contracts import ClipTracker, Family
from .errors import UserError, nearest

GROUP = "lunar_tracking.families"
BALL = Family(  # they differ in their experiments alone
    schema=".config.ball:Ball",
    tracker=".test.tracker.ball:BallTracker",
    network=".models.ball.build:build_network",
    actor=".train.actors.ball:BallActor",
    samples=".train.data.ball:BallSamples",
)
DEFAULT = "lunar"  # the family of commands that are not told one
FAMILIES = {
    "lunar": Family(
        schema=".config.lunar:Lunar",
        tracker=".test.tracker.lunar:LunarTracker",
        light=".test.tracker.lunar_light:load",
        network=".models.lunar.build:build_network",
        actor=".train.actors.lunar:LunarActor",
        samples=".train.data.lunar:LunarSamples",
    ),
    "stark": Family(
        schema=".config.stark:Stark",
        tracker=".test.tracker.stark:StarkTracker",
        network=".models.stark.build:build_network",
        actor=".train.actors.stark:StarkActor",
        samples=".train.data.corner_samples:CornerSamples",
    ),
    "sttrack": Family(
        schema=".config.sttrack:STTrack",
        tracker=".test.tracker.sttrack:STTrackTracker",
        network=".models.sttrack.build:build_network",
        actor=".train.actors.sttrack:STTrackActor",
        samples=".train.data.corner_samples:CornerSamples",
    ),
    "dimp": Family(
        schema=".config.dimp:DiMP",
        tracker=".test.tracker.dimp:DiMPTracker",
        network=".models.dimp.build:build_network",
        actor=".train.actors.dimp:DiMPActor",
        samples=".train.data.online:OnlineSamples",
    ),
    "mkdnet": Family(
        schema=".config.mkdnet:MKDNet",
        tracker=".test.tracker.mkdnet:MKDNetTracker",
        network=".models.dimp.build:build_network",
        actor=".train.actors.mkdnet:MKDNetActor",
        samples=".train.data.online:OnlineSamples",
    ),
    "atom": Family(
        schema=".config.atom:Atom",
        tracker=".test.tracker.atom:AtomTracker",
        network=".models.atom.build:build_network",
        actor=".train.actors.atom:AtomActor",
        samples=".train.data.online:OnlineSamples",
    ),
    "tomp": Family(
        schema=".config.tomp:ToMP",
        tracker=".test.tracker.tomp:ToMPTracker",
        network=".models.tomp.build:build_network",
        actor=".train.actors.tomp:ToMPActor",
        samples=".train.data.online:OnlineSamples",
    ),
    "keep_track": Family(
        schema=".config.keep_track:KeepTrack",
        tracker=".test.tracker.keep_track:KeepTrackTracker",
        network=".models.keep_track.build:build_network",
        actor=".train.actors.keep_track:KeepTrackActor",
        samples=".train.data.keep_track:CandidateSamples",
        mine=".test.tracker.keep_track_mining:Miner",
    ),
    "opencv": Family(schema=".config.opencv:OpenCV", tracker=".test.tracker.opencv:OpenCVTracker"),
    "identity": Family(schema=".config.identity:Identity", tracker=".test.tracker.identity:IdentityTracker"),
    "enhancer": Family(
        schema=".config.enhancer:Enhancer",
        network=".models.enhancer.build:build_network",
        actor=".train.actors.enhancer:EnhancerActor",
        samples=".train.data.night_pairs:NightPairs",
    ),
    "mmfnet": BALL,
    "tracknetv3": BALL,
    "wasb": BALL,
}


def scripts() -> list[str]:
    """All families. One of another package whose entry point cannot be loaded is left out; `family` says why."""
    return [*FAMILIES, *(name for name, found in _others().items() if isinstance(found, Family))]


def names() -> list[str]:
    """The families that track."""
    return [name for name in scripts() if family(name).tracker]


def family(script: str) -> Family:
    """The Family of this name.

    Raises:
        UserError: there is none, with the nearest name that exists; or its entry point cannot be loaded.
    """
    found = FAMILIES.get(script) or _others().get(script)
    if found is None:
        raise UserError(f"no tracker named {script!r}{nearest(script, scripts())}; there are: {', '.join(names())}")
    if isinstance(found, UserError):
        raise found
    return found


def schema(script: str) -> Any:
    """The pydantic model of a family's configuration."""
    return _resolve(family(script).schema)


def tracker(script: str) -> Any:
    """The tracker's class of a family. Raises UserError for a family that does not track."""
    return _resolve(tracking(script).tracker)


def tracking(script: str) -> Family:
    """The Family of this name, if it tracks. Raises UserError otherwise."""
    found = family(script)
    if found.tracker is None:
        raise UserError(f"this script has no tracker; those that have: {', '.join(names())}")
    return found


def finds_balls(script: str) -> bool:
    """Whether the trackers of this family are ClipTracker and need no first box. Without torch none of them runs."""
    if tracking(script).network and importlib.util.find_spec("torch") is None:
        return False
    return issubclass(tracker(script), ClipTracker)


def light(script: str, name: str) -> Any:
    """The tracker of a configuration that runs without torch.

    Raises:
        UserError: the family has none, or no graphs of this configuration are there.
    """
    place = family(script).light
    if place is None:
        raise UserError(f"{script} {name}: needs torch: pip install 'lunar-tracking[train]'")
    return _resolve(place)(script, name)


def trained(script: str) -> Family:
    """The Family of this name, if it can be trained. Raises UserError otherwise."""
    found = family(script)
    if found.actor is None:
        known = ", ".join(name for name in scripts() if family(name).actor)
        raise UserError(f"--script {script}: has no training; those that have: {known}")
    return found


def network(script: str, config: Any) -> Any:
    """The network of a family with random weights, as its configuration describes it."""
    return _resolve(trained(script).network)(config)


def actor(script: str, network: Any, config: Any) -> Any:
    """The contracts.Actor that trains a network of a family."""
    return _resolve(trained(script).actor)(network, config)


def samples(script: str, datasets: dict, config: Any, **options: Any) -> Any:
    """A family's data set of samples, see train.data.samples.Samples for the arguments."""
    return _resolve(trained(script).samples)(datasets, config, **options)


def miner(script: str, config: Any, weights: Any, device: Any) -> Any:
    """What finds the samples that a family is trained on, see contracts.Family.

    Raises:
        UserError: the family needs no such samples.
    """
    place = family(script).mine
    if place is None:
        known = ", ".join(name for name in scripts() if family(name).mine)
        raise UserError(f"{script}: is trained on videos as they are; those that are not: {known}")
    return _resolve(place)(config, weights, device)


@functools.cache
def _others() -> dict[str, Family | UserError]:
    """The families of other packages; the reason in the place of one that cannot be loaded."""
    found: dict[str, Family | UserError] = {}
    for point in importlib.metadata.entry_points(group=GROUP):
        if point.name in FAMILIES or point.name in found:
            found[point.name] = _unusable(point, "there is another family of this name")
            continue
        try:
            loaded = point.load()
        except Exception as error:  # noqa: BLE001 -- whatever a package of other people raises: `family` reports it
            found[point.name] = _unusable(point, f"{type(error).__name__}: {error}")
        else:
            wrong = _unusable(point, f"expected a contracts.Family, found {type(loaded).__name__}")
            found[point.name] = loaded if isinstance(loaded, Family) else wrong
    return found


def _unusable(point: importlib.metadata.EntryPoint, reason: str) -> UserError:
    return UserError(f"family {point.name!r} of the entry point {point.value}: {' '.join(reason.split())}")


def _resolve(place: str) -> Any:
    module, name = place.split(":")
    return getattr(importlib.import_module(module, __package__), name)
