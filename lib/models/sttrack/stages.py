"""The stages of the network, which engines other than torch can run. The query is passed as tensors."""

from torch import Tensor, nn

from ...contracts import Stage
from ..parts.transformer import Tokens
from ..stark.stages import COUNT, crop_inputs, parts, template_stage, template_tokens
from .memory import QueryState
from .model import STTrack


class Track(nn.Module):
    """`STTrack.encode` of the search crop, then `STTrack.step`.

    Inputs are the search crop, its padding, and the tensors of the template's Tokens and of the QueryState. Outputs are
    the boxes and the tensors of the next QueryState.
    """

    def __init__(self, network: STTrack) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        images: Tensor,
        padding: Tensor,
        features: Tensor,
        positions: Tensor,
        template_padding: Tensor,
        query: Tensor,
        history: Tensor,
        length: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        template, search = Tokens(features, positions, template_padding), self.network.encode(images, padding)
        output, _, state = self.network.step(template, search, QueryState(query, history, length))
        return output.boxes_xyxy, *state.tensors()


def stages(network: STTrack, template_size: int, search_size: int) -> list[Stage]:
    """The two stages of a network: encode a template, and track a frame.

    Args:
        network: the network. With `faithful` its history grows with the video, so only torch can run the frames.
        template_size, search_size: sides of the crops, px.
    """
    state = {name: tensor.detach().clone() for name, tensor in vars(network.start(COUNT)).items()}
    return [
        template_stage(network, template_size),
        Stage(
            name="track",
            module=Track(network),
            inputs=crop_inputs(network, search_size) | template_tokens(network, template_size) | state,
            engines=frozenset() if network.faithful else frozenset({"onnx", "int8", "compile"}),
            part="network",
            inner=parts(network) | {"query": (network.update_head["decoder"],)},
            rest="network",
            frames=1,
        ),
    ]
