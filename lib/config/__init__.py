"""Configuration: experiments/<script>/<config>.yaml over the schema's defaults, changed by --set."""

import copy
import json
import os
import re
from pathlib import Path

from ..errors import UserError, nearest
from .paths import CHECKOUT, SHIPPED
from .read import parse_value, read_yaml

EXPERIMENTS = SHIPPED / "experiments"
NAMED = ("BUDGETS", "ABLATION")  # sections of a file that hold changes to the rest of it, by name
# Keys that some families lack for a reason.
LACKING = {
    "TEST.ASSOCIATE": "--associate needs a score map with peaks to choose the target among, which this tracker lacks"
}
SHOWN = 80  # characters of a wrong value or name that an error message repeats


def load(script, config, overrides=(), budget=None):
    """Load one experiment's configuration.

    Args: script, config: names of experiments/<script>/<config>.yaml. overrides: strings "A.B=value". budget: name of
    an entry of the file's BUDGETS, whose settings go over the rest of the file; `overrides` go over both.
    Returns an EasyDict with every key of the script's schema.
    Raises UserError with file, line, dotted key and the nearest key that exists.
    """
    from easydict import EasyDict

    from .. import registry

    schema = registry.schema(script)
    path = _experiment(script, config)
    settings, places, named = _read(path, script)
    if budget is not None:
        if budget not in named["BUDGETS"]:
            known = ", ".join(named["BUDGETS"]) or "none"
            raise UserError(f"--budget {budget}: not among this recipe's BUDGETS; there are: {known}", path)
        settings, places = _overlay(settings, places, *named["BUDGETS"][budget])
    settings, places = _override(settings, places, overrides)
    return EasyDict(_validate(schema, settings, places).model_dump())


def ablation(script, config, overrides=(), more=None):
    """The rows of a file's ABLATION, each of which switches off one part.

    overrides: as for `load`; the rows go over them. more: {label: overrides} of further rows, as --row gives them.
    Returns {label: overrides that `load` takes after the common ones}.
    Raises UserError as `load` does where a row does not fit.
    """
    from .. import registry

    schema = registry.schema(script)
    settings, places, named = _read(_experiment(script, config), script)
    settings, places = _override(settings, places, overrides)
    rows = {}
    for label, (changes, where) in named["ABLATION"].items():
        _validate(schema, *_overlay(settings, places, changes, where))
        rows[label] = [f"{name}={json.dumps(value)}" for name, value in flat(changes)]
    for label, texts in (more or {}).items():
        if label in rows:
            raise UserError(f"--row {label}: ABLATION has a row of that name")
        _validate(schema, *_override(settings, places, texts, f"--row {label}:"))
        rows[label] = list(texts)
    return rows


def given(script, config, overrides=()):
    """{dotted key: value} of what the file and `overrides` set; all else is the schema's default."""
    settings, places, _ = _read(_experiment(script, config), script)
    return dict(flat(_override(settings, places, overrides)[0]))


def keys(section, prefix=""):
    """Yield (dotted key, type, default, meaning) for every key of a schema section."""
    for name, field in section.model_fields.items():
        if _is_section(field.annotation):
            yield from keys(field.annotation, f"{prefix}{name}.")
        else:
            kind = getattr(field.annotation, "__name__", None) or str(field.annotation)
            yield prefix + name, kind.replace("typing.", ""), field.default, field.description


def names(script: str) -> list[str]:
    """The configurations of a script, sorted."""
    return sorted({file.stem for folder in _folders(script) for file in folder.glob("*.yaml")})


def _experiment(script, config):
    folders = _folders(script)
    path = next((file for folder in folders if os.path.isfile(file := folder / f"{config}.yaml")), None)
    if Path(config).name != config or path is None:  # os.path.isfile, unlike Path.is_file, takes impossible names
        known = names(script)
        raise UserError(
            f"no configuration {config!r} of {script}{_nearest(config, known)}; there are: {', '.join(known)}"
        )
    return path


def _folders(script):
    """Where a family's configurations are looked for: if the package is installed, ./experiments comes first."""
    from .. import registry

    roots = [EXPERIMENTS] if CHECKOUT else [Path("experiments"), EXPERIMENTS]
    own = registry.family(script).experiments
    return [*(root / script for root in roots), *([Path(own)] if own else [])]


def _read_with_base(path, script, below=()):
    settings, places = read_yaml(path)
    if "_BASE_" not in settings:
        return settings, places
    base = settings.pop("_BASE_")
    beside = [path.parent, *_folders(script)]
    target = next((folder / str(base) for folder in beside if os.path.isfile(folder / str(base))), None)
    if not isinstance(base, str) or target is None:
        near = _nearest(Path(str(base)).stem, [file.stem for file in path.parent.glob("*.yaml") if file != path])
        raise UserError(f"_BASE_: no file {_shown(base)} beside this one{near}", *places["_BASE_"])
    target, below = target.resolve(), (*below, path.resolve())
    if target in below:
        names = " -> ".join(file.name for file in (*below, target))
        raise UserError(f"_BASE_ leads back to itself: {names}", *places["_BASE_"])
    merged, merged_places = _read_with_base(target, script, below)
    _merge(merged, settings)
    return merged, {**merged_places, **places}


def _read(path, script):
    """A file over its base: (settings, places, {section of NAMED: {name: (changes, their places)}})."""
    settings, places = _read_with_base(path, script)
    named = {section: settings.pop(section, {}) for section in NAMED}
    for section, entries in named.items():
        for name, changes in entries.items() if isinstance(entries, dict) else [("", entries)]:
            if not isinstance(changes, dict):
                place = places.get(f"{section}.{name}" if name else section)
                found = f"expected KEY: value lines, found {_shown(changes)}"
                raise UserError(f"{section}.{name or '<name>'}: {found}", *place)
        named[section] = {name: (changes, _below(places, f"{section}.{name}.")) for name, changes in entries.items()}
    return settings, {name: place for name, place in places.items() if name.split(".")[0] not in NAMED}, named


def _below(places, prefix):
    return {name.removeprefix(prefix): place for name, place in places.items() if name.startswith(prefix)}


def _overlay(settings, places, changes, where):
    """Copies of settings and places with `changes`, found at the places `where`, merged over them."""
    settings = copy.deepcopy(settings)
    _merge(settings, changes)
    return settings, {**places, **where}


def _override(settings, places, overrides, flag="--set"):
    """As _overlay, with strings "A.B=value" that `flag` of the command line gave."""
    for text in overrides:
        name, equals, value = text.partition("=")
        if not equals or not all(name.split(".")):
            raise UserError(f"{flag} {text}: expected KEY=VALUE, as in {flag} TEST.MIN_BOX=2")
        changes = _nested(name.split("."), parse_value(value))
        settings, places = _overlay(settings, places, changes, {name: (f"{flag} {text}", None)})
    return settings, places


def flat(settings, prefix=""):
    """Yield (dotted key, value) of nested settings."""
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _merge(settings, changes):
    for name, value in changes.items():
        if isinstance(value, dict) and isinstance(settings.get(name), dict):
            _merge(settings[name], value)
        else:
            settings[name] = value


def _nested(names, value):
    for name in reversed(names):
        value = {name: value}
    return value


def _validate(schema, settings, places):
    from pydantic import ValidationError

    try:
        return schema.model_validate(settings)
    except ValidationError as failure:
        error = failure.errors()[0]
        names = [str(name) for name in error["loc"]]
        unknown = error["type"] == "extra_forbidden"
        while names and not _given(".".join(names), places) and not unknown:
            names.pop()  # an item of a list, or a rule over several keys: the place is that of the key above
        dotted = ".".join(names)
        text = error["msg"].removeprefix("Value error, ")
        place, line = _place(dotted, places, text)
        reasons = [why for name, why in LACKING.items() if name in places and f"{name}.".startswith(f"{dotted}.")]
        if unknown and reasons:
            raise UserError(reasons[0], place, line) from failure
        if unknown:
            known = [name for name, *_ in keys(schema)]
            known += {name.rpartition(".")[0] for name in known}
            raise UserError(f"unknown key {dotted[:SHOWN]}{_nearest(dotted, known)}", place, line) from failure
        text = text[0].lower() + text[1:] if text.startswith("Input") else text
        unfit = isinstance(error["input"], (dict, BaseException)) or not dotted
        found = "" if unfit else f", found {_shown(error['input'])}"
        raise UserError(f"{dotted}: {text}{found}" if dotted else text, place, line) from failure


def _given(dotted, places):
    """The places of a key and, where it is itself nowhere, of the keys below it; the last given is the last."""
    below = [place for name, place in places.items() if name.startswith(f"{dotted}.")]
    return [places[dotted]] if dotted in places else below


def _place(dotted, places, text):
    """Where a key or one below it was given, else (a rule over several keys) the first that `text` names.

    Where none of them was given, only the last file read.
    """
    named = [places[name] for name in re.findall(r"[A-Z_.]+[A-Z]", text) if name in places]
    return next(iter([*_given(dotted, places)[-1:], *named]), (next(reversed(places.values()), (None, None))[0], None))


def _shown(value):
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _nearest(name, known):
    """As errors.nearest; of dotted keys also one whose last part is that of `name`."""
    same = [word for word in known if word.upper().split(".")[-1] == name.upper().split(".")[-1]]
    return nearest(name, known) or nearest(name, same, 0)


def _is_section(annotation):
    from .sections import Section

    return isinstance(annotation, type) and issubclass(annotation, Section)
