"""Students of `lunar`: degraded crops, what the teacher says of them, and a training that goes on exactly."""

import sys
from pathlib import Path

import pytest
import torch

from lib import config, registry
from lib.errors import UserError
from lib.train import losses
from lib.train.actors.lunar import _around, _regions
from lib.train.actors.lunar_clip import follow
from lib.train.data.lunar import CHAIN_PRED
from lib.train.distillation import DistillingActor, degrade
from lib.train.trainers import checkpoint
from tests.train.test_phases import tensors

sys.path.insert(0, str(Path(__file__).parent))
import tiny_run

STUDENT = ("TRAIN.MKD.ENABLE=true", "TRAIN.START=lunar/tiny", "TRAIN.MKD.SIDE=[4, 6]", "TRAIN.MKD.SHARE=0.7")
QUERY = ("MODEL.QUERY.ENABLE=true", "DATA.SEARCH.NUMBER=2")
TERMS = ("generator", "features", "scores", "ratings")


def made(*overrides, epoch=1):
    """(DistillingActor, batch of four samples) of a minute network. epoch: of three; windows follow in the last."""
    settings = config.load("lunar", "baseline_pairs", [*tiny_run.OVERRIDES, *STUDENT, *overrides])
    torch.manual_seed(0)
    actor = registry.actor("lunar", tiny_run.tiny_network(settings), settings)
    samples = registry.samples("lunar", {"synthetic": tiny_run.clips()}, settings, seed=0)
    drawn = [samples[epoch, index] for index in range(4)]
    return DistillingActor(actor, settings.TRAIN.MKD), {name: torch.stack([each[name] for each in drawn]) for name in
                                                        drawn[0]}  # fmt: skip


def spoiled(actor):
    """Change the student, so that it does worse than the teacher."""
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in actor.network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return actor


@pytest.mark.parametrize(("overrides", "epoch"), [((), 1), (QUERY, 1), (QUERY, 3)])
def test_equal_networks_on_equal_images_have_nothing_to_learn(overrides, epoch, monkeypatch):
    actor, batch = made(*overrides, epoch=epoch)
    actor.network.eval()
    monkeypatch.setattr(DistillingActor, "degrade", lambda self, batch: {})
    torch.manual_seed(1)
    (_, guess, _), (_, total, stats) = actor.phases(batch)
    assert all(stats[f"MKD/{term}"] == 0 for term in (*TERMS, "rdm_scores", "rdm_boxes"))
    plain, _ = actor.actor.batch_loss(batch)
    assert torch.equal(total, plain)
    # Images as floats change nothing.
    torch.manual_seed(1)
    floats = {name: value / 255 if value.dtype == torch.uint8 else value for name, value in batch.items()}
    assert actor.actor.batch_loss(floats)[0].item() == pytest.approx(plain.item(), rel=1e-6)
    assert guess.item() == pytest.approx(0.693, abs=0.1), "2 ln 2 for both networks' features, as a mean"


@pytest.mark.parametrize(("overrides", "epoch"), [((), 1), (QUERY, 3)])
def test_a_worse_student_learns_and_its_teacher_stays(overrides, epoch):
    actor, batch = made(*overrides, epoch=epoch)
    spoiled(actor)
    teacher, discriminators = actor.helpers["teacher"], actor.helpers["discriminators"]
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    phases = actor.phases(batch)
    name, loss, _ = next(phases)
    loss.backward()
    assert name == "discriminator" and all(each.grad is None for each in actor.network.parameters())
    assert any(each.grad is not None for each in discriminators.parameters())
    name, loss, stats = next(phases)
    assert name == "network" and all(stats[f"MKD/{term}"] > 0 for term in TERMS)
    assert 0 < stats["MKD/rdm_boxes"] <= 1 and 0 < stats["MKD/rdm_scores"] <= 1
    assert loss.isfinite() and stats["Loss/total"] == loss and not stats["Loss/total"].requires_grad
    loss.backward()
    assert all(each.grad.isfinite().all() for each in actor.network.parameters() if each.grad is not None)
    assert all(each.grad is None for each in teacher.parameters()) and not teacher.training
    assert all(torch.equal(before[name], value) for name, value in teacher.state_dict().items())


def test_reliability():
    actor, _ = made()
    student, teacher = torch.tensor([0.5, 0.2, 3.0, 0.4]), torch.tensor([0.2, 0.5, 1.0, 0.4])
    found = actor.reliability(student.requires_grad_(), teacher)
    assert found.tolist() == pytest.approx([0.3, 0, 1, 0]) and not found.requires_grad
    assert actor.reliability(teacher, student).tolist() == pytest.approx([0, 0.3, 0, 0])


def test_losses_of_each_crop_are_those_of_the_batch():
    actor, batch = made()
    answer = actor.actor.answer(actor.network, batch)
    assert answer.score_loss.mean().item() == pytest.approx(answer.stats["Loss/focal"].item(), rel=1e-5)
    options = actor.actor.options
    boxes = options.GIOU_WEIGHT * answer.stats["Loss/giou"] + options.L1_WEIGHT * answer.stats["Loss/l1"]
    assert answer.box_loss.mean().item() == pytest.approx(boxes.item(), rel=1e-5)


def test_the_teacher_sees_the_windows_that_the_student_chose():
    actor, batch = made(*QUERY, epoch=3)
    batch["chain"][:] = CHAIN_PRED
    actor.network.eval()
    own = follow(actor.helpers["teacher"], batch, actor.actor.factor)
    spoiled(actor)
    with torch.no_grad():
        student = follow(actor.network, batch, actor.actor.factor)
        taught = follow(actor.helpers["teacher"], batch, actor.actor.factor, windows=student.windows)
    assert torch.equal(taught.windows, student.windows) and torch.equal(taught.boxes, student.boxes)
    assert not torch.equal(own.windows, student.windows)


def test_scores_are_compared_where_the_teacher_sees_its_target():
    actor, batch = made()
    answer = actor.actor.answer(actor.network, batch)
    scores = torch.zeros(2, 1, 8, 8)
    scores[:, :, 3, 3] = 1
    teacher = answer._replace(scores=scores)
    missed, invented = scores.clone(), scores.clone()
    missed[:, :, 3, 3], invented[:, :, 6, 6] = 0, 1
    apart = [actor.actor.score_distance(answer._replace(scores=each), teacher)[0] for each in (missed, invented)]
    weight = 1.01 + 63 * 0.01
    assert [each.item() for each in apart] == pytest.approx([1.01 / weight, 0.01 / weight], rel=1e-4)


def test_regions_lie_on_the_target():
    features = torch.zeros(1, 2, 16, 16)
    features[0, 0] = torch.arange(16.0)  # the column
    features[0, 1] = 100
    boxes = torch.tensor([[0.25, 0.25, 0.25, 0.25]])  # columns 4 to 8, of which the middle is 6
    stride, size = 8, 128
    regions = _regions(features, boxes, size).view(5, 5, 2)
    # 1.5 sides are 6 cells from column 3 on, each bin 1.2; normed, two channels are -1 and 1.
    assert torch.allclose(regions, torch.tensor([-1.0, 1]).expand(5, 5, 2), atol=1e-3)
    columns = torch.stack([features[0, 0], -features[0, 0] + 10.8])[None]  # equal at column 5.4
    sign = _regions(columns, boxes, stride * 16).view(5, 5, 2)[..., 0].sign()
    middles = 3 + 1.2 * (torch.arange(5) + 0.5) - 0.5  # cell i has its middle at i + 0.5
    assert torch.equal(sign, (middles - 5.4).sign().expand(5, 5))


def test_rated_boxes_lie_around_their_target():
    torch.manual_seed(0)
    found = _around(torch.tensor([[0.2, 0.3, 0.1, 0.2]]).expand(500, 4))
    offsets = (found[..., :2] - torch.tensor([0.25, 0.4])) / torch.tensor([0.1, 0.2])
    growth = (found[..., 2:] / torch.tensor([0.1, 0.2])).log()
    for each in (offsets, growth):
        assert each[:, :8].std() == pytest.approx(0.05, rel=0.1) and each[:, 8:].std() == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("way", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("side", [6, 10, 16])
def test_a_degraded_target_has_the_detail_of_a_tiny_one(way, side):
    """Its width in resolvable cells is `side`, up to one, by the frequencies that are left of white noise."""
    noise = torch.randn(4, 3, 1, 128, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 128, -1)
    cells = round(128 * side / 32)  # of a target of 32 px
    found = degrade(noise, cells, cells, way)
    assert found.shape == noise.shape
    if way == "nearest":
        changes = (found.diff(dim=3).abs().amax(dim=(0, 1, 2)) > 1e-6).sum().item() + 1
        assert abs(changes * 32 / 128 - side) <= 1
    else:
        power = torch.fft.rfft(found, dim=3).abs().square().mean(dim=(0, 1, 2))
        limit = cells // 2  # Nyquist frequency of the shrunk image, in waves a side
        assert power[limit + 2 * cells // 4 :].sum() < 0.1 * power.sum()
        whole = torch.fft.rfft(noise, dim=3).abs().square().mean(dim=(0, 1, 2))
        assert power[: limit // 3].sum() > 0.5 * whole[: limit // 3].sum(), "what a tiny target shows is kept"


def test_a_share_of_samples_is_degraded_each_to_its_side():
    actor, batch = made("TRAIN.MKD.SIDE=[5, 5]", *QUERY)
    names = {"search_images", "template_images", "anchor_image"}
    seen = dict.fromkeys(names, 0)
    for seed in range(12):
        torch.manual_seed(seed)
        degraded = actor.degrade(batch)
        assert set(degraded) == names
        changed = {
            name: [not torch.equal(image, batch[name][n] / 255) for n, image in enumerate(images)]
            for name, images in degraded.items()
        }
        for name, images in degraded.items():
            assert images.shape == batch[name].shape and images.min() >= 0 and images.max() <= 1
            seen[name] += sum(changed[name])
        assert changed["template_images"] == changed["anchor_image"]
        pairs = zip(changed["search_images"], changed["template_images"], strict=True)
        assert all(search or not template for search, template in pairs)
    shares = {name: count / 48 for name, count in seen.items()}
    assert shares["search_images"] == pytest.approx(0.7, abs=0.2)
    assert shares["template_images"] == pytest.approx(0.35, abs=0.2)
    # Targets of 5 px and less stay as they are.
    batch["search_anno"][..., 2:] = 5 / batch["search_images"].shape[-1]
    assert torch.equal(actor.degrade(batch)["search_images"], batch["search_images"] / 255)


def test_where_there_is_no_target_a_usual_one_is_assumed():
    actor, batch = made()
    batch["search_anno"][0] = 0
    batch["search_anno"][1] = float("nan")
    sizes = actor.actor.target_sizes(batch)["search_images"]
    assert sizes[:2].unique().tolist() == [64 / actor.actor.factor] and (sizes > 0).all()


def test_focal_losses_add_up():
    score = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = losses.score_labels(torch.tensor([[0.3, 0.3, 0.2, 0.2]] * 3), 8, present=torch.tensor([True, True, False]))
    assert losses.focal_losses(score, labels).sum() / 2 == pytest.approx(
        losses.focal_loss(score, labels).item(), rel=1e-6
    )


def test_a_broken_off_student_goes_on_exactly(tmp_path, monkeypatch):
    overrides = (*STUDENT, *QUERY, "TRAIN.EPOCH=2", "DATA.TRAIN.SAMPLE_PER_EPOCH=8")

    def train(folder):
        assert tiny_run.train(tmp_path / folder, *overrides) == 0
        (last,) = (tmp_path / folder).rglob("*_ep0002.pth.tar")
        return checkpoint.read(last)

    whole = train("whole")
    with tiny_run.broken_off(monkeypatch):
        train("broken")
    again = train("broken")
    for part in ("net", "raw", "helpers", "optimisers"):
        one, other = tensors(whole[part]), tensors(again[part])
        assert one and all(torch.equal(value, other[name]) for name, value in one.items())
    teacher = whole["helpers"]["teacher"]
    assert any(not torch.equal(value, teacher[name]) for name, value in whole["raw"].items())


def test_configurations():
    with pytest.raises(UserError, match="TRAIN.MKD.ENABLE needs TRAIN.START") as error:
        config.load("lunar", "baseline", ["TRAIN.MKD.ENABLE=true"])
    assert "\n" not in str(error.value)
    with pytest.raises(UserError, match=r"SIDE \[9.0, 6.0\]"):
        config.load("lunar", "tiny_mkd", ["TRAIN.MKD.SIDE=[9, 6]"])
    assert config.load("lunar", "tiny_mkd", budget="smoke").TRAIN.MKD.ENABLE
    # A checkpoint of before has no such keys, and is resumed.
    fixed = registry.schema("lunar").FIXED
    assert {f"TRAIN.MKD.{name}": value for name, value in config.load("lunar", "tiny").TRAIN.MKD.items()} == {
        name: value for name, value in fixed.items() if name.startswith("TRAIN.MKD.")
    }
