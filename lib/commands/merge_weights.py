"""One file of weights out of several: their mean, or each tensor from the first file that has it.

The mean of networks that were trained apart from one start is often better than each of them and costs nothing more to
run (model soups, arXiv:2203.05482). `--by first` puts a newly trained part into weights that have others as well.
"""

import logging
import sys
from pathlib import Path

from .. import cli
from ..errors import UserError

EXAMPLES = """
python tracking/merge_weights.py mean.safetensors seed1/Lunar_final.safetensors seed2/Lunar_final.safetensors
python tracking/merge_weights.py start.safetensors pairs.safetensors pretrained/lunar_tiny.safetensors --by first
"""


@cli.command
def main(argv=None):
    arguments = cli.parser(__doc__, EXAMPLES)
    arguments.add_argument("out", help="the .safetensors file to write")
    arguments.add_argument("weights", nargs="+", help="files of weights: .safetensors, .pth, .pt or .pth.tar")
    arguments.add_argument("--by", choices=("mean", "first"), default="mean", help="default: mean")
    arguments.add_argument("--debug", action="store_true", help="show the traceback of an error")
    options = arguments.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    if not options.out.endswith(".safetensors"):
        raise UserError("expected a name that ends in .safetensors", options.out)
    from ..models.parts.weights import load_state, save_weights

    states = [load_state(path)[0] for path in options.weights]
    merged = mean(states, options.weights) if options.by == "mean" else first(states)
    save_weights(options.out, merged, merged_by=options.by, files=" ".join(Path(path).name for path in options.weights))
    print(f"{options.out}: {len(merged)} tensors, {sum(value.numel() for value in merged.values()) / 1e6:.2f} M values")
    return 0


def mean(states, paths):
    """The mean of each tensor over state dicts of one network; of whole numbers (counts of batches) the largest.

    Raises UserError, naming one of `paths`, where names or shapes differ, or a value is NaN or infinite.
    """
    import torch

    for state, path in zip(states, paths, strict=True):
        for name in sorted({*state, *states[0]}):
            shapes = [tuple(each[name].shape) if name in each else "no such tensor" for each in (state, states[0])]
            if shapes[0] != shapes[1]:
                raise UserError(f"another network than in {paths[0]}: {name} {shapes[0]}, there {shapes[1]}", path)
            if not torch.isfinite(state[name]).all():
                raise UserError(f"{name} holds NaN or infinite values", path)
    merged = {}
    for name, value in states[0].items():
        several = torch.stack([state[name] for state in states])
        one = several.double().mean(dim=0) if value.is_floating_point() else several.amax(dim=0)
        merged[name] = one.to(value.dtype)
    return merged


def first(states):
    """Each tensor from the first of several state dicts that has it."""
    return {name: value for state in reversed(states) for name, value in state.items()}
