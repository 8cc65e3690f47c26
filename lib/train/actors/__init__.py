"""One training step of each script's network: forward and losses. Named, not imported, so that errors stay fast."""

import importlib

from lib.errors import UserError

ACTORS = {"lunar": "lib.train.actors.lunar:LunarActor"}


def check(script):
    """Raise UserError for a script that has nothing to train."""
    if script not in ACTORS:
        raise UserError(f"--script {script}: has no training; those that have: {', '.join(ACTORS)}")


def actor_class(script):
    """The actor's class: built from (network, config), called with a batch -> (loss, {name: value})."""
    check(script)
    module, name = ACTORS[script].split(":")
    return getattr(importlib.import_module(module), name)
