"""A training of a minute network on synthetic clips, for tests: here in this process, or as a script.

python tests/train/tiny_run.py OUT [A.B=V ...]     (also under torch.distributed.run)
"""

import contextlib
import dataclasses
import logging
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import pytest
import torch

from lib import cli, config, registry
from lib.data.sequence import Sequence
from lib.train import run_training
from lib.train.trainers.trainer import Trainer
from tests.networks import make_lunar

OVERRIDES = (
    "DATA.SEARCH.SIZE=64",
    "DATA.TEMPLATE.SIZE=32",
    "DATA.TRAIN.SAMPLE_PER_EPOCH=24",
    "DATA.VAL.SAMPLE_PER_EPOCH=8",
    "DATA.AUGMENT.NIGHT=0",
    "TRAIN.BATCH_SIZE=4",
    "TRAIN.EPOCH=3",
    "TRAIN.NUM_WORKER=0",
    "TRAIN.LR=1e-3",
    "TRAIN.SCHEDULER.TYPE=cosine",
    "TRAIN.SCHEDULER.WARMUP=4",
    "TRAIN.PRECISION=fp32",
    "TRAIN.EMA=0.9",
    "TRAIN.PRINT_INTERVAL=1",
    "TRAIN.SAVE_INTERVAL=2",
    "TRAIN.VAL_EPOCH_INTERVAL=2",
    "TRAIN.VAL_FRAMES=0",
    "TRAIN.KEEP=9",
)


@contextlib.contextmanager
def broken_off(monkeypatch):
    """Within it a training fails at its fourth step; it is an error that none does."""
    update = Trainer._update

    def broken(self, group):
        if self.step() == 3:
            raise KeyError
        update(self, group)

    with monkeypatch.context() as patch, pytest.raises(KeyError):
        patch.setattr(Trainer, "_update", broken)
        yield


def clips(count=3, frames=12, size=96):
    """Sequences of a bright square that moves over noise, kept in memory."""
    sequences = []
    for number in range(count):
        rng = np.random.default_rng(number)
        boxes, images = [], []
        for index in range(frames):
            image = rng.integers(0, 90, (size, size, 3), np.uint8)
            x, y, side = 20 + 3 * index, 30 + 2 * number + index, 10 + number
            image[y : y + side, x : x + side] = (250, 200, 60 * number)
            images.append(image)
            boxes.append((x, y, side, side))
        sequences.append(Sequence(f"clip{number}", "synthetic", np.array(boxes, float), lambda images=images: images))
    return sequences


def tiny_network(cfg):
    return make_lunar(
        embed_dim=32,
        depth=2,
        num_heads=2,
        head_channels=16,
        template_size=cfg.DATA.TEMPLATE.SIZE,
        search_size=cfg.DATA.SEARCH.SIZE,
        num_templates=cfg.DATA.TEMPLATE.NUMBER,
        attention=cfg.MODEL.BACKBONE.ATTENTION,
        head_stride=8,
        drop_path=cfg.MODEL.BACKBONE.DROP_PATH,
        query={"dim": 16, "heads": 2} if cfg.MODEL.QUERY.ENABLE else None,
    )


def job(output, *overrides, **options):
    settings = config.load("lunar", "baseline_pairs", [*OVERRIDES, *overrides])
    data = {"synthetic": clips()}
    return run_training.Job("lunar", "baseline", settings, data, data, Path(output), **options)


def train(output, *overrides, validate_tracking=None, **options):
    """Run it in this process; returns the exit code."""
    before = registry.FAMILIES["lunar"]
    registry.FAMILIES["lunar"] = dataclasses.replace(before, network="tiny_run:tiny_network")
    try:
        return run_training.run(job(output, *overrides, **{"device": "cpu", **options}), validate_tracking)
    finally:
        registry.FAMILIES["lunar"] = before


@cli.command
def main(argv=None):
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    torch.set_num_threads(1)
    output, *overrides = sys.argv[1:] if argv is None else argv
    return train(output, *overrides)


if __name__ == "__main__":
    sys.exit(main())
