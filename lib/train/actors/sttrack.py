"""Forward and losses of STTrack on clips of frames."""

from collections.abc import Mapping

from torch import Tensor

from ..box_losses import clip_loss
from .corner import CornerActor, padding, targets


class STTrackActor(CornerActor):
    """Trains STTrack on clips of DATA.SEARCH.NUMBER frames. Gradients flow through all frames.

    Args:
        network: the network.
        config: an `sttrack` configuration.
    """

    def batch_loss(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        boxes, visible = targets(batch)
        giou, l1 = self.options.GIOU_WEIGHT, self.options.L1_WEIGHT
        if self.faithful:  # the released training swaps the two weights
            giou, l1 = l1, giou
        loss, stats = clip_loss(self.found(batch), boxes, giou, l1, visible, self.faithful)
        return loss, dict(stats)

    def found(self, batch: Mapping[str, Tensor]) -> list[Tensor]:
        with self.autocast(batch):
            clip = self.network(
                batch["template_images"][:, 0],
                padding(batch, "template")[:, 0],
                batch["search_images"],
                padding(batch, "search"),
            )
        return [frame.boxes_xyxy for frame in clip]
