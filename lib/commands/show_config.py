"""Show every configuration key with its type, default and meaning, or the values of one experiment."""

from .. import cli, config, registry

EXAMPLES = """
python tracking/show_config.py lunar
python tracking/show_config.py lunar tiny
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("script", nargs="?", default=registry.DEFAULT, choices=registry.scripts())
    arguments.add_argument("config", nargs="?", help="show this experiment's values instead of the defaults")
    options = arguments.parse_args(argv)
    values = config.load(options.script, options.config) if options.config else None
    for name, kind, default, meaning in config.keys(registry.schema(options.script)):
        value = default
        if values is not None:
            value = values
            for part in name.split("."):
                value = value[part]
        print(f"{name}: {value!r}\n    {meaning} [{kind}]")
    return 0
