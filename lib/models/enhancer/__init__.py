"""Low-light enhancers: images in [0, 1] in, images out, behind one interface and in one kind of file."""

import json
import os
from pathlib import Path

import safetensors
import torch

from ...errors import UserError
from ..parts.weights import save_weights
from .base import GATE, Enhancer
from .diffusion import HazeDiffusion
from .rivals import Average, Blur, BlurGamma, Clahe, Curve, DarkChannel, Gamma, SelfCalibrated

__all__ = ["GATE", "TYPES", "UNTRAINED", "Enhancer", "build_enhancer", "load_enhancer", "save_enhancer"]

_CLASSES = (HazeDiffusion, Curve, SelfCalibrated, Average, Gamma, Blur, BlurGamma, Clahe, DarkChannel)
TYPES = {each.type: each for each in _CLASSES}
UNTRAINED = tuple(name for name in TYPES if name not in ("haze_diffusion", "curve", "sci"))


def build_enhancer(type, **options):
    """An Enhancer of TYPES. Raises ValueError for another type or options that it does not have."""
    if type not in TYPES:
        raise ValueError(f"enhancer {type!r}: expected one of {', '.join(TYPES)}")
    try:
        return TYPES[type](**options)
    except TypeError as error:
        raise ValueError(f"enhancer {type}: {error}") from None


def save_enhancer(path, enhancer, **about):
    """Write an enhancer's weights and what it is to a .safetensors file, whole or not at all. about: further texts."""
    made = json.dumps({"type": enhancer.type, "options": enhancer.options})
    save_weights(path, enhancer.state_dict(), **about, enhancer=made)


def load_enhancer(name_or_path):
    """An enhancer by the name of one that needs no training (UNTRAINED) or from a file.

    A file is a .safetensors file of `save_enhancer`'s, or a .pt file as SCI was released. Raises UserError for anything
    else.
    """
    if str(name_or_path) in UNTRAINED:
        return build_enhancer(str(name_or_path)).eval()
    path = Path(os.path.expanduser(name_or_path))
    hint = f"expected an enhancer's .safetensors file, or one of {', '.join(UNTRAINED)}"
    if not path.is_file():
        raise UserError(f"no such file; {hint}", path)
    if path.suffix == ".pt":
        return _released(path, hint)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            made = json.loads((file.metadata() or {}).get("enhancer", "null"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- no dict
    except Exception as error:  # a parser of hostile bytes
        raise UserError(f"cannot be read ({str(error).splitlines()[0][:120]}); {hint}", path) from error
    try:
        return _restore(made, state).eval()
    except (TypeError, KeyError, ValueError, RuntimeError, OverflowError) as error:
        raise UserError(f"{str(error).splitlines()[0][:200]}; {hint}", path) from None


def _released(path, hint):
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return SelfCalibrated.from_release(state).eval()
    except Exception as error:  # a parser of hostile bytes
        raise UserError(
            f"not a network of SCI ({(str(error) or repr(error)).splitlines()[0][:120]}); {hint}", path
        ) from error


def _restore(made, state):
    if not isinstance(made, dict) or not {"type", "options"} <= made.keys():
        raise ValueError("holds no enhancer")
    with torch.device("meta"):  # absurd sizes take no memory
        expected = build_enhancer(made["type"], **made["options"]).state_dict()
    for name in sorted({*expected, *state}):
        if name not in expected or name not in state or expected[name].shape != state[name].shape:
            raise ValueError(f"{name} is not as an enhancer {made['type']} with these options has it")
        if not state[name].isfinite().all():
            raise ValueError(f"{name} holds NaN or infinite values")
    enhancer = build_enhancer(made["type"], **made["options"])
    enhancer.load_state_dict(state)
    return enhancer
