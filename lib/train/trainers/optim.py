"""Optimisation: parameter groups, learning rate schedule, freezing, and averaged weights."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ...errors import UserError, nearest


def make_optimiser(network: nn.Module, options, multipliers: Mapping[str, float] = MappingProxyType({})) -> AdamW:
    """AdamW over a network's trainable parameters.

    Matrices and convolutions have weight decay. Vectors (norms, biases, scales) and embedding tables have none. The
    fused version is used, because it can skip a step without waiting for the device.

    Args:
        network: the module to train.
        options: section TRAIN of a configuration, with LR and WEIGHT_DECAY.
        multipliers: {prefix of parameter names: their learning rate / LR}. The first matching prefix counts.

    Raises:
        UserError: no parameter requires a gradient.
    """
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    groups: dict = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            part = next((prefix for prefix in multipliers if name.startswith(prefix)), "")
            decays = name.endswith("weight") and parameter.ndim > 1 and id(parameter) not in tables
            groups.setdefault((part, decays), []).append(parameter)
    if not groups:
        raise UserError("TRAIN.FREEZE leaves nothing to train")
    settings = []
    for (part, decays), parameters in groups.items():
        decay = options.WEIGHT_DECAY if decays else 0.0
        settings.append({"params": parameters, "lr": options.LR * multipliers.get(part, 1), "weight_decay": decay})
    return AdamW(settings, fused=True)


def rate(step: int, steps_per_epoch: int, options) -> float:
    """Factor of every learning rate at an optimiser step. It is a pure function, so there is no state to save.

    It rises linearly to 1 over WARMUP steps. `cosine` then falls along half a cosine to END in the last step. `step`
    multiplies it by DECAY_RATE every LR_DROP_EPOCH epochs.

    Args:
        step: number of the step, from 0.
        steps_per_epoch: number of steps in an epoch.
        options: section TRAIN of a configuration.
    """
    schedule = options.SCHEDULER
    warmup, last = schedule.WARMUP, options.EPOCH * steps_per_epoch - 1
    if step < warmup:
        return (step + 1) / warmup
    if schedule.TYPE == "step":
        return schedule.DECAY_RATE ** (step // steps_per_epoch // schedule.LR_DROP_EPOCH)
    progress = min((step - warmup) / max(last - warmup, 1), 1.0)
    return schedule.END + (1 - schedule.END) * (1 + math.cos(math.pi * progress)) / 2


def remember_rates(optimiser: Optimizer) -> None:
    """Store the full learning rate of each group as `base_lr`, which `set_rate` scales."""
    for group in optimiser.param_groups:
        group["base_lr"] = group["lr"]


def set_rate(optimiser: Optimizer, factor: float) -> None:
    """Set the learning rate of each group to its full rate times `factor`, except for groups with `constant`."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * (1 if group.get("constant") else factor)


def step(optimiser: Optimizer, fault: Tensor) -> None:
    """Make an optimiser step unless `fault` (scalar) is 1.

    A fused optimiser decides this on the device. For others this function waits for the device.
    """
    if all(group.get("fused") for group in optimiser.param_groups):
        optimiser.found_inf = fault
        optimiser.step()
    elif not fault:
        optimiser.step()


def freeze(network: nn.Module, prefixes: Sequence[str]) -> None:
    """Turn off the gradients of all parameters whose names start with one of `prefixes`.

    Raises:
        UserError: no name starts with one of the prefixes.
    """
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            hint = nearest(prefix, {name.rpartition(".")[0] for name in names}, 0.3)
            raise UserError(f"TRAIN.FREEZE: no parameter's name begins with {prefix!r}{hint}")
    for name, parameter in network.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)


def set_training(network: nn.Module, prefixes: Sequence[str]) -> None:
    """Call network.train(), but keep frozen batch norms in evaluation mode, so that their statistics stay fixed."""
    network.train()
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and f"{name}.weight".startswith(tuple(prefixes)):
            module.eval()


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Update averaged weights: w <- d w + (1 - d) w', where w' are those of `network`. Buffers are copied.

    In the first steps d is smaller, (1 + step) / (10 + step), so that the initial weights are forgotten quickly.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
    for kept, new in zip(averaged.buffers(), network.buffers(), strict=True):
        kept.copy_(new)
