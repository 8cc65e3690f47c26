"""What changes the weights: parameter groups, the learning rate over time, freezing, and the averaged copy."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from ...errors import UserError, nearest


def make_optimiser(network: nn.Module, options, multipliers: Mapping[str, float] = MappingProxyType({})) -> AdamW:
    """AdamW over a network's trainable parameters.

    Matrices and convolutions decay. Vectors (norms, biases, scales) and tables of embeddings do not. It is the fused
    version, because that one can leave out a step without asking the device.

    Args:
        network: the module whose parameters learn.
        options: section TRAIN of a configuration, with LR and WEIGHT_DECAY.
        multipliers: {beginning of parameters' names: their learning rate / LR}; the first that fits counts.

    Raises:
        UserError: nothing has a gradient.
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
    """Factor of every learning rate at an optimiser step: a pure function, so there is no state to save.

    It rises linearly to 1 over WARMUP steps. `cosine` then falls along half a cosine to END in the last step. `step`
    multiplies it by DECAY_RATE every LR_DROP_EPOCH epochs.

    Args:
        step: number of the step, from 0.
        steps_per_epoch: how many steps an epoch has.
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
    """Note the full rate of each group as `base_lr`, which `set_rate` scales."""
    for group in optimiser.param_groups:
        group["base_lr"] = group["lr"]


def set_rate(optimiser: Optimizer, factor: float) -> None:
    """Set the rate of each group to its full rate times `factor`, but for a group with `constant` set."""
    for group in optimiser.param_groups:
        group["lr"] = group["base_lr"] * (1 if group.get("constant") else factor)


def step(optimiser: Optimizer, fault: Tensor) -> None:
    """Step, or leave the step out where `fault` (scalar) is 1.

    A fused optimiser decides that on the device. For others this waits for the device.
    """
    if all(group.get("fused") for group in optimiser.param_groups):
        optimiser.found_inf = fault
        optimiser.step()
    elif not fault:
        optimiser.step()


def freeze(network: nn.Module, prefixes: Sequence[str]) -> None:
    """Parameters whose names begin with one of `prefixes` get no gradient. Raises UserError where none does."""
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            hint = nearest(prefix, {name.rpartition(".")[0] for name in names}, 0.3)
            raise UserError(f"TRAIN.FREEZE: no parameter's name begins with {prefix!r}{hint}")
    for name, parameter in network.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)


def set_training(network: nn.Module, prefixes: Sequence[str]) -> None:
    """network.train(), except that frozen normalisations keep their statistics as well."""
    network.train()
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and f"{name}.weight".startswith(tuple(prefixes)):
            module.eval()


@torch.no_grad()
def average(averaged: nn.Module, network: nn.Module, decay: float, step: int) -> None:
    """Move `averaged` a little towards `network`: w <- d w + (1 - d) w', statistics of norms are copied.

    In the first steps d is smaller, (1 + step) / (10 + step), so that the random start is forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
    for kept, new in zip(averaged.buffers(), network.buffers(), strict=True):
        kept.copy_(new)
