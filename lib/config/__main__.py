"""`python -m lib.config [SCRIPT [CONFIG]]`: every key, its type, default and meaning, or one experiment's values."""

import sys

from lib import cli, config, registry


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, "python -m lib.config lunar\npython -m lib.config lunar tiny")
    arguments.add_argument("script", nargs="?", default="lunar", choices=registry.scripts())
    arguments.add_argument("config", nargs="?", help="show this experiment's values instead of the defaults")
    options = arguments.parse_args(argv)
    values = config.load(options.script, options.config) if options.config else None
    for name, kind, default, meaning in config.keys(registry.entry(options.script).schema()):
        value = default
        if values is not None:
            value = values
            for part in name.split("."):
                value = value[part]
        print(f"{name}: {value!r}\n    {meaning} [{kind}]")
    return 0


if __name__ == "__main__":
    sys.exit(main())
