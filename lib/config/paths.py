"""Where data, results and weights are: ./data, ./output, ./pretrained, or as local.yaml or the environment say."""

import os
from dataclasses import dataclass
from pathlib import Path

from lib.config.read import read_yaml
from lib.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
LOCAL = ROOT / "local.yaml"
VARIABLES = {"data": "LUNAR_DATA", "output": "LUNAR_SAVE", "pretrained": "LUNAR_PRETRAINED"}


@dataclass(frozen=True)
class Paths:
    """Folders (pathlib.Path): benchmarks, everything we write, weights."""

    data: Path
    output: Path
    pretrained: Path


def paths(data=None, output=None):
    """Return Paths. Arguments win over the environment, that over local.yaml, that over the repository's own folders.

    Raises UserError where local.yaml is malformed or has an unknown key.
    """
    chosen = {name: ROOT / name for name in VARIABLES}
    if LOCAL.exists():
        settings, lines = read_yaml(LOCAL)
        for name, value in settings.items():
            if name not in VARIABLES or not isinstance(value, str):
                expected = ", ".join(VARIABLES)
                raise UserError(f"expected a folder for one of {expected}; found {name}: {value!r}", *lines[name])
            chosen[name] = ROOT / Path(os.path.expanduser(value))
    for name, variable in VARIABLES.items():
        if os.environ.get(variable):
            chosen[name] = Path(os.path.expanduser(os.environ[variable]))
    for name, value in (("data", data), ("output", output)):
        if value:
            chosen[name] = Path(os.path.expanduser(value))
    return Paths(**chosen)
