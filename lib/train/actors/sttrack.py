"""Forward and losses of STTrack on clips of frames."""

from collections.abc import Mapping

from torch import Tensor

from ...models.parts.corner_head import CornerOutput
from .corner import CornerActor, padding


class STTrackActor(CornerActor):
    """Trains STTrack on clips of DATA.SEARCH.NUMBER frames. Gradients flow through all frames.

    Args:
        network: the network.
        config: an `sttrack` configuration.
    """

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        giou, l1 = self.options.GIOU_WEIGHT, self.options.L1_WEIGHT
        if self.faithful:  # the released training swaps the two weights
            giou, l1 = l1, giou
        return self.box_loss(self.respond(batch), batch, giou, l1)

    def respond(self, batch: Mapping[str, Tensor]) -> list[CornerOutput]:
        with self.autocast(batch):
            return self.network(
                batch["template_images"][:, 0],
                padding(batch, "template")[:, 0],
                batch["search_images"],
                padding(batch, "search"),
            )
