"""A training that is broken off at any moment, by anything, goes on as if nothing had happened."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lib.errors import MachineError, UserError
from lib.train.run_training import differences
from lib.train.trainers import checkpoint
from lib.train.trainers.checkpoint import Store
from lib.train.trainers.trainer import Trainer
from tests import processes

sys.path.insert(0, str(Path(__file__).parent))
import tiny_run  # noqa: E402

SCRIPT = Path(__file__).with_name("tiny_run.py")
STEPS, PER_EPOCH = 18, 6


def folder(output):
    return output / "checkpoints" / "train" / "lunar" / "baseline"


def curve(output):
    """What the run said of each step, times left out; floats as hexadecimal text, so that every bit counts."""
    records = [json.loads(line) for line in (output / "logs" / "lunar-baseline.jsonl").read_text().splitlines()]
    return [
        {
            name: value.hex() if isinstance(value, float) else value
            for name, value in record.items()
            if name != "seconds"
        }
        for record in records
    ]


def weights(output):
    """Checksum of the exported weights."""
    state = load_file(folder(output) / "Lunar_final.safetensors")
    return hashlib.sha256(b"".join(value.numpy().tobytes() for _, value in sorted(state.items()))).hexdigest()


def break_off(monkeypatch, step, what):
    """Call `what` in the middle of a step (from 0)."""
    update = Trainer._update

    def broken(self, group):
        if self.step() == step:
            what()
        update(self, group)

    monkeypatch.setattr(Trainer, "_update", broken)


class CrashError(Exception):
    pass


def crash():
    raise CrashError


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    output = tmp_path_factory.mktemp("unbroken")
    assert tiny_run.train(output) == 0
    assert len([one for one in curve(output) if one["event"] == "train"]) == STEPS
    return output


@pytest.mark.parametrize("kills", [1, pytest.param(6, marks=pytest.mark.soak)])
def test_a_sigkill_at_a_random_time_changes_nothing(unbroken, tmp_path, kills):
    log, chance = tmp_path / "logs" / "lunar-baseline.jsonl", random.Random(time.time_ns())

    def steps():
        return len(log.read_text().splitlines()) if log.exists() else 0

    for _ in range(kills):
        process = processes.Started([SCRIPT, tmp_path], os.environ)
        wanted = min(steps() + chance.randint(4, 8), STEPS - 1)  # a checkpoint is made every second step
        while process.poll() is None and steps() < wanted:
            time.sleep(0.002)
        time.sleep(chance.uniform(0, 0.05))
        process.kill()
        assert process.wait() == -signal.SIGKILL
    done = processes.run(SCRIPT, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "going on from" in done.stdout
    assert curve(tmp_path) == curve(unbroken)
    assert weights(tmp_path) == weights(unbroken)


MOMENTS = ["half written", "before the sidecar", "before the rename", "before the folder's sync"]


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_inside_the_writing_of_a_checkpoint(unbroken, tmp_path, monkeypatch, moment):
    """Nothing is cleaned up after SIGKILL; a temporary file that stays is not taken for a checkpoint."""
    names = {"half written": "save", "before the sidecar": "write_text", "before the folder's sync": "_sync_folder"}
    calls = []

    def broken(original):
        def wrapped(*args, **kwargs):
            calls.append(1)
            if len(calls) == 2:  # of _last, which is there already
                if moment == "half written":
                    args[1].write(b"PK half a checkpoint")
                crash()
            return original(*args, **kwargs)

        return wrapped

    with monkeypatch.context() as patch:
        if moment == "before the rename":
            replace = os.replace
            patch.setattr(
                os, "replace", lambda a, b: broken(replace)(a, b) if str(b).endswith(".tar") else replace(a, b)
            )
        else:
            place = torch if moment == "half written" else checkpoint
            patch.setattr(place, names[moment], broken(getattr(place, names[moment])))
        with pytest.raises(CrashError):
            tiny_run.train(tmp_path)
    assert tiny_run.train(tmp_path) == 0
    assert curve(tmp_path) == curve(unbroken) and weights(tmp_path) == weights(unbroken)


def test_going_on_from_every_checkpoint(unbroken, tmp_path, monkeypatch):
    copies, save_last = [], Store.save_last

    def save_and_copy(self, content):
        save_last(self, content)
        copies.append((content["step"], tmp_path / f"{len(copies)}.pth.tar"))
        shutil.copy(self.last, copies[-1][1])

    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_last", save_and_copy)
        assert tiny_run.train(tmp_path / "whole") == 0
    copies += [(PER_EPOCH * epoch, folder(unbroken) / f"Lunar_ep{epoch:04d}.pth.tar") for epoch in (1, 2)]
    assert sorted(step for step, _ in copies) == [2, 4, 6, 8, 10, 12, 12, 14, 16, 18]
    # within an epoch and at its end, of either kind of file; the others are like these
    for number, (step, path) in enumerate(copy for copy in copies if copy[0] in (2, 8, 12, 18)):
        output = tmp_path / f"from{number}"
        assert tiny_run.train(output, resume=str(path)) == 0
        assert weights(output) == weights(unbroken), path
        tail = [one for one in curve(unbroken) if one["step"] > step]
        assert curve(output)[-len(tail) :] == tail or not tail, path


def test_sums_between_two_lines_go_on_too(tmp_path, monkeypatch):
    words = ("TRAIN.PRINT_INTERVAL=4", "TRAIN.SAVE_INTERVAL=3", "TRAIN.EPOCH=2")
    assert tiny_run.train(tmp_path / "whole", *words) == 0
    with monkeypatch.context() as patch, pytest.raises(CrashError):
        break_off(patch, 10, crash)
        tiny_run.train(tmp_path / "broken", *words)
    assert tiny_run.train(tmp_path / "broken", *words) == 0
    assert curve(tmp_path / "broken") == curve(tmp_path / "whole")


def test_clips_with_a_query_go_on_too(tmp_path, monkeypatch):
    """What befalls a clip, the noise of its places and its schedule are drawn anew in the same way."""
    query = ("MODEL.QUERY.ENABLE=true", "DATA.SEARCH.NUMBER=2", "DATA.CLIP.DROP=0.2", "DATA.CLIP.POISON=0.2")
    assert tiny_run.train(tmp_path / "whole", *query) == 0
    with monkeypatch.context() as patch:
        break_off(patch, 13, crash)  # in the last epoch, in which windows follow the network
        with pytest.raises(CrashError):
            tiny_run.train(tmp_path / "broken", *query)
    assert tiny_run.train(tmp_path / "broken", *query) == 0
    assert weights(tmp_path / "broken") == weights(tmp_path / "whole")
    assert curve(tmp_path / "broken")[-1] == curve(tmp_path / "whole")[-1]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_saves_and_leaves(unbroken, tmp_path, monkeypatch, number, code):
    with monkeypatch.context() as patch:
        break_off(patch, 8, lambda: os.kill(os.getpid(), number))
        assert tiny_run.train(tmp_path, "TRAIN.SAVE_INTERVAL=100") == code
    assert checkpoint.read(folder(tmp_path) / "Lunar_last.pth.tar")["step"] == 9
    assert tiny_run.train(tmp_path, "TRAIN.SAVE_INTERVAL=100") == 0
    assert curve(tmp_path) == curve(unbroken) and weights(tmp_path) == weights(unbroken)


def test_the_command_again_after_the_end_says_so(unbroken, caplog):
    caplog.set_level("INFO")
    before = weights(unbroken)
    assert tiny_run.train(unbroken) == 0
    assert "epoch 3 of 3 is finished" in caplog.text and weights(unbroken) == before


def test_damaged_checkpoints_are_named_and_the_one_before_is_taken(unbroken, tmp_path, caplog):
    caplog.set_level("INFO")
    assert tiny_run.train(tmp_path) == 0
    third, second = (folder(tmp_path) / f"Lunar_ep{epoch:04d}.pth.tar" for epoch in (3, 2))
    third.write_bytes(third.read_bytes()[:-1000])
    data = bytearray(second.read_bytes())
    data[len(data) // 2] ^= 4
    second.write_bytes(data)
    assert tiny_run.train(tmp_path) == 0
    for path in (third, second):
        assert f"not usable: {path}: damaged checkpoint" in caplog.text
    assert "Lunar_ep0001.pth.tar (epoch 1, step 6)" in caplog.text
    assert curve(tmp_path) == curve(unbroken) and weights(tmp_path) == weights(unbroken)


def test_every_kind_of_damage_is_noticed(unbroken, tmp_path):
    whole = (folder(unbroken) / "Lunar_ep0003.pth.tar").read_bytes()
    path, chance = tmp_path / "x.pth.tar", random.Random(0)
    path.with_name("x.pth.tar.sha256").write_text(f"{hashlib.sha256(whole).hexdigest()}  x.pth.tar\n")
    path.write_bytes(whole)
    assert checkpoint.read(path)["epoch"] == 3
    damaged = [whole[: len(whole) * part // 20] for part in range(20)] + [b"<!DOCTYPE html><html></html>", whole + b"x"]
    for _ in range(40):
        place, bit = chance.randrange(len(whole)), chance.randrange(8)
        damaged.append(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
    for data in damaged:
        path.write_bytes(data)
        with pytest.raises(UserError, match="damaged checkpoint"):
            checkpoint.read(path)
    torch.save({"net": {}, "epoch": 1}, path)
    with pytest.raises(UserError, match="no checkpoint of this trainer"):
        checkpoint.read(path, verify=False)
    path.with_name("x.pth.tar.sha256").unlink()
    with pytest.raises(UserError, match="no checksum"):
        checkpoint.read(path)


def test_nothing_good_left_is_an_error_not_a_new_start(tmp_path):
    folder(tmp_path).mkdir(parents=True)
    (folder(tmp_path) / "Lunar_ep0001.pth.tar").write_bytes(b"no")
    with pytest.raises(UserError, match="--resume never"):
        tiny_run.train(tmp_path)


def test_a_checkpoint_is_tensors_and_plain_types(unbroken):
    content = torch.load(folder(unbroken) / "Lunar_ep0003.pth.tar", weights_only=True)
    assert {"net", "raw", "helpers", "optimisers", "scaler", "epoch", "step", "best", "config", "versions"} <= set(
        content
    )
    assert type(content["config"]) is dict and type(content["config"]["DATA"]["MEAN"]) is list
    assert content["best"]["epoch"] in (2, 3)


def test_another_configuration_is_named(unbroken, tmp_path, caplog):
    with pytest.raises(UserError, match=r"TRAIN.LR: 0.001 -> 0.01\. --resume never") as error:
        tiny_run.train(unbroken, "TRAIN.LR=0.01", "TRAIN.NUM_WORKER=1", "TRAIN.PRINT_INTERVAL=3")
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="--seed: 42 -> 7"):
        tiny_run.train(unbroken, seed=7)
    caplog.set_level("INFO")
    first = folder(unbroken) / "Lunar_ep0001.pth.tar"
    assert tiny_run.train(tmp_path, "TRAIN.LR=0.01", "TRAIN.EPOCH=2", resume=str(first)) == 0
    assert "not as in the checkpoint: TRAIN.EPOCH: 3 -> 2; TRAIN.LR: 0.001 -> 0.01" in caplog.text
    assert [one["step"] for one in curve(tmp_path) if one["event"] == "train"] == list(range(7, 13))
    assert tiny_run.train(tmp_path, "TRAIN.EPOCH=1", resume="never") == 0
    assert (folder(tmp_path) / "previous_1" / "Lunar_ep0002.pth.tar").exists()
    assert [path.name for path in folder(tmp_path).glob("*.tar")] == ["Lunar_ep0001.pth.tar"]


def test_an_optimiser_of_another_order_of_parameters_is_noticed(unbroken, tmp_path):
    path = tmp_path / "x.pth.tar"
    content = torch.load(folder(unbroken) / "Lunar_ep0001.pth.tar", weights_only=True)
    states = content["optimisers"]["network"]["state"]
    first = next(n for n in states if states[n]["exp_avg"].shape != states[0]["exp_avg"].shape)
    states[0], states[first] = states[first], states[0]
    torch.save(content, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name("x.pth.tar.sha256").write_text(f"{digest}  x.pth.tar\n")
    with pytest.raises(UserError, match="parameters in another order"):
        tiny_run.train(tmp_path, resume=str(path))


def test_the_last_few_and_the_best_are_kept(tmp_path):
    scores = iter([0.1, 0.9, 0.2, 0.3, 0.4, 0.5])
    assert (
        tiny_run.train(
            tmp_path,
            "TRAIN.EPOCH=6",
            "TRAIN.KEEP=2",
            "TRAIN.VAL_EPOCH_INTERVAL=1",
            "TRAIN.VAL_FRAMES=1",
            "DATA.TRAIN.SAMPLE_PER_EPOCH=4",
            validate_tracking=lambda network, config: {"AUC": next(scores)},
        )
        == 0
    )
    kept = sorted(path.name for path in folder(tmp_path).glob("*.tar"))
    assert kept == [f"Lunar_ep{epoch:04d}.pth.tar" for epoch in (2, 5, 6)]


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path):
    path = tmp_path / "x.pth.tar"
    checkpoint.write(path, {"net": {}, "optimisers": {}, "epoch": 1, "step": 5})
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (200_000,) * 2)\n"
        "import torch; from pathlib import Path; from lib import cli; from lib.train.trainers import checkpoint\n"
        "content = {'net': {'a': torch.zeros(10**6)}, 'optimizer': {}, 'epoch': 2, 'step': 9}\n"
        "sys.exit(cli.command(lambda argv: checkpoint.write(Path(sys.argv[2]), content))([]))\n"
    )
    words = [sys.executable, "-c", code, SCRIPT.parents[2], path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == MachineError.exit_code, done.stderr
    assert done.stderr.startswith(f"lunar: error: {path}: cannot write") and done.stderr.count("\n") == 1
    assert checkpoint.read(path)["step"] == 5
    assert sorted(file.name for file in tmp_path.iterdir()) == ["x.pth.tar", "x.pth.tar.sha256"]


def test_a_key_that_no_longer_exists_counts_by_the_value_it_now_always_has():
    made = {"config": {"TRAIN": {"LR": 0.1, "OLD": 2}}, "seed": 1, "processes": 1}
    now = {"TRAIN": {"LR": 0.1}}
    assert differences(made, now, 1, 1, {"TRAIN.OLD": 2, "TRAIN.OLDER": 3}) == []
    assert differences(made, now, 1, 1, {"TRAIN.OLD": 5}) == ["TRAIN.OLD: 2 -> 5"]
    assert differences(made, now, 1, 1) == ["TRAIN.OLD: 2 -> None"]
