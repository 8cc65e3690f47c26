"""The training loop: rates, groups, freezing, averaging, accumulation, faults, several processes, what it tells."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lib import config
from lib.errors import UserError
from lib.models.parts.weights import load_weights
from lib.train.admin import journal
from lib.train.trainers import optim
from lib.train.trainers.trainer import Trainer, step_seed
from tests import processes

sys.path.insert(0, str(Path(__file__).parent))
import tiny_run  # noqa: E402

SCRIPT = Path(__file__).with_name("tiny_run.py")
# Batch norms that keep their statistics: with them two halves of a batch are what the whole is.
NORMS = ",".join(f"box_head.conv{i}_{tower}.1" for tower in ("ctr", "offset", "size") for i in range(1, 5))
STILL = f"TRAIN.FREEZE=[{NORMS},box_head.stem]"
WHOLE = (STILL, "MODEL.BACKBONE.DROP_PATH=0", "TRAIN.EPOCH=1", "TRAIN.EMA=0", "TRAIN.GRAD_CLIP_NORM=0")


def train_config(*overrides):
    return config.load("lunar", "baseline_pairs", overrides).TRAIN


def records(output, event="train"):
    lines = (Path(output) / "logs" / "lunar-baseline.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["event"] == event]


def final(output):
    return load_file(Path(output) / "checkpoints" / "train" / "lunar" / "baseline" / "Lunar_final.safetensors")


def trainer(tmp_path, *overrides):
    """A Trainer of the minute network, ready to make steps."""
    made = []
    run = Trainer.run
    Trainer.run = lambda self: made.append(self) or 0
    try:
        tiny_run.train(tmp_path, *overrides)
    finally:
        Trainer.run = run
    return made[0]


def test_cosine_with_warm_up():
    options = train_config(
        "TRAIN.EPOCH=2", "TRAIN.SCHEDULER.TYPE=cosine", "TRAIN.SCHEDULER.WARMUP=4", "TRAIN.SCHEDULER.END=0.1"
    )
    rates = [optim.rate(step, 10, options) for step in range(21)]
    assert rates[:5] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert rates[19] == pytest.approx(0.1) and rates[20] == pytest.approx(0.1)
    assert rates[9] == pytest.approx(0.1 + 0.9 * 0.75) and rates[14] == pytest.approx(0.1 + 0.9 * 0.25)
    assert all(a >= b for a, b in zip(rates[4:], rates[5:], strict=False))


def test_steps():
    words = ["EPOCH=5", "SCHEDULER.TYPE=step", "SCHEDULER.LR_DROP_EPOCH=2", "SCHEDULER.WARMUP=0"]
    options = train_config(*(f"TRAIN.{word}" for word in words))
    rates = [optim.rate(step, 3, options) for step in range(15)]
    assert rates == pytest.approx([1] * 6 + [0.1] * 6 + [0.01] * 3)


def test_groups_of_parameters(tmp_path):
    made = trainer(tmp_path, "TRAIN.LR=1e-3", "TRAIN.BACKBONE_MULTIPLIER=0.1", "TRAIN.WEIGHT_DECAY=0.05")
    names = {id(parameter): name for name, parameter in made.network.named_parameters()}
    seen = {}
    for group in made.optimisers["network"].param_groups:
        for parameter in group["params"]:
            seen[names[id(parameter)]] = group["base_lr"], group["weight_decay"]
    assert len(seen) == len(names)
    assert seen["backbone.blocks.0.attn.qkv.weight"] == (pytest.approx(1e-4), 0.05)
    assert seen["backbone.blocks.0.attn.qkv.bias"] == (pytest.approx(1e-4), 0)
    assert seen["backbone.pos_embed"][1] == seen["backbone.type_embed"][1] == seen["backbone.norm.weight"][1] == 0
    assert seen["box_head.conv1_ctr.0.weight"] == (1e-3, 0.05) and seen["box_head.conv1_ctr.1.weight"] == (1e-3, 0)


def test_what_is_frozen_stays_with_its_statistics(tmp_path):
    freeze = "TRAIN.FREEZE=[backbone,box_head.conv1_ctr]"
    before = {name: value.clone() for name, value in trainer(tmp_path / "a", freeze).network.state_dict().items()}
    tiny_run.train(tmp_path / "b", freeze, "TRAIN.EMA=0", "TRAIN.EPOCH=1")
    after = final(tmp_path / "b")
    frozen = [name for name in after if name.startswith(("backbone", "box_head.conv1_ctr"))]
    assert any("running_mean" in name for name in frozen) and all(torch.equal(before[n], after[n]) for n in frozen)
    assert not torch.equal(before["box_head.conv2_ctr.1.running_mean"], after["box_head.conv2_ctr.1.running_mean"])
    assert not torch.equal(before["box_head.conv2_ctr.0.weight"], after["box_head.conv2_ctr.0.weight"])
    with pytest.raises(UserError, match="no parameter's name begins with 'bakbone.blocks'.*backbone"):
        trainer(tmp_path / "c", "TRAIN.FREEZE=[bakbone.blocks]")


def test_average():
    first, second = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)
    second.weight.data.fill_(2), second.running_mean.fill_(7)
    optim.average(first, second, 0.9, step=0)
    assert first.weight.tolist() == pytest.approx([1.9] * 3) and first.running_mean.tolist() == [7] * 3
    optim.average(first, second, 0.5, step=100)
    assert first.weight.tolist() == pytest.approx([1.95] * 3)


def test_accumulated_batches_are_one_large_batch(tmp_path):
    tiny_run.train(tmp_path / "one", *WHOLE, "TRAIN.BATCH_SIZE=4")
    tiny_run.train(tmp_path / "two", *WHOLE, "TRAIN.BATCH_SIZE=2", "TRAIN.ACCUM=2")
    one, two = records(tmp_path / "one"), records(tmp_path / "two")
    assert len(one) == len(two) == 6
    for first, second in zip(one, two, strict=True):
        assert first["Loss/total"] == pytest.approx(second["Loss/total"], abs=2e-6)


def test_recomputed_blocks_make_the_same_numbers(tmp_path):
    tiny_run.train(tmp_path / "a", "TRAIN.EPOCH=1")
    tiny_run.train(tmp_path / "b", "TRAIN.EPOCH=1", "TRAIN.CHECKPOINTING=true")
    a, b = final(tmp_path / "a"), final(tmp_path / "b")
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_low_precision_learns(tmp_path, precision):
    tiny_run.train(tmp_path, f"TRAIN.PRECISION={precision}", "TRAIN.EPOCH=2")
    losses = [one["Loss/total"] for one in records(tmp_path)]
    assert sum(losses[-3:]) < 0.85 * sum(losses[:3])


def poison(monkeypatch, where, steps):
    """Put a NaN into the input, the loss, a gradient or a weight in some steps (from 0)."""
    update = Trainer._update

    def poisoned(self, group):
        if self.step() not in steps:
            return update(self, group)
        if where == "input":
            group[0]["template_masks"][0] = float("nan")
        if where == "weights":
            self.network.box_head.conv5_ctr.bias.data.fill_(float("nan"))
        if where == "gradient":
            weight = self.network.box_head.conv5_ctr.weight
            hook = weight.register_hook(lambda gradient: gradient * float("nan"))
        if where == "loss":
            batch_loss = self.actor.batch_loss

            def wrong(batch):
                loss, stats = batch_loss(batch)
                return loss * float("inf"), stats

            self.actor.batch_loss = wrong
        update(self, group)
        if where == "gradient":
            hook.remove()
        if where == "loss":
            del self.actor.batch_loss
        return None

    monkeypatch.setattr(Trainer, "_update", poisoned)


@pytest.mark.parametrize("where", ["input", "loss", "gradient", "weights"])
def test_a_nan_stops_and_is_placed(tmp_path, monkeypatch, where):
    poison(monkeypatch, where, {7})
    with pytest.raises(UserError) as error:
        tiny_run.train(tmp_path)
    text = str(error.value)
    assert re.search(r"NaN or Inf .* at step 8 \(epoch 2, 2 / 6\), samples: synthetic/clip\d frames \d+ \d+", text)
    assert text.count("synthetic/") == 4 and "\n" not in text
    for path in tmp_path.rglob("*.tar"):
        content = torch.load(path, weights_only=True)
        assert all(value.isfinite().all() for value in [*content["net"].values(), *content["raw"].values()])


@pytest.mark.parametrize("where", ["input", "loss", "gradient"])
def test_a_nan_may_be_skipped_and_counted(tmp_path, monkeypatch, where):
    poison(monkeypatch, where, {1, 7})
    assert tiny_run.train(tmp_path, "TRAIN.NONFINITE=skip") == 0
    assert [one["left_out"] for one in records(tmp_path)] == [0] + [1] * 6 + [2] * 11
    assert all(value.isfinite().all() for value in final(tmp_path).values())
    assert all(one["Loss/total"] == one["Loss/total"] for one in records(tmp_path))


def test_skipping_for_ever_ends(tmp_path, monkeypatch):
    poison(monkeypatch, "input", range(1000))
    with pytest.raises(UserError, match="50 steps in a row"):
        tiny_run.train(tmp_path, "TRAIN.NONFINITE=skip", "TRAIN.EPOCH=20")


def torchrun(*words):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", SCRIPT, *words]
    return subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_two_processes_are_one(tmp_path):
    """With norms that keep their statistics; on CPUs torch has no norm that shares them between processes."""
    absent = "DATA.ABSENT=0.3"  # unequal numbers of targets in the two halves
    tiny_run.train(tmp_path / "one", *WHOLE, absent, "TRAIN.BATCH_SIZE=4")
    two = torchrun(tmp_path / "two", *WHOLE, absent, "TRAIN.BATCH_SIZE=2")
    _, text = two.communicate(timeout=240)
    assert two.returncode == 0, text
    for first, second in zip(records(tmp_path / "one"), records(tmp_path / "two"), strict=True):
        for name in ("Loss/total", "Loss/focal", "Loss/giou", "IoU"):
            assert first[name] == pytest.approx(second[name], abs=1e-6), name
    one, two = final(tmp_path / "one"), final(tmp_path / "two")
    # Attention does not depend on the bias of its keys: its gradient is rounding alone, which Adam blows up.
    assert max((one[name] - two[name]).abs().max() for name in one if "qkv.bias" not in name) < 1e-5


def test_a_killed_process_ends_all(tmp_path):
    job = torchrun(tmp_path, "TRAIN.EPOCH=500")
    processes.until((tmp_path / "logs" / "lunar-baseline.jsonl").exists)
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(job.pid)], capture_output=True, text=True)
    ranks = [int(word) for word in listing.stdout.split()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    job.communicate(timeout=240)
    assert job.returncode != 0
    for rank in ranks:
        with pytest.raises(ProcessLookupError):
            os.kill(rank, 0)


def test_validation_scores_and_export(tmp_path, caplog):
    caplog.set_level("INFO")
    seen = []

    def score(network, config):
        seen.append(network)
        return {"AUC": 0.5 + len(seen) / 10}

    assert tiny_run.train(tmp_path, "TRAIN.VAL_FRAMES=5", validate_tracking=score) == 0
    found = records(tmp_path, "val")
    assert [one["epoch"] for one in found] == [2, 3] and [one["AUC"] for one in found] == [0.6, 0.7]
    assert 0 <= found[0]["IoU"] <= 1 and "best AUC 0.70000 in epoch 3" in caplog.text
    network = tiny_run.tiny_network(tiny_run.job(tmp_path).config)
    place = tmp_path / "checkpoints" / "train" / "lunar" / "baseline"
    for name in ("Lunar_final.safetensors", "Lunar_ep0003.pth.tar"):
        assert load_weights(network, place / name).complete
        assert torch.equal(network.state_dict()["box_head.conv5_ctr.bias"], final(tmp_path)["box_head.conv5_ctr.bias"])
    assert list((tmp_path / "tensorboard" / "train" / "lunar" / "baseline").glob("events*"))


def test_the_log_line(tmp_path, caplog):
    caplog.set_level("INFO")
    tiny_run.train(tmp_path, "TRAIN.EPOCH=1")
    number = r"[\d.]+"
    line = rf"\[train: 1, 6 / 6\] FPS: {number} \({number}\)  ,  DataTime: {number} \({number}\)  ,  ForwardTime: "
    line += rf"{number}  ,  TotalTime: {number}  ,  Loss/total: {number}  ,  .*IoU: {number}  ,  .*ETA: 0:00:00"
    assert re.search(line, caplog.text)
    assert re.search(line, (tmp_path / "logs" / "lunar-baseline.log").read_text())
    assert "ETA: 26:01:05" in journal.log_line(1, 1, 2, 1, 1, (0, 1, 1), {}, 26 * 3600 + 65)


def test_random_numbers_depend_on_seed_step_and_process():
    seeds = {step_seed(seed, number, rank) for seed in range(10) for number in range(100) for rank in range(4)}
    assert len(seeds) == 4000


def test_too_few_samples(tmp_path):
    with pytest.raises(UserError, match="SAMPLE_PER_EPOCH 24 does not fill one step of 32"):
        tiny_run.train(tmp_path, "TRAIN.BATCH_SIZE=32")


def test_a_dry_run_writes_nothing(tmp_path, caplog):
    caplog.set_level("INFO")
    assert tiny_run.train(tmp_path / "out", dry_run=True) == 0
    for word in ("search_images", "(4, 1, 3, 64, 64)", "parameters: 0.17 M", "memory", "backward"):
        assert word in caplog.text
    assert not (tmp_path / "out").exists()
