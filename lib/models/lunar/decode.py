"""From maps to boxes. Cell i of H spans [i, i+1) / H of the search crop."""

import torch


def boxes_at(output, cells):
    """Boxes that the maps of a TrackerOutput hold at given cells.

    Args:
        output: TrackerOutput of B samples with H x H maps.
        cells: (B,) int64, row-major index in [0, H^2).

    Returns:
        (B, 4) cxcywh in shares of the search crop.
    """
    H = output.score_map.shape[-1]

    def read(values):
        return values.flatten(2).gather(2, cells.view(-1, 1, 1).expand(-1, values.shape[1], 1)).squeeze(2)

    corner = torch.stack([cells % H, cells // H], dim=1)
    return torch.cat([(corner + read(output.offset_map)) / H, read(output.size_map)], dim=1)


def decode(output, response=None):
    """The best box of each sample, without waiting for the device.

    Args:
        output: TrackerOutput of B samples with H x H maps.
        response: (B, 1, H, H), or anything that broadcasts to it, whose peak is taken; None for the score map itself.

    Returns:
        boxes (B, 4) cxcywh in shares of the search crop; index (B,) int64 of the peak, row-major; score (B,) in (0, 1),
        the score map at the peak, whatever the response there.
    """
    response = output.score_map if response is None else response.expand_as(output.score_map)
    index = response.flatten(1).argmax(dim=1)
    score = output.score_map.flatten(1).gather(1, index[:, None]).squeeze(1)
    return boxes_at(output, index), index, score
