"""Progress of a training, the sums of its logged values, and the content of checkpoints."""

import time
from typing import NamedTuple

import torch

from ...errors import UserError


class Faults(NamedTuple):
    """Steps with NaN or Inf. Steps are numbered from 0; -1 stands for none.

    Attributes:
        first: the first such step since the last call.
        last: the last such step.
        in_row: number of consecutive ones up to now.
    """

    first: int
    last: int
    in_row: int


class Progress:
    """Epoch (from 1), its finished steps `done`, the best validation, and sums of the logged values on the device.

    The sums are part of a checkpoint, so a resumed run logs the same lines as an uninterrupted one.
    """

    def __init__(self, device):
        self.epoch, self.done = 1, 0
        self.best = {"epoch": -1, "value": 0.0, "name": ""}
        self.device, self.names = device, None
        # (2, K + 1): sums since the last log line and in this epoch; the last column counts valid steps.
        self._sums = None
        # First and last faulty step, number in a row, number in all.
        self._faults = torch.tensor([-1, -1, 0, 0], device=device)
        self._row_ends = torch.tensor([1, 1, 0, 1], device=device)

    def add(self, step, names, values, fault):
        """Add a step: values (K,), and fault, 1.0 for a skipped step, else 0.0. Both are on the device."""
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
        """The Faults so far. Waits for the device."""
        first, last, in_row, _ = self._faults.tolist()
        self._faults[0] = -1
        return Faults(first, last, in_row)

    def means(self):
        """({name: mean since the last call}, {name: mean in this epoch}, skipped steps). Waits for the device."""
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
    """The content of a Trainer's checkpoint: everything that the next step depends on, as tensors and plain types.

    Args:
        trainer: the Trainer.
        finished: whether the epoch and its validation are finished.

    Raises:
        UserError: some weights are not finite.
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
    """Restore a Trainer from a snapshot.

    Checkpoints of version 0.1 contain only the network's optimiser, and no helpers.

    Raises:
        UserError: the snapshot is of another network or of other optimisers.
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
    if content["steps_per_epoch"] != trainer.steps:  # --resume FILE may change the batch size
        trainer.progress.done = trainer.progress.done * trainer.steps // content["steps_per_epoch"]
    if content["finished"]:
        trainer.progress.next_epoch()


def _restore_optimiser(optimiser, state):
    today = [{name: group[name] for name in ("base_lr", "weight_decay")} for group in optimiser.param_groups]
    optimiser.load_state_dict(state)
    for parameter, values in optimiser.state.items():  # torch matches parameters only by their order
        if any(value.ndim and value.shape != parameter.shape for value in values.values() if torch.is_tensor(value)):
            raise ValueError("its optimiser has the parameters in another order")
    for group, rates in zip(optimiser.param_groups, today, strict=True):
        group.update(rates)  # --resume FILE may change them


class Clock:
    """Seconds that steps wait for data and compute, summed between two log lines."""

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
        """Seconds per step since the last call: (waiting for data, computing, both)."""
        steps, data, work = self.steps, self.data, self.work
        self.data = self.work = 0.0
        self.steps = 0
        return data / steps, work / steps, (data + work) / steps


def plain(value):
    """Convert a configuration to dicts, lists and plain values for a checkpoint."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    return [plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
