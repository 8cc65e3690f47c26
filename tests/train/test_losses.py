"""Labels and losses: equal to the reference, and finite for boxes that break others."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.train.losses import centre_cells, focal_loss, giou_loss, l1_loss, nwd, score_labels


def xyxy(boxes_xywh):
    return torch.cat([boxes_xywh[:, :2], boxes_xywh[:, :2] + boxes_xywh[:, 2:]], dim=1)


def some_boxes(n=200, seed=0):
    return torch.rand(n, 4, generator=torch.Generator().manual_seed(seed)) * 0.5


def test_equals_ostrack(shared_data):
    path = shared_data / "parity" / "ostrack_small.pt"
    if not path.is_file():
        pytest.skip(f"needs {path}")
    reference = torch.load(path, weights_only=True)["labels"]
    boxes, predicted = reference["boxes_xywh_norm"], reference["pred_boxes_xywh_norm"]
    labels = score_labels(boxes, 16, "ostrack")
    assert (labels[:, 0] - reference["heatmap"]).abs().max() < 1e-5
    assert focal_loss(reference["pred_score"][:, None], labels).item() == pytest.approx(reference["focal"], rel=1e-5)
    assert giou_loss(xyxy(predicted), xyxy(boxes)).mean().item() == pytest.approx(reference["giou_loss"], abs=1e-5)
    assert l1_loss(xyxy(predicted), xyxy(boxes)).mean().item() == pytest.approx(reference["l1"], abs=1e-5)


def test_subpixel_label_has_one_top_where_the_centre_is():
    boxes = some_boxes()
    labels = score_labels(boxes, 16)
    assert ((labels == 1).flatten(1).sum(1) == 1).all() and labels.min() >= 0
    assert torch.equal(labels.flatten(1).argmax(1), centre_cells(boxes, 16))
    mirrored = boxes.clone()
    mirrored[:, 0] = 1 - boxes[:, 0] - boxes[:, 2]
    assert (score_labels(mirrored, 16).flip(-1) - labels).abs().max() < 1e-4
    # Moving by half a cell moves the label too, where OSTrack's would stay.
    shifted = boxes + torch.tensor([0.4 / 16, 0, 0, 0])
    assert ((score_labels(shifted, 16) - labels).abs().flatten(1).amax(1) > 0.05).all()


def test_absent_and_outside_targets():
    boxes = torch.tensor([[float("nan")] * 4, [1.5, 0.2, 0.1, 0.1], [0.2, 0.2, 0.1, 0.1]])
    for kind in ("subpixel", "ostrack"):
        labels = score_labels(boxes, 16, kind, present=torch.tensor([False, True, True]))
        assert not labels[0].any() and labels.isfinite().all()
        score = torch.rand(3, 1, 16, 16, requires_grad=True)
        loss = focal_loss(score, labels)
        loss.backward()
        assert loss.isfinite() and score.grad.isfinite().all()
    assert focal_loss(torch.full((1, 1, 8, 8), 1e-4), torch.zeros(1, 1, 8, 8)) < 1e-6
    assert centre_cells(boxes[1:], 16).tolist() == [4 * 16 + 15, 4 * 16 + 4]
    with pytest.raises(ValueError):
        score_labels(boxes, 16, "round")


def test_focal_is_the_formula_also_at_certainty():
    score, labels = torch.tensor([0.8, 0.3, 0.1]), torch.tensor([1.0, 0.5, 0.0])
    expected = -(
        0.2**2 * torch.log(score[0]) + 0.5**4 * 0.09 * torch.log(1 - score[1]) + 0.01 * torch.log(1 - score[2])
    )
    assert focal_loss(score, labels) == pytest.approx(expected.item(), rel=1e-5)
    assert focal_loss(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])).isfinite()


def test_nwd():
    boxes = some_boxes() * 100
    other = some_boxes(seed=1) * 100
    assert (nwd(boxes, boxes, 8.0) == 1).all()
    distance = nwd(boxes, other, 8.0)
    assert ((distance > 0) & (distance < 1)).all() and torch.equal(distance, nwd(other, boxes, 8.0))
    for shift, expected in ((1, 0.79), (2, 0.62), (4, 0.39), (8, 0.15)):  # spec A.5, side 6, C = 6
        moved = torch.tensor([[shift, shift, 6.0, 6.0]])
        assert nwd(moved, torch.tensor([[0.0, 0.0, 6.0, 6.0]]), 6.0).item() == pytest.approx(expected, abs=0.006)
    for start in (torch.tensor([[0.0, 0, 6, 6]]), torch.tensor([[500.0, 0, 6, 6]])):
        start.requires_grad_()
        nwd(start, torch.tensor([[0.0, 0.0, 6.0, 6.0]]), 6.0).sum().backward()
        assert start.grad.isfinite().all()


@given(st.lists(st.floats(-3, 3, width=32), min_size=8, max_size=8))
@settings(max_examples=300, deadline=None)
def test_finite_for_every_box(values):
    boxes = torch.tensor(values).view(2, 4)
    sides = boxes.clone()
    sides[:, 2:] = 0
    for first in (boxes, sides):
        predicted = first[:1].clone().requires_grad_()
        target = first[1:] * torch.tensor([1, 1, 0, 0])
        losses = giou_loss(xyxy(predicted.abs()), xyxy(target)) + l1_loss(predicted, target) + nwd(predicted, target, 4)
        losses.sum().backward()
        assert losses.isfinite().all() and predicted.grad.isfinite().all()
        for kind in ("subpixel", "ostrack"):
            assert score_labels(first, 16, kind).isfinite().all()
