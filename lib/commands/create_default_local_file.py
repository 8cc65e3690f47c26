"""Write local.yaml: where data, output and weights are, read by training and testing. Nothing needs it."""

from pathlib import Path

from .. import cli, files
from ..config.paths import LOCAL

EXAMPLES = "python tracking/create_default_local_file.py --workspace_dir . --data_dir ./data --save_dir ./output"


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("--workspace_dir", default=".", help="folder that the others are relative to")
    arguments.add_argument("--data_dir", default="data", help="folder that holds the benchmarks")
    arguments.add_argument("--save_dir", default="output", help="folder for checkpoints and results")
    arguments.add_argument("--pretrained_dir", default="pretrained", help="folder that holds weights")
    options = arguments.parse_args(argv)
    folders = {"data": options.data_dir, "output": options.save_dir, "pretrained": options.pretrained_dir}
    root = Path(options.workspace_dir)
    text = "".join(f"{name}: {str((root / folder).resolve())!r}\n" for name, folder in folders.items())
    files.write_text(LOCAL, text)
    print(f"wrote {LOCAL}:\n{text}", end="")
    return 0
