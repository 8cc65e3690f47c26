"""How far a training is, what its steps said, and all of it as the content of a checkpoint."""

import time
from typing import NamedTuple

import torch

from ...errors import UserError


class Faults(NamedTuple):
    """Steps (from 0) with NaN or Inf: the first since the last call and the last, -1 for none; how many in a row."""

    first: int
    last: int
    in_row: int


class Progress:
    """Position (epoch from 1, `done` steps of it), the best validation, and sums of the steps' values on the device.

    The sums are part of a checkpoint, so that the lines of a resumed run are those of an unbroken one.
    """

    def __init__(self, device):
        self.epoch, self.done = 1, 0
        self.best = {"epoch": -1, "value": 0.0, "name": ""}
        self.device, self.names = device, None
        self._sums = None  # (2, K + 1): since the last line and in this epoch; last column: steps that count
        # first and last faulty step, how many in a row, how many at all
        self._faults = torch.tensor([-1, -1, 0, 0], device=device)
        self._row_ends = torch.tensor([1, 1, 0, 1], device=device)

    def add(self, step, names, values, fault):
        """Note a step: values (K,), and fault, 1.0 if it was left out, else 0.0; both on the device."""
        if self._sums is None:
            if len(set(names)) < len(names):
                raise ValueError(f"an actor logs one name twice: {names}")
            self.names, self._sums = names, torch.zeros(2, len(names) + 1, dtype=torch.float64, device=self.device)
        good = fault == 0
        self._sums += torch.cat([torch.where(good, values, 0.0), good[None].float()])
        first, _, in_row, count = self._faults
        number = torch.full_like(first, step)
        self._faults = torch.where(
            good,
            self._faults * self._row_ends,
            torch.stack([torch.where(first < 0, number, first), number, in_row + 1, count + 1]),
        )

    def faults(self):
        """The Faults so far; waits for the device."""
        first, last, in_row, _ = self._faults.tolist()
        self._faults[0] = -1
        return Faults(first, last, in_row)

    def means(self):
        """({name: mean since the last call}, {name: mean in this epoch}, steps left out); waits for the device."""
        recent, epoch = self._sums.tolist()
        self._sums[0] = 0
        named = [
            dict(zip(self.names, (value / max(row[-1], 1) for value in row[:-1]), strict=True))
            for row in (recent, epoch)
        ]
        return (*named, int(self._faults[3]))

    def next_epoch(self):
        self.epoch, self.done = self.epoch + 1, 0
        if self._sums is not None:
            self._sums.zero_()

    def state(self):
        """Plain values and tensors, for `restore`."""
        sums, faults = self._sums, self._faults.cpu()
        return {
            "epoch": self.epoch,
            "step_in_epoch": self.done,
            "best": dict(self.best),
            "told": {"names": self.names, "sums": None if sums is None else sums.cpu(), "faults": faults},
        }

    def restore(self, state):
        self.epoch, self.done, self.best = state["epoch"], state["step_in_epoch"], dict(state["best"])
        told = state["told"]
        self.names = told["names"]
        self._sums = None if told["sums"] is None else told["sums"].to(self.device)
        self._faults = told["faults"].to(self.device)


def snapshot(trainer, finished=False):
    """The content of a Trainer's checkpoint: tensors and plain types, all that the next step depends on.

    finished: the epoch is over, its validation too. Raises UserError for weights that are not finite.
    """
    state = trainer.network.state_dict()
    helpers = {name: dict(helper.state_dict()) for name, helper in trainer.helpers.items()}
    for each in (state, *helpers.values()):
        for name, value in each.items():
            if not value.isfinite().all():
                raise UserError(f"{name} is NaN or Inf at step {trainer.step()}; no checkpoint of it is written")
    averaged = trainer.averaged
    return {
        "net": dict(averaged.state_dict() if averaged else state),  # what tracks
        "raw": dict(state) if averaged else None,  # what trains, where that is not the same
        "helpers": helpers,
        "optimisers": {name: optimiser.state_dict() for name, optimiser in trainer.optimisers.items()},
        "scaler": trainer.scaler.state_dict(),
        "step": trainer.step(),
        "steps_per_epoch": trainer.steps,
        "finished": finished,
        "seed": trainer.seed,
        "processes": trainer.world,
        "config": plain(trainer.config),
        "versions": {"torch": torch.__version__.split("+")[0]},
        **trainer.progress.state(),
    }


def restore(trainer, content):
    """Put a Trainer where a snapshot was made. Raises UserError where that is of another network or other optimisers.

    Checkpoints of version 0.1 have the state of one optimiser, that of the network, and no helpers.
    """
    optimisers = content["optimisers"] if "optimisers" in content else {"network": content["optimizer"]}
    helpers = content.get("helpers", {})
    try:
        trainer.network.load_state_dict(content["net"] if content["raw"] is None else content["raw"])
        if trainer.averaged is not None:
            trainer.averaged.load_state_dict(content["net"])
        for what, here, there in (
            ("helpers", trainer.helpers, helpers),
            ("optimisers", trainer.optimisers, optimisers),
        ):
            if set(here) != set(there):
                raise ValueError(f"{what} {', '.join(there) or 'none'}, expected {', '.join(here) or 'none'}")
        for name, helper in trainer.helpers.items():
            helper.load_state_dict(helpers[name])
        for name, optimiser in trainer.optimisers.items():
            _restore_optimiser(optimiser, optimisers[name])
    except (RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"the checkpoint is of another network or optimiser: {reason}") from error
    if content["scaler"] or not trainer.scaler.is_enabled():
        trainer.scaler.load_state_dict(content["scaler"])
    trainer.progress.restore(content)
    if content["steps_per_epoch"] != trainer.steps:  # likewise
        trainer.progress.done = trainer.progress.done * trainer.steps // content["steps_per_epoch"]
    if content["finished"]:
        trainer.progress.next_epoch()


def _restore_optimiser(optimiser, state):
    today = [{name: group[name] for name in ("base_lr", "weight_decay")} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for parameter, values in optimiser.state.items():  # torch goes by their order alone
        if any(value.ndim and value.shape != parameter.shape for value in values.values() if torch.is_tensor(value)):
            raise ValueError("its optimiser has the parameters in another order")
    for group, rates in zip(optimiser.param_groups, today, strict=True):
        group.update(rates)  # --resume FILE may change them


class Clock:
    """Seconds a step waits for data and works, summed between two log lines."""

    def __init__(self):
        self.data = self.work = 0.0
        self.steps = 0

    def begin(self):
        self.mark = time.monotonic()

    def data_came(self):
        self.mark, began = time.monotonic(), self.mark
        self.data += self.mark - began

    def step_ended(self):
        self.work += time.monotonic() - self.mark
        self.steps += 1

    def take(self):
        """(waiting, working, whole) seconds a step since the last call."""
        steps, data, work = self.steps, self.data, self.work
        self.data = self.work = 0.0
        self.steps = 0
        return data / steps, work / steps, (data + work) / steps


def plain(value):
    """A configuration as dicts, lists and plain values, which a checkpoint may hold."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
