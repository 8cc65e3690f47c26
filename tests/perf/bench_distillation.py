"""Losses of weights of `lunar` on sharp and on degraded crops of one dataset: the same crops for each file.

Examples:
    python tests/perf/bench_distillation.py pretrained/lunar_tiny.safetensors trained.safetensors
    python tests/perf/bench_distillation.py pretrained/lunar_tiny_pairs.safetensors trained.safetensors \\
        --sides 4 6 8 12 --config tiny_pairs --set TRAIN.MKD.ENABLE=true --set TRAIN.START=lunar/tiny_pairs
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from lib import config, registry
from lib.models.parts.weights import load_weights
from lib.train import inputs
from lib.train.data import epoch_batches, make_loader
from lib.train.distillation import with_teacher

SHOWN = {"Loss/focal": "focal", "Loss/giou": "1 - GIoU", "IoU/peak": "IoU at peak"}


@torch.no_grad()
def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("weights", nargs="+", help="files, the first is compared with")
    arguments.add_argument("--config", default="tiny_mkd", help="experiments/lunar/<config>.yaml")
    arguments.add_argument("--dataset", default="lunar_night")
    arguments.add_argument("--samples", type=int, default=96)
    arguments.add_argument("--sides", nargs="+", type=float, help="of degraded targets, px; default: as in training")
    arguments.add_argument("--set", dest="overrides", action="append", default=[], metavar="A.B=V")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    changes = [*options.overrides, "TRAIN.MKD.SHARE=1", f"DATA.VAL.SAMPLE_PER_EPOCH={options.samples}"]
    settings = config.load("lunar", options.config, changes)
    if settings.MODEL.QUERY.ENABLE:
        settings = config.load("lunar", options.config, [*changes, "DATA.SEARCH.NUMBER=3"])
    actor = with_teacher(registry.actor("lunar", registry.network("lunar", settings), settings), settings)
    datasets = inputs.load_datasets([options.dataset], "lunar", "--dataset", needed=False)
    samples = registry.samples("lunar", datasets, settings, seed=0, training=False)
    degraded = {f"degraded to {side:g} px": [side, side] for side in options.sides or ()}
    degraded = degraded or {"degraded": actor.mkd.SIDE}
    rows = {(file, kind): [] for file in options.weights for kind in ("sharp", *degraded)}
    for number, batch in enumerate(make_loader(samples, epoch_batches(len(samples), 8, epoch=0, rank=0, world=1), 0)):
        seen = {"sharp": batch}
        for kind, side in degraded.items():
            torch.manual_seed(number)
            actor.mkd.SIDE = side
            seen[kind] = {**batch, **actor.degrade(batch)}
        for (file, kind), row in rows.items():
            load_weights(actor.network, file)
            actor.network.eval()
            _, stats = actor.actor.batch_loss(seen[kind])
            row.append([stats[name].item() for name in SHOWN])
    print("weights | crops |", " | ".join(SHOWN.values()), "| change of each against the first file, +- standard error")
    for (file, kind), row in rows.items():
        values, first = torch.tensor(row), torch.tensor(rows[options.weights[0], kind])
        change, error = (values - first).mean(dim=0), (values - first).std(dim=0) / len(row) ** 0.5
        changes = ", ".join(f"{a:+.4f} +- {b:.4f}" for a, b in zip(change.tolist(), error.tolist(), strict=True))
        print(f"{file} | {kind} |", " | ".join(f"{each:.4f}" for each in values.mean(dim=0).tolist()), f"| {changes}")


if __name__ == "__main__":
    main()
