"""The training loop."""

import collections
import contextlib
import copy
import signal
import time
import zlib
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ...contracts import Actor
from ...errors import UserError
from ..admin import distributed
from ..admin.journal import Journal, log_line
from ..data import epoch_batches, make_loader
from ..data.samples import Samples
from . import optim
from .checkpoint import Store
from .state import Clock, Progress, snapshot

STUCK = 50  # training stops after this many consecutive skipped steps
BAD_FRAMES = (10, 0.001)  # tolerated samples with unreadable frames: this many, or this share of all samples if larger


class Trainer:
    """Trains an actor's network from its current `progress`.

    Samples, learning rate and random numbers depend only on (seed, step, rank). A checkpoint therefore resumes exactly.

    Args:
        actor: network, losses and optimisers.
        config: its configuration.
        train_set, val_set: training and validation samples; val_set may be None.
        store: writes checkpoints.
        journal: writes the log.
        device: device of the networks.
        seed: seed of samples and random numbers.
        validate_tracking: function from (network, config) to {name: score} for closed-loop validation, or None. The
            first score selects the best epoch.
    """

    def __init__(
        self,
        actor: Actor,
        config,
        train_set: Samples,
        val_set: Samples | None,
        *,
        store: Store,
        journal: Journal,
        device: torch.device,
        seed: int,
        validate_tracking: Callable[[nn.Module, Any], dict[str, float]] | None = None,
    ):
        self.actor, self.config, self.options = actor, config, config.TRAIN
        self.train_set, self.val_set, self.validate_tracking = train_set, val_set, validate_tracking
        self.store, self.journal, self.device, self.seed = store, journal, device, seed
        self.rank, self.world = distributed.rank(), distributed.world()

        self.network, self.helpers = actor.network, dict(actor.helpers)
        modules = [self.network, *self.helpers.values()]
        distributed.broadcast([value for module in modules for value in (*module.parameters(), *module.buffers())])
        optim.freeze(self.network, self.options.FREEZE)
        self.averaged = copy.deepcopy(self.network).requires_grad_(False).eval() if self.options.EMA else None
        self.optimisers = dict(actor.optimisers())
        self.parameters = {}  # of each optimiser, in the order of their modules
        for name, optimiser in self.optimisers.items():
            optim.remember_rates(optimiser)
            own = {id(parameter) for group in optimiser.param_groups for parameter in group["params"]}
            self.parameters[name] = [one for module in modules for one in module.parameters() if id(one) in own]
        self.statistics = [value for module in modules for value in module.buffers() if value.is_floating_point()]
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.options.PRECISION == "fp16")

        batches = len(self._batches(epoch=1))
        self.steps = batches // self.options.ACCUM
        if not self.steps:
            needed = self.options.BATCH_SIZE * self.options.ACCUM * self.world
            raise UserError(f"DATA.TRAIN.SAMPLE_PER_EPOCH {len(train_set)} does not fill one step of {needed} samples")
        self.progress = Progress(device)
        self.recent: collections.deque = collections.deque(
            maxlen=(self.options.PRINT_INTERVAL + 1) * self.options.ACCUM
        )
        self.replaced = self.drawn = 0
        self.signal = 0

    def run(self) -> int:
        """Train to the end. Returns 0. After SIGTERM or SIGINT it saves the last step and returns 143 or 130."""
        progress = self.progress
        self.run_began, self.run_steps = time.monotonic(), 0
        while progress.epoch <= self.options.EPOCH:
            if progress.done < self.steps:
                with self._signals_wait():
                    self._train_epoch()
                if self.signal:
                    self._save_last()
                    name = signal.Signals(self.signal).name
                    self.journal.say(f"{name}: saved at step {self.step()}; the same command resumes there")
                    return 128 + self.signal
            self._finish_epoch()
        return 0

    def _train_epoch(self):
        progress, options = self.progress, self.options
        optim.set_training(self.network, options.FREEZE)
        for helper in self.helpers.values():
            helper.train(any(parameter.requires_grad for parameter in helper.parameters()))
        batches = self._batches(progress.epoch)[progress.done * options.ACCUM : self.steps * options.ACCUM]
        loader = iter(make_loader(self.train_set, batches, options.NUM_WORKER, device=self.device))
        clock, epoch_began, first = Clock(), time.monotonic(), progress.done
        while progress.done < self.steps:
            clock.begin()
            try:
                group = [next(loader) for _ in range(options.ACCUM)]
            except UserError:
                if self.signal:  # a signal to the whole process group has ended the loader's workers as well
                    break
                raise
            clock.data_came()
            self._update(group)
            progress.done += 1
            self.run_steps += 1
            if self.device.type == "cpu":  # nothing to wait for
                self._check_finite()
            clock.step_ended()
            if progress.done % options.PRINT_INTERVAL == 0 or progress.done == self.steps:
                self._check_finite()
                self._check_frames()
                self._log(clock.take(), (progress.done - first) / (time.monotonic() - epoch_began))
            if self.step() % options.SAVE_INTERVAL == 0 and progress.done < self.steps:
                self._save_last()
            (self.signal,) = distributed.agree(self.signal)
            if self.signal:
                break

    def _update(self, group):
        """One iteration: all phases of ACCUM batches. It never waits for the device."""
        step, options = self.step(), self.options
        distributed.broadcast(self.statistics)  # all processes use the running statistics of process 0
        before = [buffer.clone() for buffer in self.statistics]
        for optimiser in self.optimisers.values():
            optim.set_rate(optimiser, optim.rate(step, self.steps, options))
        names, values, fault = [], [], torch.zeros((), device=self.device)
        phases = [self._phases(batch, number) for number, batch in enumerate(group)]
        while (phase := self._backward(phases)) is not None:
            optimiser, new_names, totals = phase
            totals, fault = self._step(optimiser, totals, fault)
            names, values = names + new_names, [*values, totals]
        if self.scaler.is_enabled():
            self.scaler.update()
        for buffer, old in zip(self.statistics, before, strict=True):
            buffer.copy_(torch.where(fault > 0, old, buffer))
        if self.averaged is not None:
            optim.average(self.averaged, self.network, options.EMA, step)
        self.progress.add(step, names, torch.cat(values), fault)

    def _phases(self, batch, number):
        """The actor's phases of batch `number` of this iteration. Random numbers are seeded again for each batch."""
        step = self.step()
        self.recent.append((step, batch["name"], batch["frame_ids"]))
        self.replaced, self.drawn = self.replaced + int(batch["replaced"].sum()), self.drawn + len(batch["name"])
        batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        torch.manual_seed(step_seed(self.seed, step * self.options.ACCUM + number, self.rank))
        yield from self.actor.phases(batch)

    def _backward(self, phases):
        """Run the next phase of every batch, forward and backward.

        Returns:
            (name of the optimiser, names of the statistics, their means over the batches), or None if no phase is left.
            The means end with that of the loss, which has no name.
        """
        found, totals = None, 0
        for each in phases:
            phase = next(each, None)
            if phase is not None:
                optimiser, loss, stats = phase
                self.scaler.scale(loss / len(phases)).backward()
                totals = totals + torch.stack([*stats.values(), loss.detach()]) / len(phases)
                found = optimiser, list(stats)
        return found and (*found, totals)

    def _step(self, name, totals, fault):
        """Make a step of one optimiser, unless its phase or an earlier one (`fault`) has NaN or Inf.

        Returns:
            Means of the named statistics over all processes, and the new fault.
        """
        optimiser, parameters = self.optimisers[name], self.parameters[name]
        distributed.average([parameter.grad for parameter in parameters if parameter.grad is not None])
        self.scaler.unscale_(optimiser)
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.options.GRAD_CLIP_NORM or float("inf"))
        # Scaled fp16 gradients overflow sometimes. The scaler then lowers its scale and skips the step.
        wrong = ~totals.isfinite().all() | (~norm.isfinite() if not self.scaler.is_enabled() else False)
        totals = distributed.total(torch.cat([totals, wrong.float()[None]])) / self.world
        fault = torch.maximum(fault, (totals[-1] > 0).float())
        if self.scaler.is_enabled():
            self.scaler.step(optimiser)
        else:
            optim.step(optimiser, fault)
        for each in self.optimisers.values():
            each.zero_grad(set_to_none=True)
        return totals[:-2], fault

    def _check_finite(self):
        """Stop if there was NaN or Inf and TRAIN.NONFINITE is stop, or if too many consecutive steps had NaN or Inf."""
        faults = self.progress.faults()
        stuck = faults.in_row >= STUCK
        if faults.first < 0 or (self.options.NONFINITE == "skip" and not stuck):
            return
        step = faults.last if stuck else faults.first
        samples = [
            f"{self.train_set.names[name]} frames {' '.join(map(str, frames))}"
            for number, names, frame_ids in self.recent
            if number == step
            for name, frames in zip(names.tolist(), frame_ids.tolist(), strict=True)
        ]
        more = f" and {len(samples) - 8} more" if len(samples) > 8 else ""
        hint = f"{STUCK} steps in a row" if stuck else "TRAIN.NONFINITE=skip leaves such steps out"
        epoch, inside = divmod(step, self.steps)
        raise UserError(
            f"NaN or Inf in loss or gradient at step {step + 1} (epoch {epoch + 1}, {inside + 1} / {self.steps}), "
            f"samples: {'; '.join(samples[:8])}{more}. The weights were not changed by it; {hint}"
        )

    def _check_frames(self):
        least, share = BAD_FRAMES
        if self.replaced > max(least, share * self.drawn):
            raise UserError(
                f"{self.replaced} of {self.drawn} samples had frames that cannot be read; mend the data first"
            )

    def _log(self, seconds, steps_per_second):
        progress, epoch = self.progress, self.progress.epoch
        recent, so_far, skipped = progress.means()
        batch = self.options.BATCH_SIZE * self.options.ACCUM * self.world
        left = (self.options.EPOCH * self.steps - self.step()) * (time.monotonic() - self.run_began) / self.run_steps
        self.journal.say(
            log_line(
                epoch,
                progress.done,
                self.steps,
                steps_per_second * batch,
                batch / max(seconds[2], 1e-9),
                seconds,
                so_far,
                left,
            )
            + (f"  ,  Skipped: {skipped}" if skipped else "")
        )
        # All but the last value depend only on the step, so a resumed run writes the same.
        self.journal.record(
            event="train",
            step=self.step(),
            epoch=epoch,
            lr=optim.rate(self.step() - 1, self.steps, self.options) * self.options.LR,
            left_out=skipped,
            **recent,
            seconds=seconds[2],
        )

    def _finish_epoch(self):
        """Validate if due, save the epoch's checkpoint, and start the next epoch."""
        progress, options = self.progress, self.options
        due = progress.epoch % options.VAL_EPOCH_INTERVAL == 0 or progress.epoch == options.EPOCH
        if due and self.val_set is not None:
            self._save_last()  # validation may take long, and may be interrupted
            self._validate()
        if self.rank == 0:
            self.store.save_epoch(snapshot(self, finished=True))
        distributed.agree(0)  # all processes wait while rank 0 validates and saves
        progress.next_epoch()

    def _validate(self):
        with self.averaged_weights():
            self._validate_network()

    @contextlib.contextmanager
    def averaged_weights(self):
        """Context in which the actor's network is the averaged copy, if there is one. Yields the actor."""
        self.actor.network = self.averaged or self.network
        try:
            yield self.actor
        finally:
            self.actor.network = self.network

    def _validate_network(self):
        progress, actor = self.progress, self.actor
        for module in (actor.network, *self.helpers.values()):
            module.eval()
        keys = epoch_batches(len(self.val_set), self.options.BATCH_SIZE, epoch=0, rank=self.rank, world=self.world)
        sums, batch = torch.zeros(len(actor.scores) + 1, device=self.device), None
        for batch in make_loader(self.val_set, keys, self.options.NUM_WORKER, device=self.device):
            batch = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
            sums += torch.stack(actor.validate(batch)).float()
        *totals, count = distributed.total(sums).tolist()
        scores = {name: total / max(count, 1) for name, total in zip(actor.scores, totals, strict=True)}
        if self.rank == 0:
            if batch is not None and (picture := actor.picture(batch)) is not None:
                self.journal.picture(*picture, self.step())
            if self.validate_tracking is not None:
                scores = {**self.validate_tracking(network=copy.deepcopy(actor.network), config=self.config), **scores}
            name, value = next(iter(scores.items()))
            if progress.best["epoch"] < 0 or value > progress.best["value"]:
                progress.best = {"epoch": progress.epoch, "value": value, "name": name}
            text = "  ,  ".join(f"{name}: {value:.5f}" for name, value in scores.items())
            best = f"best {progress.best['name']} {progress.best['value']:.5f} in epoch {progress.best['epoch']}"
            self.journal.say(f"[val: {progress.epoch}] {text}  ,  {best}")
            self.journal.record(event="val", step=self.step(), epoch=progress.epoch, **scores)

    def _save_last(self):
        if self.rank == 0:
            self.store.save_last(snapshot(self))

    def step(self) -> int:
        """Number of optimiser steps since the start of the training."""
        return (self.progress.epoch - 1) * self.steps + self.progress.done

    def _batches(self, epoch):
        samples, size = len(self.train_set), self.options.BATCH_SIZE
        return epoch_batches(samples, size, epoch=epoch, rank=self.rank, world=self.world)

    @contextlib.contextmanager
    def _signals_wait(self):
        """Context in which SIGTERM and SIGINT take effect after the current step. A second signal acts immediately."""
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def wait(number, _frame):
            self.signal = number
            signal.signal(number, before[number])

        for number in before:
            signal.signal(number, wait)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def step_seed(seed: int, number: int, rank: int) -> int:
    """Seed of the random numbers inside the network for batch `number` of a run in process `rank`."""
    return zlib.crc32(f"{seed} {number} {rank}".encode())
