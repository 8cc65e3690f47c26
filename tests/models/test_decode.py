"""Box voting: the mean of the boxes around the peak."""

import pytest
import torch

from lib.models.lunar import TrackerOutput, boxes_at, decode


def random_output(count=4, cells=6):
    generator = torch.Generator().manual_seed(0)
    return TrackerOutput(*(torch.rand(count, channels, cells, cells, generator=generator) for channels in (1, 2, 2)))


def test_cells_that_agree_vote_for_their_box():
    cells = torch.arange(8.0)
    offset = torch.stack([(0.52 * 8 - cells).expand(8, 8), (0.47 * 8 - cells)[:, None].expand(8, 8)])[None]
    output = TrackerOutput(torch.rand(1, 1, 8, 8), torch.full((1, 2, 8, 8), 0.2), offset)
    assert (decode(output, voting=True)[0] - torch.tensor([0.52, 0.47, 0.2, 0.2])).abs().max() < 1e-6


@pytest.mark.parametrize("peak", [(2, 3), (0, 0), (5, 2), (5, 5)])
def test_voting_is_the_mean_by_score_of_the_cells_inside(peak):
    output = random_output(1)
    output.score_map[0, 0][peak] = 2.0
    boxes, index, score = decode(output, voting=True)
    total, weights = torch.zeros(4), 0.0
    for row in range(peak[0] - 1, peak[0] + 2):
        for column in range(peak[1] - 1, peak[1] + 2):
            if 0 <= row < 6 and 0 <= column < 6:
                weight = output.score_map[0, 0, row, column]
                total += weight * boxes_at(output, torch.tensor([6 * row + column]))[0]
                weights += weight
    assert (boxes[0] - total / weights).abs().max() < 1e-6
    assert index.item() == 6 * peak[0] + peak[1] and score.item() == 2


def test_peak_and_score_are_as_without_voting_and_samples_do_not_mix():
    output = random_output()
    boxes, index, score = decode(output, voting=True)
    _, plain_index, plain_score = decode(output)
    assert torch.equal(index, plain_index) and torch.equal(score, plain_score)
    for number in range(4):
        alone = TrackerOutput(*(part[number : number + 1] for part in output))
        assert torch.equal(decode(alone, voting=True)[0][0], boxes[number])
