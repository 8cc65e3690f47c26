"""The stages of the network, which engines other than torch can run."""

import torch
from torch import Tensor, nn

from ...contracts import Stage
from ..parts.transformer import Tokens
from .model import Stark

COUNT = 2  # batch size of example inputs; torch's exporter would treat a batch size of 1 as a constant


class Encode(nn.Module):
    """`encode` of a network. It returns the three tensors of the Tokens."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, padding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return tuple(self.network.encode(images, padding))


class Track(nn.Module):
    """`Stark.encode` of the search crop, then `Stark.track`.

    Inputs are the search crop, its padding, and three tensors of each template's Tokens. Outputs are the boxes, and the
    logits if there is a classification head.
    """

    def __init__(self, network: Stark) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, padding: Tensor, *templates: Tensor) -> tuple[Tensor, ...]:
        seen = [Tokens(*templates[first : first + 3]) for first in range(0, len(templates), 3)]
        output = self.network.track(seen, self.network.encode(images, padding))
        return (output.boxes_xyxy,) if output.logits is None else (output.boxes_xyxy, output.logits)


def stages(network: Stark, template_size: int, search_size: int, templates: int) -> list[Stage]:
    """The two stages of a network: encode a template, and track a frame.

    Args:
        network: the network.
        template_size, search_size: sides of the crops, px.
        templates: number of templates.
    """
    tokens = {f"{name}_{i}": t for i in range(templates) for name, t in template_tokens(network, template_size).items()}
    return [
        template_stage(network, template_size),
        Stage(
            name="track",
            module=Track(network),
            inputs=crop_inputs(network, search_size) | tokens,
            engines=frozenset({"onnx", "int8", "compile"}),
            part="network",
            inner=parts(network),
            rest="network",
            frames=1,
        ),
    ]


def template_stage(network: nn.Module, size: int) -> Stage:
    """The stage that encodes templates with sides of `size` px."""
    return Stage(
        name="template",
        module=Encode(network),
        inputs=crop_inputs(network, size),
        engines=frozenset({"onnx"}),
        part="template",
        starts=1,
    )


def parts(network: nn.Module) -> dict[str, tuple[nn.Module, ...]]:
    """The parts by which a profile lists the time of a frame; see Stage.inner."""
    return {"network": (network.normalise, network.backbone[0], network.bottleneck), "head": (network.box_head,)}


def crop_inputs(network: nn.Module, size: int) -> dict[str, Tensor]:
    """Example inputs: crops with sides of `size` px, and their padding."""
    device = network.normalise.mean.device
    images = torch.zeros(COUNT, 3, size, size, dtype=torch.uint8, device=device)
    return {"images": images, "padding": torch.zeros(COUNT, size, size, dtype=torch.bool, device=device)}


def template_tokens(network: nn.Module, size: int) -> dict[str, Tensor]:
    """Example inputs: the tensors of a template's Tokens, for crops with sides of `size` px."""
    with torch.no_grad():
        tokens = network.encode(*crop_inputs(network, size).values())
    # They are cloned because the exporter treats equal tensors as one input.
    return {f"template_{name}": tensor.clone() for name, tensor in tokens._asdict().items()}
