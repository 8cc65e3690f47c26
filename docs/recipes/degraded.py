"""Draw what a student sees: search crops of training samples as they are (above), and degraded (below)."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import cv2
import numpy as np
import torch

from lib import cli, config, registry
from lib.errors import UserError
from lib.files import atomic_path
from lib.train import inputs
from lib.train.distillation import SEARCH, DistillingActor, as_float, with_teacher

EXAMPLES = """
python docs/recipes/degraded.py degraded.jpg --script lunar --config tiny_mkd --set TRAIN.MKD.SHARE=1
python docs/recipes/degraded.py degraded.png --script mkdnet --config baseline --dataset /my/videos
"""
GAP = 4  # px of white between two crops


@cli.command
def main(argv=None):
    options = _parse(argv)
    settings = config.load(options.script, options.config, options.overrides)
    datasets = inputs.load_datasets(
        options.dataset.split(","), options.script, "--dataset", needed=True, data_root=options.data_root
    )
    torch.manual_seed(options.seed)
    actor = with_teacher(registry.actor(options.script, registry.network(options.script, settings), settings), settings)
    if not isinstance(actor, DistillingActor):
        raise UserError(f"{options.script} {options.config}: trains without a teacher (TRAIN.MKD.ENABLE)")
    samples = registry.samples(options.script, datasets, settings, seed=options.seed)
    drawn = [samples[1, index] for index in range(options.columns)]
    batch = {name: torch.stack([each[name] for each in drawn]) for name in drawn[0]}
    rows = as_float(batch[SEARCH])[:, 0], actor.degrade(batch)[SEARCH][:, 0].clamp(0, 1)
    picture = np.concatenate([row(images, options.width) for images in rows])[GAP:, GAP:]
    with atomic_path(Path(options.picture)) as file:
        cv2.imwrite(str(file), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    print(f"wrote {options.picture}")
    return 0


def row(images, width):
    """Images (N, 3, S, S), float in [0, 1], beside each other: uint8 RGB with a gap above and before each."""
    shown = []
    for image in images:
        pixels = (255 * image.permute(1, 2, 0)).round().byte().numpy()
        pixels = cv2.resize(pixels, (width, width), interpolation=cv2.INTER_NEAREST)
        shown.append(cv2.copyMakeBorder(pixels, GAP, 0, GAP, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255)))
    return np.concatenate(shown, axis=1)


def _parse(argv):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("picture", metavar="FILE", help="where to write it: .jpg or .png")
    arguments.add_argument("--script", default="mkdnet", help="family")
    arguments.add_argument("--config", default="baseline", help="experiments/<script>/<config>.yaml")
    arguments.add_argument("--dataset", default="lunar_demo", help="names of datasets, or folders, with commas")
    arguments.add_argument("--data_root", help="folder that holds the benchmarks (default: ./data, see local.yaml)")
    arguments.add_argument("--columns", type=int, default=5, help="samples")
    arguments.add_argument("--width", type=int, default=176, help="of a crop, px")
    arguments.add_argument("--seed", type=int, default=0, help="of samples and degradation")
    cli.add_config_flags(arguments)
    options = arguments.parse_args(argv)
    cli.at_least(options, columns=1, width=16, seed=0)
    return options


if __name__ == "__main__":
    sys.exit(main())
