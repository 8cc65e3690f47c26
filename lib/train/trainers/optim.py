"""What changes the weights: parameter groups, the learning rate over time, freezing, and the averaged copy."""

import math

import torch
from torch import nn

from ...errors import UserError, nearest

# Parts of a network with a learning rate of their own; of two that fit the first counts.
PARTS = {
    "backbone.patch_embed.trunk.": "TRUNK_MULTIPLIER",
    "backbone.": "BACKBONE_MULTIPLIER",
    "box_head.": "HEAD_MULTIPLIER",
}


def make_optimizer(network, options):
    """AdamW over a network's trainable parameters; each group carries its full rate as `base_lr`.

    Each of PARTS has a rate of LR times its multiplier. Matrices and convolutions decay;
    vectors (norms, biases, scales) and tables of embeddings do not. `fused`, because that version can leave a step out
    without asking the device.
    """
    tables = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    groups = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            part = next((prefix for prefix in PARTS if name.startswith(prefix)), "")
            decays = name.endswith("weight") and parameter.ndim > 1 and id(parameter) not in tables
            groups.setdefault((part, decays), []).append(parameter)
    if not groups:
        raise UserError("TRAIN.FREEZE leaves nothing to train")
    settings = []
    for (part, decays), parameters in groups.items():
        rate = options.LR * (options[PARTS[part]] if part else 1)
        decay = options.WEIGHT_DECAY if decays else 0.0
        settings.append({"params": parameters, "lr": rate, "base_lr": rate, "weight_decay": decay})
    return torch.optim.AdamW(settings, fused=True)


def rate(step, steps_per_epoch, options):
    """Factor of every learning rate at an optimiser step (from 0): a pure function, so there is no state to save.

    It rises linearly to 1 over WARMUP steps. `cosine` then falls along half a cosine to END in the last step; `step` is
    DECAY_RATE to the number of times LR_DROP_EPOCH epochs are over.
    """
    schedule = options.SCHEDULER
    warmup, last = schedule.WARMUP, options.EPOCH * steps_per_epoch - 1
    if step < warmup:
        return (step + 1) / warmup
    if schedule.TYPE == "step":
        return schedule.DECAY_RATE ** (step // steps_per_epoch // schedule.LR_DROP_EPOCH)
    progress = min((step - warmup) / max(last - warmup, 1), 1.0)
    return schedule.END + (1 - schedule.END) * (1 + math.cos(math.pi * progress)) / 2


def set_rate(optimizer, factor):
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


def freeze(network, prefixes):
    """Parameters whose names begin with one of `prefixes` get no gradient. Raises UserError where none does."""
    names = [name for name, _ in network.named_parameters()]
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            hint = nearest(prefix, {name.rpartition(".")[0] for name in names}, 0.3)
            raise UserError(f"TRAIN.FREEZE: no parameter's name begins with {prefix!r}{hint}")
    for name, parameter in network.named_parameters():
        if name.startswith(tuple(prefixes)):
            parameter.requires_grad_(False)


def set_training(network, prefixes):
    """network.train(), except that frozen normalisations keep their statistics as well."""
    network.train()
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and f"{name}.weight".startswith(tuple(prefixes)):
            module.eval()


@torch.no_grad()
def average(averaged, network, decay, step):
    """Move `averaged` a little towards `network`: w <- d w + (1 - d) w', statistics of norms are copied.

    In the first steps d is smaller, (1 + step) / (10 + step), so that the random start is forgotten.
    """
    decay = min(decay, (1 + step) / (10 + step))
    torch._foreach_lerp_(list(averaged.parameters()), list(network.parameters()), 1 - decay)
    for kept, new in zip(averaged.buffers(), network.buffers(), strict=True):
        kept.copy_(new)
