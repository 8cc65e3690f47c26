"""The loss of one step against its written-out form, and finite for whatever a box may be."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib import config, registry
from lib.data.crop import coverage
from lib.models.lunar.model import TrackerOutput
from lib.train import losses
from lib.train.actors.lunar import LunarActor, corners, iou, usable
from tests.networks import make_lunar

NAN, INF = float("nan"), float("inf")


def actor(*overrides, network=None):
    return LunarActor(network, config.load("lunar", "baseline_pairs", ["TRAIN.PRECISION=fp32", *overrides]))


def output(batch, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    score, sizes, offset = (torch.rand(batch, n, size, size, generator=generator) for n in (1, 2, 2))
    return TrackerOutput(*(t.requires_grad_() for t in (score.clamp(0.01, 0.99).detach(), sizes, offset)))


def maps_of(box, size=8, score=0.99):
    """Maps that hold an xywh box (shares) in the cell of its centre."""
    x, y, w, h = box
    centre = torch.tensor([x + w / 2, y + h / 2]) * size
    cell = centre.floor().long()
    scores = torch.full((1, 1, size, size), 0.01)
    scores[0, 0, cell[1], cell[0]] = score
    offset = (centre - cell).view(1, 2, 1, 1).expand(1, 2, size, size)
    return TrackerOutput(scores, torch.tensor([w, h]).view(1, 2, 1, 1).expand(1, 2, size, size), offset)


def test_a_perfect_answer_has_no_box_loss():
    box = [0.31, 0.42, 0.2, 0.13]
    loss, stats = actor().loss(maps_of(box), torch.tensor([box]), torch.tensor([True]), torch.tensor([15.0]))
    assert stats["IoU"] == pytest.approx(1, abs=1e-5) and stats["IoU/peak"] == pytest.approx(1, abs=1e-5)
    assert stats["Loss/giou"] == pytest.approx(0, abs=1e-5) and stats["Loss/l1"] == pytest.approx(0, abs=1e-6)
    assert loss == stats["Loss/total"] < 0.3


@pytest.mark.parametrize(("side", "share"), [(4.0, 1.0), (8.0, 1.0), (16.0, 0.5), (24.0, 0.0), (80.0, 0.0)])
def test_the_parts_and_their_weights(side, share):
    """Spec A.5, box read at the true cell and, with a quarter of the weight, at the peak."""
    out, box = output(1), torch.tensor([[0.3, 0.35, 0.25, 0.2]])
    loss, stats = actor().loss(out, box, torch.tensor([True]), torch.tensor([side]))
    target = torch.cat([box[:, :2] + box[:, 2:] / 2, box[:, 2:]], dim=1)
    scale = side / (0.25 * 0.2) ** 0.5
    wanted = losses.focal_loss(out.score_map, losses.score_labels(box, 8))
    for cell, weight in ((3 * 8 + 3, 1.0), (int(out.score_map.argmax()), 0.25)):
        row, column = divmod(cell, 8)
        offset, size = out.offset_map[0, :, row, column], out.size_map[0, :, row, column]
        found = torch.cat([(torch.tensor([column, row]) + offset) / 8, size])[None]
        giou = losses.giou_loss(corners(found), corners(target))
        near = 1 - losses.nwd(found * scale, target * scale, max(side, 4))
        l1 = losses.l1_loss(corners(found), corners(target))
        wanted = wanted + weight * (2 * ((1 - share) * giou + share * near) + 5 * l1).sum()
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_absent_targets_count_for_the_score_alone():
    out, boxes = output(2), torch.tensor([[0.3, 0.35, 0.25, 0.2], [NAN] * 4])
    seen, side = torch.tensor([True, False]), torch.tensor([30.0, NAN])
    loss, stats = actor().loss(out, boxes, seen, side)
    first = TrackerOutput(*(values[:1] for values in out))
    _, alone = actor().loss(first, boxes[:1], seen[:1], side[:1])
    for name in ("Loss/giou", "Loss/l1", "IoU"):
        assert stats[name] == pytest.approx(alone[name].item(), rel=1e-6)
    assert stats["Loss/focal"] > alone["Loss/focal"]
    loss.backward()
    assert out.size_map.grad[1].abs().sum() == 0 and out.score_map.grad[1].abs().sum() > 0


def test_a_centre_outside_has_a_score_but_no_box():
    boxes = torch.tensor([[0.9, 0.4, 0.4, 0.2], [1.1, 0.4, 0.4, 0.2], [0.1, 0.1, 0.2, 0.2], [0.1, 0.1, 0.0, 0.2]])
    present, inside = usable(boxes, torch.ones(4, dtype=torch.bool))
    assert present.tolist() == [True, False, True, False] and inside.tolist() == [False, False, True, False]


NUMBERS = st.one_of(
    st.sampled_from([0.0, -1.0, 1.0, 1e-30, 1e30, -1e30, NAN, INF, -INF, 99.0, 0.5, 1e-4]),
    st.floats(-3, 3, width=32),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=4))
def test_finite_for_every_box(rows):
    values = torch.tensor(rows, dtype=torch.float32)
    out = output(len(rows))
    loss, stats = actor().loss(out, values[:, :4], torch.ones(len(rows), dtype=torch.bool), values[:, 4])
    loss.backward()
    assert loss.isfinite() and all(value.isfinite() for value in stats.values())
    assert all(maps.grad.isfinite().all() for maps in out)


def test_overlap():
    first = torch.tensor([[0.0, 0, 2, 2], [0, 0, 1, 1], [0, 0, 0, 0]])
    second = torch.tensor([[1.0, 0, 3, 2], [2, 2, 3, 3], [0, 0, 0, 0]])
    assert iou(first, second).tolist() == pytest.approx([1 / 3, 0, 0])


@pytest.mark.parametrize("attention", ["joint", "one_way"])
def test_frames_of_a_clip_are_what_single_frames_are(attention):
    torch.manual_seed(0)
    options = {"embed_dim": 32, "depth": 2, "num_heads": 2, "head_channels": 16}
    network = make_lunar(template_size=32, search_size=64, head_stride=8, attention=attention, **options).eval()
    boxes = torch.rand(2, 3, 4) * 0.3 + 0.2
    batch = {
        "template_images": torch.randint(0, 256, (2, 1, 3, 32, 32), dtype=torch.uint8),
        "template_masks": torch.from_numpy(coverage([[[8, 8, 12, 9.0]]] * 2, 32, 2)),
        "search_images": torch.randint(0, 256, (2, 3, 3, 64, 64), dtype=torch.uint8),
        "search_anno": boxes,
        "search_visible": torch.ones(2, 3, dtype=torch.bool),
        "src_side": torch.full((2, 3), 12.0),
    }
    step = actor(network=network)
    loss, _ = step.batch_loss(batch)
    overlap, count = step.validate(batch)
    parts = []
    for index in range(3):
        part = {n: v if n.startswith("template") else v[:, index : index + 1] for n, v in batch.items()}
        parts.append((step.batch_loss(part)[0].item(), step.validate(part)[0].item()))
    assert loss.item() == pytest.approx(sum(one for one, _ in parts) / 3, rel=1e-5)
    assert overlap.item() == pytest.approx(sum(one for _, one in parts), rel=1e-5) and count == 6


def test_who_has_training():
    assert isinstance(registry.actor("lunar", None, config.load("lunar", "baseline_pairs")), LunarActor)


def test_difference_is_the_likeness_of_target_and_background():
    """A background cell like the target counts 1, one at a right angle or opposite 0; without a target nothing does."""
    features = torch.zeros(2, 3, 4, 4)
    features[:, 0] = 1.0
    features[:, :, 0, 0] = torch.tensor([-1.0, 0.0, 0.0])
    features[:, :, 0, 1:] = torch.tensor([0.0, 2.0, 0.0])[:, None]
    boxes, sides = torch.tensor(2 * [[0.25, 0.25, 0.5, 0.25]]), torch.full((2,), 20.0)
    measure = actor("TRAIN.DIFFERENCE_WEIGHT=0.5")._difference
    weight, value = measure(features, boxes, torch.tensor([True, False]), sides)["difference"]
    assert weight == 0.5
    assert value == pytest.approx((14 - 4) / 14)
    assert measure(features, boxes, torch.tensor([False, False]), sides)["difference"][1] == 0
    assert actor()._difference(features, boxes, torch.tensor([True, True]), sides) == {}
