"""Where data, results, weights and experiments are.

In a checkout these are folders beside `lib`. Of the installed package, data and results are in the working directory;
the configurations and weights that ship are inside the package, and files in the working directory come before them.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from ..errors import UserError
from .read import read_yaml

PACKAGE = Path(__file__).resolve().parents[1]
CHECKOUT = (PACKAGE.parent / "tracking" / "train.py").is_file()
SHIPPED = PACKAGE.parent if CHECKOUT else PACKAGE  # holds experiments/ and pretrained/
ROOT = PACKAGE.parent if CHECKOUT else Path.cwd()  # holds data/, output/ and local.yaml
LOCAL = ROOT / "local.yaml"
VARIABLES = {"data": "LUNAR_DATA", "output": "LUNAR_SAVE", "pretrained": "LUNAR_PRETRAINED"}


@dataclass(frozen=True)
class Paths:
    """Folders (pathlib.Path): benchmarks, everything we write, weights."""

    data: Path
    output: Path
    pretrained: Path

    def weights(self, name: str) -> Path:
        """The file `name` in `pretrained`; where it is not there, the one inside the installed package."""
        own, shipped = self.pretrained / name, SHIPPED / "pretrained" / name
        return shipped if not CHECKOUT and shipped.exists() and not own.exists() else own


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
