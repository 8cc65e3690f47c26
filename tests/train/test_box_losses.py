"""Losses of one box: equal to the references with `faithful`, and what is corrected without."""

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lib.models.stark import Stark
from lib.train.box_losses import box_losses, clip_loss, target_corners
from tests.models.test_stark import SMALL, Trunk, difference, from_maps, parity  # noqa: F401 (a fixture)
from tests.models.test_sttrack import released


def gradients_equal(network, norms, noise):
    """Whether norms of gradients are those of the reference; `noise`: up to which one may be rounding alone."""
    for name, parameter in network.named_parameters():
        if name in norms:
            assert parameter.grad.norm().item() == pytest.approx(norms[name], rel=2e-3, abs=noise), name


def test_equals_stark(parity):  # noqa: F811
    data = parity("stark_small.pt")
    reference = data["losses"]
    losses = box_losses(reference["pred_xyxy"], to_xywh(reference["gt_xyxy"]))
    # torchvision's formula adds 1e-7 to areas, so that a box without one is finite.
    assert difference(1 - losses.giou, reference["giou_per_box"]) < 5e-6
    assert losses.giou.mean().item() == pytest.approx(reference["giou_loss"], abs=2e-6)
    assert losses.l1.mean().item() == pytest.approx(reference["l1"], abs=1e-6)
    assert difference(losses.iou, reference["iou"]) < 1e-6
    bce = binary_cross_entropy_with_logits(reference["cls_logits"], reference["cls_labels"])
    assert bce.item() == pytest.approx(reference["bce"], abs=1e-6)


def to_xywh(boxes_xyxy):
    return torch.cat([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], dim=1)


def test_a_training_step_equals_starks(parity):  # noqa: F811
    data = parity("stark_small.pt")
    reference = data["train"]
    network = from_maps(Stark(Trunk(24), **SMALL, half_cell=False), data["s"]["net"]).train()
    template = network.tokens(data["feat_z1"].float(), data["mask_z1"])
    output = network.track([template], network.tokens(data["feat_x"].float(), data["mask_x"]))
    loss, stats = clip_loss([output.boxes_xyxy], [reference["gt_xywh"]], 2, 5)
    for name, value in reference["status"].items():
        assert stats[name].item() == pytest.approx(value, abs=1e-5), name
    loss.backward()
    # The first self-attention of the decoder sees zeros: its reference is 0, and so is ours but for rounding.
    gradients_equal(network, reference["grad_norms"], noise=1e-5)
    assert difference(network.query_embed.weight.grad, reference["grad_query_embed"]) < 1e-5
    for name, value in reference["bn_after"].items():
        assert difference(network.state_dict()[name], value) < 1e-5


@pytest.mark.parametrize("part, noise", [("loss", 1e-5), ("loss_w1", 1e-3)])
def test_a_training_step_equals_sttracks(parity, part, noise):  # noqa: F811
    """Biases before a batch norm have no gradient but rounding, which is larger where the variance is 0 (w = 1)."""
    data = parity("sttrack_small.pt")
    reference = data[part]
    network, *_ = released(data, reference["w"])
    network.train()
    template = network.tokens(data["feat_z"].float(), data["mask_z"])
    frames = [network.tokens(maps.float(), mask) for maps, mask in zip(data["feat_x"], data["mask_x"], strict=True)]
    found = [output.boxes_xyxy for output in network.follow(template, frames)]
    assert difference(torch.stack(found)[:, :, None], reference["pred_boxes"]) < 5e-5
    loss, stats = clip_loss(found, reference["gt_xywh"], giou_weight=5, l1_weight=2, faithful=True)
    assert loss.item() == pytest.approx(reference["total"], abs=1e-4)
    assert stats["Loss/l1"].item() == pytest.approx(sum(reference["l1_per_frame"]), abs=1e-5)
    intended = 2 * stats["Loss/giou"] + 5 * stats["Loss/l1"]
    assert intended.item() == pytest.approx(reference["intended_2giou_5l1"], abs=1e-4)
    loss.backward()
    gradients_equal(network, reference["grad_norms"], noise)
    assert difference(network.query_embed.weight.grad, reference["grad_query_embed"]) < 1e-5


def test_boxes_are_cut_to_the_crop():
    boxes = torch.tensor([[-0.2, 0.5, 0.4, 0.1], [0.9, 0.9, 0.5, 0.5]])
    assert torch.allclose(target_corners(boxes), torch.tensor([[0, 0.5, 0.2, 0.6], [0.9, 0.9, 1, 1]]))


def test_one_inverted_box_silences_a_released_batch_only():
    boxes = torch.tensor([[0.2, 0.2, 0.2, 0.2], [0.4, 0.4, 0.2, 0.2]])
    found = torch.tensor([[0.2, 0.2, 0.5, 0.5], [0.7, 0.4, 0.3, 0.6]])
    released_losses, losses = box_losses(found, boxes, faithful=True), box_losses(found, boxes)
    assert not released_losses.giou.any() and not released_losses.iou.any() and released_losses.l1.all()
    assert losses.giou[0] > 0 and losses.iou.tolist() == pytest.approx([4 / 9, 0])
    sound = box_losses(found[:1], boxes[:1], faithful=True)
    assert torch.equal(sound.giou, losses.giou[:1]), "without an inverted box both are the same"


@pytest.mark.parametrize("found", [[0.6, 0.35, 0.4, 0.55], [0.35, 0.6, 0.55, 0.4], [0.6, 0.6, 0.4, 0.4]])
def test_corners_the_wrong_way_round_are_no_overlap_and_come_apart(found):
    boxes = torch.tensor([[0.3, 0.3, 0.3, 0.3]])
    found = torch.tensor([found], requires_grad=True)
    losses = box_losses(found, boxes)
    assert losses.iou == 0 and 1 <= losses.giou < 1.5
    (2 * losses.giou + 5 * losses.l1).sum().backward()
    low, high, wrong = found.grad[0, :2], found.grad[0, 2:], found[0, 2:] < found[0, :2]
    assert (low[wrong] > 0).all() and (high[wrong] < 0).all()


def test_a_clip_is_the_sum_of_its_frames():
    found = [torch.tensor([[0.1, 0.1, 0.4, 0.4]]), torch.tensor([[0.2, 0.2, 0.4, 0.5]])]
    boxes = [torch.tensor([[0.1, 0.1, 0.2, 0.2]])] * 2
    singles = [clip_loss([each], boxes[:1], 2, 5)[0] for each in found]
    assert clip_loss(found, boxes, 2, 5)[0].item() == pytest.approx(sum(singles).item())
    assert clip_loss(found, boxes, 2, 0)[0] == 2 * clip_loss(found, boxes, 2, 5)[1]["Loss/giou"]


def test_boxes_that_are_not_targets_do_not_teach():
    found = torch.tensor([[0.1, 0.1, 0.4, 0.4], [0.5, 0.5, 0.9, 0.9]], requires_grad=True)
    boxes = torch.tensor([[0.1, 0.1, 0.2, 0.2], [0.0, 0.0, 0.0, 0.0]])
    loss, stats = clip_loss([found], [boxes], 2, 5, counted=[torch.tensor([True, False])])
    alone, _ = clip_loss([found[:1]], [boxes[:1]], 2, 5)
    assert loss.item() == pytest.approx(alone.item())
    loss.backward()
    assert found.grad[0].any() and not found.grad[1].any()
    nothing, stats = clip_loss([found.detach()], [boxes], 2, 5, counted=[torch.tensor([False, False])])
    assert nothing == 0 and all(value == 0 for value in stats.values())
