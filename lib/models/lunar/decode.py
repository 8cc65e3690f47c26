"""From maps to boxes. Cell i of H spans [i, i+1) / H of the search crop."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .query import Readout, TemporalQuery, apply_position_prior

if TYPE_CHECKING:
    from .model import TrackerOutput


def boxes_at(output: "TrackerOutput", cells: Tensor) -> Tensor:
    """The boxes in the maps at given cells.

    Args:
        output: of B samples with H x H maps.
        cells (B), int64: index in [0, H^2), row by row.

    Returns:
        (B, 4) cxcywh in shares of the search crop.
    """
    H = output.score_map.shape[-1]
    corner = torch.stack([cells % H, cells // H], dim=1)
    return torch.cat([(corner + _read(output.offset_map, cells)) / H, _read(output.size_map, cells)], dim=1)


def _read(values, cells):
    """Maps (B, K, H, H) at cells (B): (B, K)."""
    return values.flatten(2).gather(2, cells.view(-1, 1, 1).expand(-1, values.shape[1], 1)).squeeze(2)


def decode(
    output: "TrackerOutput", response: Tensor | None = None, voting: bool = False, cells: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The best box of each sample, without waiting for the device.

    Args:
        output: of B samples with H x H maps.
        response: (B, 1, H, H), or what broadcasts to it, whose peak is taken; None for the score map itself.
        voting: whether the box is the mean of those of the peak and its eight neighbours, weighted by their scores.
            The cells around a target describe the same box, and their errors partly cancel.
        cells (B), int64: indices to take in place of the peaks, row by row.

    Returns:
        boxes (B, 4) cxcywh in shares of the search crop; index (B), int64, of the peak, row by row; score (B) in
        (0, 1), the score map at the peak whatever the response there.
    """
    response = output.score_map if response is None else response.expand_as(output.score_map)
    index = response.flatten(1).argmax(dim=1) if cells is None else cells
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


def respond(
    score_map: Tensor,
    window: tuple[Tensor, Tensor] | None = None,
    readout: Readout | None = None,
    influence: float = 0.0,
) -> Tensor:
    """The map (B, 1, H, H), float32, whose peak is taken: the score map under a Hann window or a position prior.

    Args:
        score_map (B, 1, H, H): of the network.
        window, readout, influence: see find.
    """
    response = score_map.float()
    if window is not None:
        factor, addend = window
        return response * factor + addend
    return apply_position_prior(response, readout.expected, influence) if influence else response


def find(
    output: "TrackerOutput",
    window: tuple[Tensor, Tensor] | None = None,
    query: TemporalQuery | None = None,
    readout: Readout | None = None,
    influence: float = 0.0,
    voting: bool = False,
    cells: Tensor | None = None,
) -> Tensor:
    """The box that is reported for each search crop, and its confidence.

    Args:
        output: of B crops with H x H maps.
        window: what the score map is multiplied by, and what is then added, (B, 1, H, H) each; None for no Hann window.
        query: judges the confidence where there is a readout.
        readout: of the query, or None.
        influence: weight of the position prior of the query in [0, 1]; 0 leaves it out. Not with `window`.
        voting, cells: see decode.

    Returns:
        (B, 5) float32: cxcywh in shares of the crop, and the confidence in [0, 1].
    """
    boxes, _, scores = decode(output, respond(output.score_map, window, readout, influence), voting, cells)
    if readout is not None:
        scores = query.judge(readout, scores).sigmoid()
    return torch.cat([boxes.float(), scores.float()[:, None]], dim=1)
