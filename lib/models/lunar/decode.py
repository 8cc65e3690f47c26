"""From maps to boxes. Cell i of H spans [i, i+1) / H of the search crop."""

import torch

from .query import apply_position_prior


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


def decode(output, response=None, voting=False):
    """The best box of each sample, without waiting for the device.

    Args:
        output: TrackerOutput of B samples with H x H maps.
        response (B, 1, H, H): the map whose peak is taken, or anything that broadcasts to it; None for the score map.
        voting: whether the box is the mean of those of the peak and its eight neighbours, weighted by their scores.
            The cells around a target describe the same box, and their errors partly cancel.

    Returns:
        boxes (B, 4) cxcywh in shares of the search crop; index (B,) int64 of the peak, row-major; score (B,) in (0, 1),
        the score map at the peak, whatever the response there.
    """
    response = output.score_map if response is None else response.expand_as(output.score_map)
    index = response.flatten(1).argmax(dim=1)
    scores = output.score_map.flatten(1)
    score = scores.gather(1, index[:, None]).squeeze(1)
    if not voting:
        return boxes_at(output, index), index, score
    side = output.score_map.shape[-1]
    steps = torch.arange(-1, 2, device=index.device)
    rows, columns = (index // side)[:, None] + steps, (index % side)[:, None] + steps  # (B, 3) each
    inside = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None]
    cells = (rows.clamp(0, side - 1)[:, :, None] * side + columns.clamp(0, side - 1)[:, None]).flatten(1)  # (B, 9)
    weights = scores.gather(1, cells) * inside.flatten(1)
    boxes = torch.stack([boxes_at(output, column) for column in cells.unbind(dim=1)], dim=1)
    return (boxes * (weights / weights.sum(dim=1, keepdim=True))[..., None]).sum(dim=1), index, score


def find(network, output, readout=None, window=None, influence=0.0, voting=False):
    """The box that is reported for each search crop, and how sure it is.

    Args:
        network: Lunar; its query judges the confidence where there is a readout.
        output: TrackerOutput of B crops with H x H maps.
        readout: Readout of the query, or None.
        window (2, B, 1, H, H): what the score map is multiplied by, and what is then added; None for no Hann window.
        influence: weight of the position prior of the query in [0, 1]; 0 leaves it out. Not with `window`.
        voting: see decode.

    Returns:
        (B, 5) float32: cxcywh in shares of the crop, and the confidence in [0, 1].
    """
    response = output.score_map.float()
    if window is not None:
        response = response * window[0] + window[1]
    elif influence:
        response = apply_position_prior(response, readout.expected, influence)
    boxes, _, scores = decode(output, response, voting)
    if readout is not None:
        scores = network.query.judge(readout, scores).sigmoid()
    return torch.cat([boxes.float(), scores.float()[:, None]], dim=1)
