"""From a configuration to a low-light enhancer."""

from typing import Any

from . import Enhancer, build_enhancer


def build_network(config: Any) -> Enhancer:
    """The enhancer that a configuration of the family `enhancer` describes, with random weights."""
    return from_options(config.MODEL)


def from_options(model: Any) -> Enhancer:
    """The enhancer that a section with the keys of config.sections.LowLight describes, with random weights."""
    options = {"channels": model.CHANNELS, "gate": model.GATE, "average": model.AVERAGE, "strength": model.STRENGTH}
    if model.TYPE == "haze_diffusion":
        options |= {"number": model.STEPS, "depth": model.DEPTH, "guide": model.GUIDE, "denoise": model.DENOISE}
        options |= {"residual": model.RESIDUAL, "form": model.FORM}
    return build_enhancer(model.TYPE, **options)
