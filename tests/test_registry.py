"""Families: each one's parts exist, and packages of other people add theirs through an entry point."""

import importlib.metadata
import sys
import types

import pytest

from lib import config, registry
from lib.config.sections import Section, Tracking, key, part
from lib.contracts import Family, Result, Tracker
from lib.errors import UserError


class MineTest(Tracking):
    SPEED: float = key(1.0, "How fast it is.")


class Mine(Section):
    TEST: MineTest = part(MineTest, "The tracker.")


class MineTracker(Tracker):
    def __init__(self, config, weights=None, device="cpu"):
        self.speed = config.TEST.SPEED

    def initialize(self, frame, box):
        return Result(tuple(box), 1.0, True)

    def track(self, frame):
        return Result((self.speed, 0.0, 1.0, 1.0), 1.0, True)


@pytest.fixture
def entry_points(monkeypatch):
    """Install entry points in the place of those of the environment: entry_points({name: object or reference})."""

    def install(found):
        module = types.ModuleType("package_of_others")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        points = []
        for name, value in found.items():
            if not isinstance(value, str):
                setattr(module, name, value)
                value = f"{module.__name__}:{name}"
            points.append(importlib.metadata.EntryPoint(name, value, registry.GROUP))
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [p for p in points if p.group == group])
        registry._others.cache_clear()

    yield install
    registry._others.cache_clear()


@pytest.mark.parametrize("name", registry.FAMILIES)
def test_every_part_of_a_family_is_there(name):
    pytest.importorskip("torch")
    family = registry.family(name)
    for place in (family.schema, family.tracker, family.network, family.actor, family.samples):
        assert place is None or callable(registry._resolve(place))
    assert (family.actor is None) == (family.samples is None)
    for experiment in config.names(name):
        config.load(name, experiment)


def test_a_family_of_another_package(entry_points, tmp_path):
    (tmp_path / "fast.yaml").write_text("_BASE_: slow.yaml\nTEST: {SPEED: 9}\n")
    (tmp_path / "slow.yaml").write_text("TEST: {MIN_BOX: 3}\n")
    places = {"schema": f"{__name__}:Mine", "tracker": f"{__name__}:MineTracker"}
    entry_points({"mine": Family(**places, experiments=str(tmp_path))})
    assert "mine" in registry.names() and "mine" in registry.scripts()
    settings = config.load("mine", "fast")
    assert settings.TEST.MIN_BOX == 3
    assert registry.tracker("mine")(settings).track(None).box[0] == 9
    with pytest.raises(UserError, match="did you mean slow"):
        config.load("mine", "slwo")
    with pytest.raises(UserError, match="--script mine: has no training; those that have: lunar, "):
        registry.trained("mine")


def test_a_wrong_entry_point_is_one_line_and_harms_no_other(entry_points):
    entry_points({"gone": "no_such_package:FAMILY", "wrong": 3, "lunar": Family(schema="x:Y")})
    assert registry.names() == [name for name in registry.FAMILIES if name != "enhancer"]
    assert registry.family("lunar").tracker, "the own family counts"
    for name, reason in (("gone", "ModuleNotFoundError"), ("wrong", "expected a contracts.Family, found int")):
        with pytest.raises(UserError, match=reason) as error:
            registry.family(name)
        assert "\n" not in str(error.value) and name in str(error.value)
