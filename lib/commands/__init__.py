"""The command lines: `lunar NAME` of the installed package, `python tracking/<module>.py` in a checkout."""

import importlib
import sys

from .. import cli
from ..errors import nearest


def main() -> int:
    """Run the subcommand that sys.argv names. Returns its exit code; without a known name, 2 and the list of names."""
    words = sys.argv[1:]
    if words[:1] == ["--version"]:
        from .. import __version__

        print(f"lunar-tracking {__version__}")
        return 0
    if not words or words[0] not in cli.SUBCOMMANDS:
        asked = not words or words[0] in ("-h", "--help")
        names = "\n".join(f"  {name:<16} {meaning}" for name, (_, meaning) in cli.SUBCOMMANDS.items())
        if not asked:
            print(f"lunar: error: no command {words[0]!r}{nearest(words[0], cli.SUBCOMMANDS)}", file=sys.stderr)
        print(f"usage: lunar COMMAND ...; lunar COMMAND --help\n\n{names}", file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    module, _ = cli.SUBCOMMANDS[words[0]]
    sys.argv[0] = f"lunar {words[0]}"  # what --help and errors call the program
    return importlib.import_module(f".{module}", __package__).main(words[1:])
