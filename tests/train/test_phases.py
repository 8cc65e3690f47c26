"""An actor with two optimisers and helpers, as adversarial training needs: order, resume, several processes."""

import json
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from easydict import EasyDict
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from lib import registry
from lib.config.sections import Datasets, Optimisation
from lib.contracts import Actor, Family
from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.models.parts.weights import save_weights
from lib.train import run_training
from lib.train.data.samples import Samples
from lib.train.trainers import checkpoint
from lib.train.trainers.optim import make_optimiser
from lib.train.trainers.trainer import Trainer
from tests import processes

TRAIN = {"EPOCH": 3, "BATCH_SIZE": 4, "NUM_WORKER": 0, "PRINT_INTERVAL": 1, "SAVE_INTERVAL": 2, "KEEP": 9,
         "GRAD_CLIP_NORM": 1.0, "PRECISION": "fp32", "EMA": 0.9, "VAL_EPOCH_INTERVAL": 2, "LR": 1e-2}  # fmt: skip


class Points(Samples):
    """Points on a line, and noise to make others of."""

    def __init__(self, datasets, config, *, seed, training=True):
        super().__init__(datasets, config.DATA.TRAIN, seed=seed, training=training)

    def _draw(self, rng, epoch):
        x = rng.normal(0, 1)
        return {
            "real": torch.tensor([x, 2 * x], dtype=torch.float32),
            "noise": torch.tensor(rng.normal(0, 1, 3), dtype=torch.float32),
            "frame_ids": torch.tensor([0]),
            "name": torch.tensor(0),
        }


def generator(config):
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(config.MODEL.DROPOUT), nn.Linear(8, 2))


class GanActor(Actor):
    """A generator against a discriminator, which steps first, and near a teacher that stays as it is."""

    scores = ("Closeness",)

    def __init__(self, network, config):
        self.network, self.options = network, config.TRAIN
        teacher = nn.Linear(3, 2).requires_grad_(False)
        self.helpers = {"discriminator": nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1)), "teacher": teacher}
        self.seen = []

    def optimisers(self):
        discriminator = self.helpers["discriminator"]
        own = torch.optim.RMSprop(discriminator.parameters(), lr=3e-3)  # has no fused version
        return {"network": make_optimiser(self.network, self.options), "discriminator": own}

    def phases(self, batch):
        discriminator, teacher = self.helpers["discriminator"], self.helpers["teacher"]
        parameters = [*self.network.parameters(), *discriminator.parameters()]
        fresh = self.options.ACCUM > 1 or all(parameter.grad is None for parameter in parameters)
        assert fresh and self.network.training and not teacher.training
        before = discriminator[0].weight.clone()
        made = self.network(batch["noise"])
        answers = discriminator(torch.cat([batch["real"], made.detach()]))
        wanted = torch.cat([torch.ones(len(made), 1), torch.zeros(len(made), 1)])
        loss = binary_cross_entropy_with_logits(answers, wanted)
        yield "discriminator", loss, {"Loss/discriminator": loss.detach()}
        self.seen.append(not torch.equal(before, discriminator[0].weight))
        assert self.options.ACCUM > 1 or all(parameter.grad is None for parameter in parameters)
        loss = softplus(-discriminator(made)).mean() + 0.1 * (made - teacher(batch["noise"])).square().mean()
        yield "network", loss, {"Loss/total": loss.detach()}

    @torch.no_grad()
    def validate(self, batch):
        off = (self.network(batch["noise"]) @ torch.tensor([2.0, -1.0])).abs()
        return -off.sum(), torch.tensor(float(len(off)))

    def save(self, path, **notes):
        save_weights(path, self.network.state_dict(), **notes)


places = {"network": f"{__name__}:generator", "actor": f"{__name__}:GanActor", "samples": f"{__name__}:Points"}
FAMILY = Family(schema="lib.config.sections:Section", **places)


@pytest.fixture
def train(monkeypatch):
    """Train in this process: train(output, EPOCH=3, ...) -> the Trainer."""
    monkeypatch.setitem(registry.FAMILIES, "gan", FAMILY)
    made, init = [], Trainer.__init__

    def remember(self, *args, **options):
        init(self, *args, **options)
        made.append(self)

    monkeypatch.setattr(Trainer, "__init__", remember)

    def run(output, **changes):
        assert run_training.run(job(output, **changes)) == 0
        return made[-1]

    return run


def job(output, dropout=0.3, **changes):
    options = Optimisation(**{**TRAIN, **changes}).model_dump()
    data = {"TRAIN": Datasets(SAMPLE_PER_EPOCH=24).model_dump()}
    config = EasyDict(DATA=data, MODEL={"DROPOUT": dropout}, TRAIN=options)
    sequences = {"points": [Sequence("line", "points", np.ones((1, 4)), lambda: [None])]}
    return run_training.Job("gan", "toy", config, sequences, sequences, Path(output), device="cpu")


def curve(output):
    records = map(json.loads, (output / "logs" / "gan-toy.jsonl").read_text().splitlines())
    return [{name: value for name, value in record.items() if name != "seconds"} for record in records]


def last(output):
    return checkpoint.read(max((output / "checkpoints" / "train" / "gan" / "toy").glob("*_ep*.pth.tar")))


def tensors(value, prefix=""):
    """{dotted name: tensor} of a nested dict."""
    if torch.is_tensor(value):
        return {prefix: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {name: one for key, inner in items for name, one in tensors(inner, f"{prefix}.{key}").items()}


def test_the_discriminator_steps_first_and_gradients_stay_apart(train, tmp_path):
    trainer = train(tmp_path, ACCUM=2)
    assert trainer.actor.seen == [True] * 18, "three steps of two batches in each of three epochs"
    assert {"Loss/discriminator", "Loss/total"} <= set(curve(tmp_path)[0])
    assert set(last(tmp_path)["helpers"]) == {"discriminator", "teacher"}


def test_a_broken_training_with_two_optimisers_goes_on_bit_for_bit(train, tmp_path, monkeypatch):
    class CrashError(Exception):
        pass

    train(tmp_path / "whole")
    update = Trainer._update

    def broken(self, group):
        if self.step() == 9:
            raise CrashError
        update(self, group)

    with monkeypatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(Trainer, "_update", broken)
        train(tmp_path / "broken")
    train(tmp_path / "broken")
    assert curve(tmp_path / "broken") == curve(tmp_path / "whole")
    whole, broken = (tensors(last(tmp_path / name)) for name in ("whole", "broken"))
    assert len(whole) > 20 and all(torch.equal(value, broken[name]) for name, value in whole.items())


def test_a_nan_in_the_first_phase_leaves_out_both(train, tmp_path, monkeypatch):
    draw = Points._draw
    monkeypatch.setattr(Points, "_draw", lambda self, rng, epoch: {**draw(self, rng, epoch), "real": torch.ones(2) / 0})
    trainer = train(tmp_path, EPOCH=1, NONFINITE="skip")
    assert [one["left_out"] for one in curve(tmp_path) if one["event"] == "train"][-1] == 6
    states = [*trainer.network.state_dict().values(), *trainer.helpers["discriminator"].state_dict().values()]
    assert all(value.isfinite().all() for value in states)


def test_a_checkpoint_of_other_optimisers_is_one_line(train, tmp_path, monkeypatch):
    train(tmp_path, EPOCH=1)
    found = next((tmp_path / "checkpoints" / "train" / "gan" / "toy").glob("*.tar"))
    content = checkpoint.read(found)
    content["optimizer"] = content.pop("optimisers")["network"]  # as version 0.1 wrote it
    del content["helpers"]
    checkpoint.write(found, content)
    with pytest.raises(UserError, match="helpers none, expected discriminator, teacher"):
        train(tmp_path, EPOCH=1)


def test_two_processes_are_one(train, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)]
    both = [processes.Started([__file__, tmp_path / "two"], {**os.environ, **shared, **rank}) for rank in ranks]
    for process in both:
        _, error = process.communicate(timeout=120)
        assert process.returncode == 0, error
    train(tmp_path / "one", dropout=0.0)
    one, two = curve(tmp_path / "one"), curve(tmp_path / "two")
    assert len(one) == len(two)
    for first, second in zip(one, two, strict=True):
        assert first == pytest.approx(second, abs=1e-5)
    one, two = (tensors({name: last(tmp_path / n)[name] for name in ("net", "helpers")}) for n in ("one", "two"))
    assert max((one[name] - two[name]).abs().max() for name in one) < 1e-4


if __name__ == "__main__":  # one of two processes
    registry.FAMILIES["gan"] = FAMILY
    sys.exit(run_training.run(job(sys.argv[1], dropout=0.0, BATCH_SIZE=2)))
