"""MKDNet: each term equals the release's numbers, stored beside the checkout (`-s` prints how closely), or our own."""

import copy
import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn.functional import interpolate

from lib import config, registry
from lib.config.paths import Paths
from lib.errors import UserError
from lib.models.dimp import super_dimp
from lib.models.parts import efficientnet_lite
from lib.models.parts.discriminator import Discriminator
from lib.train import inputs, run_training
from lib.train.actors.mkdnet import shrunk
from lib.train.actors.online import BACKGROUND
from lib.train.dcf_losses import classification_losses, hinge_loss, sampled_kl_loss
from lib.train.distillation import Answer, degrade
from lib.train.trainers import checkpoint, optim
from tests.models.recipe import hash_tensor, recipe_network, recipe_state
from tests.tracker.test_online_trackers import FILTER, SMALL, minute_trunk, release  # noqa: F401 -- a fixture
from tests.train.test_online_training import OVERRIDES
from tests.train.test_phases import tensors
from tests.train.tiny_run import broken_off, clips

FACTORS = (("bn3.weight", 0.3), ("downsample.1.weight", 0.7), ("iou_predictor.weight", 3.0))
MINUTE = (*SMALL, *FILTER, *OVERRIDES, "TRAIN.PROPOSALS=4", "DATA.SEARCH.NUMBER=2", "DATA.TEMPLATE.NUMBER=2",
          "TRAIN.START=''", "DATA.VAL.DATASETS_NAME=[]")  # fmt: skip
# Our own numbers, made by `python -m tests.train.test_mkdnet`: they say whether the training changed.
OWN = Path(__file__).with_name("mkdnet_terms.json")
pytestmark = pytest.mark.usefixtures("minute_trunk")


def settings(name="baseline", *overrides):
    return config.load("mkdnet", name, [*MINUTE, *overrides])


def actor_of(made, seed=0):
    torch.manual_seed(seed)
    return registry.actor("mkdnet", registry.network("mkdnet", made), made)


@pytest.fixture
def reference(shared_data):
    def load(name):
        path = shared_data / "parity" / f"{name}.pt"
        if not path.is_file():
            pytest.skip(f"needs {path}")
        return torch.load(path, weights_only=True)

    return load


@pytest.fixture
def same():
    """Compare with reference numbers; print the largest difference of each label at the end."""
    worst = {}

    def compare(label, found, expected, tolerance, relative=False):
        found, expected = torch.as_tensor(found).detach(), torch.as_tensor(expected)
        assert found.shape == expected.shape, label
        error = (found.double() - expected.double()).abs()
        if relative:
            error = error / expected.double().abs().clamp(min=1e-6)
        worst[label] = max(worst.get(label, (0.0, 0))[0], error.max().item()), tolerance
        assert error.max() <= tolerance, f"{label}: {error.max():.3g} > {tolerance:g}"

    yield compare
    for label, (error, tolerance) in worst.items():
        print(f"\n| {label} | {tolerance:.0e} | {error:.1e} |", end="")


def of_release(actor, scores, ratings, label, densities, seen, features):
    """The Answer with given outputs. scores (I, 3, 2, H, W), ratings (3, 2, P), seen (3, 2): frames with a box."""
    hinge = torch.vmap(lambda each, label: classification_losses(each, lambda one: hinge_loss(one, label, BACKGROUND)),
                       in_dims=(1, 0))  # fmt: skip
    score_loss = actor.actor._weighted(hinge(scores.flatten(1, 2), label.flatten(0, 1)))
    box_loss = torch.vmap(sampled_kl_loss)(*(each.flatten(0, 1)[seen.flatten()] for each in (ratings, *densities)))
    loss = score_loss.mean() + actor.actor.options.BOX_WEIGHT * box_loss.mean()
    return Answer(loss, {}, score_loss, box_loss, scores.flatten(1, 2).transpose(0, 1),
                  ratings.flatten(0, 1)[seen.flatten()], features)  # fmt: skip


CASES = {  # outputs of student and teacher: (scores, ratings) each
    "case_a": ("ss", "tt"),
    "case_both": ("st", "ts"),
    "case_swapped": ("tt", "ss"),
    "case_invalid_frame": ("ss", "tt"),
    "case_equal": ("ss", "ss"),
}


@pytest.mark.parametrize("case", CASES)
def test_terms_equal_the_release(reference, same, case):
    given = reference("mkdnet")["actor"]
    actor = actor_of(settings("faithful", "MODEL.BOX_WIDTH=256"))
    for number, discriminator in enumerate(actor.helpers["discriminators"], 1):
        discriminator.load_state_dict(recipe_state(f"mkdnet/D{number}", discriminator.state_dict()))
    kinds = {"s": "student", "t": "teacher"}
    seen = given["anno_one_invalid" if case == "case_invalid_frame" else "anno"][..., 0] < 99999
    densities = given["proposal_density"], given["gt_density"]

    def outputs(which, own):
        features = tuple(
            hash_tensor(f"mkdnet/roi{level}_{own}", (6, 4, 256 * bins**2)) for level, bins in ((3, 5), (4, 3))
        )
        scores, ratings = (given[f"{what}_{kinds[kind]}"] for what, kind in zip(("scores", "iou"), which, strict=True))
        return of_release(actor, scores, ratings, given["label"], densities, seen, features)

    student, teacher = outputs(CASES[case][0], "s"), outputs(CASES[case][1], "t")
    expected = given[case]["terms"]
    rdm_scores = actor.reliability(student.score_loss, teacher.score_loss)
    rdm_boxes = actor.reliability(student.box_loss, teacher.box_loss)
    # A frame without a box counts for the scores and the features, but not for the boxes.
    if not seen.all():
        assert rdm_boxes == 0
        same("ratings", (student.ratings - teacher.ratings).abs().mean(), expected["L1_iou"], 1e-5, True)
        student, teacher = (each._replace(ratings=torch.zeros(6, 4)) for each in (student, teacher))
    found = actor.terms(student, teacher, rdm_scores, rdm_boxes)
    same("classifier's loss, student", student.score_loss.mean(), expected["L_cls_student"], 1e-5, True)
    same("classifier's loss, teacher", teacher.score_loss.mean(), expected["L_cls_teacher"], 1e-5, True)
    same("IoU-Net's loss, student", student.box_loss.mean(), expected["L_iou_student"], 1e-5, True)
    same("IoU-Net's loss, teacher", teacher.box_loss.mean(), expected["L_iou_teacher"], 1e-5, True)
    same("RDM of scores", rdm_scores, expected["RDM_cls"], 1e-5, True)
    same("RDM of boxes", rdm_boxes, expected["RDM_iou"], 1e-5, True)
    for name, theirs in (("features", "kd"), ("generator", "gan"), ("scores", "score"), ("ratings", "iou")):
        same(f"term of {name}", found[name], expected[f"{theirs}_term"], 1e-5, True)
    same("discriminators' loss", actor.discriminator_loss(student, teacher), expected["loss_D"], 1e-5, True)
    same("total", student.loss + sum(found.values()), given[case]["total"], 1e-5, True)


def test_discriminators_equal_the_release(reference, same):
    given = reference("mkdnet")["discriminator"]
    for number, (level, bins) in enumerate(((3, 5), (4, 3)), 1):
        discriminator = Discriminator(256 * bins**2)
        discriminator.load_state_dict(recipe_state(f"mkdnet/D{number}", discriminator.state_dict()), strict=True)
        assert {name: list(each.shape) for name, each in discriminator.state_dict().items()} == given[f"keys{number}"]
        for kind, own in (("fake", "s"), ("real", "t")):
            logits = discriminator(hash_tensor(f"mkdnet/roi{level}_{own}", (24, 256 * bins**2)))
            same("discriminators", logits.sigmoid()[:, None], given[f"d{number}_{kind}"], 1e-5)


def test_degradation_equals_the_release(reference, same):
    given = reference("mkdnet")["degrade"]
    rows, columns = torch.meshgrid(*2 * [torch.arange(352, dtype=torch.float64)], indexing="ij")
    waves = ((columns / 9).sin() * (rows / 13).cos()).float()
    image = 0.5 * hash_tensor("mkdnet/degrade/image", (3, 352, 352)) + waves
    for case in given["cases"][:-1]:
        small = shrunk(352, *case["wh"], 16, faithful=True)
        assert list(small) == case["mid_hw"]
        found = degrade(image[None], *small, case["up"], antialias=False)[0]
        same("degradation", found[:, ::8, ::8], case["out_every8"], 1e-5)
        same("degradation", found[:, :6, :6], case["out_corner"], 1e-5)
        same("degradation", found[:, -4:, -4:], case["out_tail"], 1e-5)
        same("degradation, sum", found.double().sum(), case["out_sum"], 1e-2)
        if "mid_every5" in case:
            shrunken = interpolate(image[None], small, mode="bicubic", align_corners=False)[0]
            same("degradation, shrunken", shrunken[:, ::5, ::5], case["mid_every5"], 1e-5)
    # Means over the batch; those of search crops are divided by the number of templates.
    case = given["cases"][-1]
    boxes = {name: case[f"boxes_{ours}"].transpose(0, 1) for name, ours in (("template", "train"), ("search", "test"))}
    for name, ours in (("template", "train"), ("search", "test")):
        mean = boxes[name].flatten(0, 1).sum(dim=0)[2:] / boxes["template"][..., 0].numel()
        assert list(shrunk(352, *mean.tolist(), 16, faithful=True)) == case[f"mid_{ours}"][2:]


def test_student_and_teacher_equal_the_release(reference, same):
    """Both whole networks, with the degradation before the student."""
    given = reference("mkdnet_full_recipe")
    student, teacher = super_dimp().eval(), super_dimp().eval()

    def fill(network, suffix):
        kept = {name: value for name, value in network.state_dict().items() if ".filter_optimizer." in name}
        parts = {name: value for name, value in network.state_dict().items() if name not in kept}
        named = {}
        for name in parts:
            head, _, tail = name.partition(".")
            named[name] = f"{head}{'' if head == 'classifier' else suffix}.{tail}"
        made = recipe_state("mkdnet", {named[name]: value for name, value in parts.items()}, FACTORS)
        network.load_state_dict(kept | {name: made[named[name]] for name in parts}, strict=True)

    fill(student, "")
    fill(teacher, "_t")
    images = {kind: hash_tensor(f"mkdnet/full/{kind}", (2, 1, 3, 352, 352)) for kind in ("train", "test")}
    small = {}
    for kind in images:
        width, height = given[f"{kind}_bb"].flatten(0, 1).mean(dim=0)[2:].tolist()
        flat = degrade(images[kind].flatten(0, 1), *shrunk(352, width, height, 16, True), "bilinear", antialias=False)
        small[kind] = flat.view(images[kind].shape)
    with torch.no_grad():
        for name, network, seen in (("student", student, small), ("teacher", teacher, images)):
            scores, pooled = network.respond(seen["train"], seen["test"], given["train_bb"], given["proposals"])
            same("scores of six filters", torch.stack(scores), given[f"scores_{name}"], 1e-4)
            same("ratings", network.bb_regressor.rate(pooled).view(2, 1, 4), given[f"iou_{name}"], 1e-3)
            kind = "fake" if name == "student" else "real"
            for number, level in enumerate(pooled, 1):
                discriminator = Discriminator(level[0, 0].numel())
                prefix = f"feat_D{number}."
                named = {prefix + key: value for key, value in discriminator.state_dict().items()}
                state = recipe_state("mkdnet", named)
                discriminator.load_state_dict({key.removeprefix(prefix): value for key, value in state.items()})
                answers = discriminator(level.flatten(0, 1).flatten(1)).sigmoid()[:, None]
                same("discriminators of both", answers, given[f"d{number}_{kind}"], 1e-4)
            if name == "student":
                for level, key in zip(pooled, ("roi3_every8", "roi4_every8"), strict=True):
                    same("pooled features", level.flatten(0, 1)[:, ::8], given[key], 1e-3)


def recipe_batch(size=64):
    """A batch of two samples with two templates and two search crops each, without random numbers."""
    boxes = torch.tensor([[20.0, 22, 12, 9], [24, 18, 10, 16], [30, 25, 8, 11], [16, 28, 14, 10]]).view(2, 2, 4)
    noise = 0.2 * hash_tensor("mkd/proposals", (2, 2, 4, 4))
    proposals = torch.cat(
        [boxes[:, :, None, :2] + 10 * noise[..., :2], boxes[:, :, None, 2:] * noise[..., 2:].exp()], 3
    )
    images = {kind: hash_tensor(f"mkd/{kind}", (2, 2, 3, size, size), 50, 128) for kind in ("template", "search")}
    return {
        **{f"{kind}_images": each.clamp(0, 255).to(torch.uint8) for kind, each in images.items()},
        "template_boxes": boxes.flip(0),
        "search_boxes": boxes,
        "proposals": proposals,
    }


def own_numbers():
    """Every term of both configurations, of networks by the recipe on a batch by the recipe."""
    found = {}
    for name in ("baseline", "faithful"):
        actor = actor_of(settings(name, "TRAIN.MKD.SIDE=8"))
        recipe_network(actor.network, "mkd/j")  # with a tag at which all terms count
        for kind, helper in actor.helpers.items():
            recipe_network(helper, f"mkd/{kind}")
        torch.manual_seed(0)
        found[name] = {
            key: value.item() for _, _, stats in actor.phases(recipe_batch()) for key, value in stats.items()
        }
    return found


def test_terms_are_what_they_were():
    found, expected = own_numbers(), json.loads(OWN.read_text())
    for name, terms in expected.items():
        assert found[name] == pytest.approx(terms, rel=1e-3, abs=1e-6)
        assert all(terms[f"MKD/{each}"] > 0 for each in ("generator", "features", "scores", "ratings")), "all are seen"


def test_the_terms_written_out():
    """Of one Answer each, in plain loops: the weights of the paper, sample by sample."""
    actor = actor_of(settings("baseline", "MODEL.BOX_WIDTH=2"))
    generator = torch.Generator().manual_seed(1)

    def drawn():
        sizes = [discriminator.model[0].in_features for discriminator in actor.helpers["discriminators"]]
        features = tuple(torch.randn(3, 4, size, generator=generator) for size in sizes)
        losses = torch.rand(2, 3, generator=generator)
        return Answer(torch.tensor(1.0), {}, *losses, torch.randn(3, 6, 5, 5, generator=generator),
                      torch.randn(3, 4, generator=generator), features)  # fmt: skip

    student, teacher = drawn(), drawn()
    expected = dict.fromkeys(("generator", "features", "scores", "ratings"), 0.0)
    rdm = {
        name: actor.reliability(getattr(student, name), getattr(teacher, name)) for name in ("score_loss", "box_loss")
    }
    for n in range(3):
        scores, boxes = (max((getattr(student, name) - getattr(teacher, name))[n].item(), 0) for name in rdm)
        assert rdm["score_loss"][n].item() == scores and rdm["box_loss"][n].item() == boxes
        expected["scores"] += 2 * scores * (student.scores[n] - teacher.scores[n]).abs().mean().item() / 3
        expected["ratings"] += 0.1 * boxes * (student.ratings[n] - teacher.ratings[n]).abs().mean().item() / 3
        for discriminator, own, other in zip(
            actor.helpers["discriminators"], student.features, teacher.features, strict=True
        ):
            taken_for_teacher = discriminator(own[n]).sigmoid()
            expected["generator"] += boxes * -taken_for_teacher.log().mean().item() / 3
            expected["features"] += 5 * boxes * (own[n] - other[n]).abs().mean().item() / 3
    found = actor.terms(student, teacher, *rdm.values())
    assert {name: each.item() for name, each in found.items()} == pytest.approx(expected, rel=1e-5)
    assert sum(value > 0 for value in expected.values()) == 4
    # A student that is better is not held back, and exchanging the two exchanges who is.
    assert (actor.reliability(teacher.score_loss, student.score_loss) > 0).tolist() == (rdm["score_loss"] == 0).tolist()


@pytest.mark.parametrize("name", ["baseline", "faithful"])
def test_equal_networks_on_equal_images_have_nothing_to_learn(name, monkeypatch):
    actor = actor_of(settings(name))
    actor.network.eval()
    monkeypatch.setattr(type(actor), "degrade", lambda self, batch: {})
    if actor.faithful:  # whose teacher is never in eval mode
        monkeypatch.setattr(type(actor), "teach", lambda self, batch, student: self.actor.answer(self.network, batch))
    (_, _, _), (_, total, stats) = actor.phases(recipe_batch())
    for term in ("generator", "features", "scores", "ratings", "rdm_scores", "rdm_boxes"):
        assert stats[f"MKD/{term}"] == 0, term
    plain, _ = actor.actor.batch_loss(recipe_batch())
    assert total == plain


def step(actor, batch):
    """Step the optimisers of a batch's phases, as the trainer does."""
    optimisers = actor.optimisers()
    for name, loss, _ in actor.phases(batch):
        loss.backward()
        yield name
        optimisers[name].step()
        for each in optimisers.values():
            each.zero_grad()


def test_the_teacher_stays_as_it_is_and_the_discriminators_step_first():
    actor = actor_of(settings())
    teacher, discriminators = actor.helpers["teacher"], actor.helpers["discriminators"]
    for helper in actor.helpers.values():
        helper.train(any(parameter.requires_grad for parameter in helper.parameters()))
    before = {
        name: copy.deepcopy(each.state_dict())
        for name, each in (("teacher", teacher), ("discriminators", discriminators))
    }
    student = copy.deepcopy(actor.network.state_dict())
    names = []
    for name in step(actor, recipe_batch()):
        names.append(name)
        assert all(parameter.grad is None for parameter in teacher.parameters())
        if name == "discriminator":
            assert all(parameter.grad is None for parameter in actor.network.parameters())
        else:
            assert any(
                (before["discriminators"][key] != value).any() for key, value in discriminators.state_dict().items()
            )
    assert names == ["discriminator", "network"]
    assert all(torch.equal(before["teacher"][name], value) for name, value in teacher.state_dict().items())
    assert any((student[name] != value).any() for name, value in actor.network.state_dict().items())


def test_the_faithful_teacher_drifts_and_its_loss_reaches_the_shared_classifier():
    actor = actor_of(settings("faithful"))
    teacher = actor.helpers["teacher"]
    assert not any(name.startswith("classifier") for name in teacher.state_dict())
    assert not torch.equal(teacher.bb_regressor.iou_predictor.weight, actor.network.bb_regressor.iou_predictor.weight)
    before = copy.deepcopy(teacher.state_dict())
    student = actor.actor.answer(actor.network, recipe_batch())
    answer = actor.teach(recipe_batch(), student)
    changed = {name for name, value in teacher.state_dict().items() if not torch.equal(value, before[name])}
    assert changed and all(name.endswith(("running_mean", "running_var", "num_batches_tracked")) for name in changed)
    assert any("bb_regressor" in name for name in changed)
    # RDM falls as the teacher's loss rises: the shared classifier is pulled both ways.
    own = actor.network.classifier.filter_initializer.filter_conv.weight
    (up,) = torch.autograd.grad(answer.score_loss.mean(), own, retain_graph=True)
    rdm = actor.reliability(student.score_loss.detach() + 100, answer.score_loss)
    (down,) = torch.autograd.grad(rdm, own)
    assert up.abs().max() > 0 and torch.allclose(down, -up)


def test_guessing_discriminators_have_a_loss_of_ln_2():
    """2 ln 2 for the features of both networks together; the loss is their mean."""
    actor, losses = actor_of(settings()), []
    for seed in range(3):
        torch.manual_seed(seed)
        student, teacher = (actor.actor.answer(network, recipe_batch()) for network in
                            (actor.network, actor.helpers["teacher"]))  # fmt: skip
        losses.append(actor.discriminator_loss(student, teacher).item())
    assert losses == pytest.approx([math.log(2)] * 3, abs=0.05)


def test_discriminators_keep_their_rate():
    actor = actor_of(settings("baseline", "TRAIN.LR=1e-3"))
    optimisers = actor.optimisers()
    for optimiser in optimisers.values():
        optim.remember_rates(optimiser)
        optim.set_rate(optimiser, 0.2)
    assert {group["lr"] for group in optimisers["discriminator"].param_groups} == {5e-4}
    assert max(group["lr"] for group in optimisers["network"].param_groups) == pytest.approx(2e-4)


def test_the_mean_target_of_a_batch_gets_its_side():
    batch = recipe_batch()
    sizes = torch.cat([batch["template_boxes"], batch["search_boxes"]])[..., 2:].flatten(0, 1).mean(dim=0)
    actor = actor_of(settings("baseline", "TRAIN.MKD.SIDE=8"))
    ways = set()
    for seed in range(6):
        torch.manual_seed(seed)
        degraded = actor.degrade(batch)
        rows, columns = (round(64 * 8 / each) for each in sizes.flip(0).tolist())
        for images in degraded.values():
            ways.add(kind_of(images, rows, columns))
    assert ways == {"nearest", "bilinear"}, "one coin for all images"
    # Targets that are smaller already stay as they are, unless the release is followed.
    small = {**batch, "template_boxes": batch["template_boxes"] / 4, "search_boxes": batch["search_boxes"] / 4}
    assert all(torch.equal(images, batch[name] / 255) for name, images in actor.degrade(small).items())
    faithful = actor_of(settings("faithful", "TRAIN.MKD.SIDE=8"))
    assert not any(torch.equal(images, batch[name] / 255) for name, images in faithful.degrade(small).items())


def kind_of(images, rows, columns):
    """How images (B, N, 3, S, S) were enlarged from `rows` x `columns`; checks that they were."""
    flat = images.flatten(0, 2)
    changes = [(flat.diff(dim=axis).abs().amax(dim=(0, 3 - axis)) > 1e-6).sum().item() + 1 for axis in (1, 2)]
    if changes == [rows, columns]:
        return "nearest"
    assert changes[0] > rows and changes[1] > columns
    return "bilinear"


def test_a_broken_off_training_goes_on_exactly(tmp_path, monkeypatch):
    made, data = settings("baseline", "TRAIN.EPOCH=2", "TRAIN.VAL_FRAMES=0"), {"synthetic": clips()}

    def train(folder):
        job = run_training.Job("mkdnet", "baseline", made, data, {}, tmp_path / folder, device="cpu")
        assert run_training.run(job) == 0
        (last,) = (tmp_path / folder).rglob("*_ep0002.pth.tar")
        return checkpoint.read(last)

    whole = train("whole")
    with broken_off(monkeypatch):
        train("broken")
    again = train("broken")
    assert set(whole["helpers"]) == {"teacher", "discriminators"} and set(whole["optimisers"]) == {
        "network", "discriminator"}  # fmt: skip
    for part in ("net", "helpers", "optimisers"):
        one, other = tensors(whole[part]), tensors(again[part])
        assert len(one) > 5 and all(torch.equal(value, other[name]) for name, value in one.items())
    assert torch.equal(whole["helpers"]["teacher"]["bb_regressor.iou_predictor.weight"],
                       again["helpers"]["teacher"]["bb_regressor.iou_predictor.weight"])  # fmt: skip


def test_a_start_is_a_released_file_or_one_line(tmp_path):
    paths = Paths(tmp_path / "data", tmp_path / "output", tmp_path / "pretrained")
    with pytest.raises(UserError) as error:
        inputs.previous_stage(None, "baseline", paths, "dimp/super_dimp")
    text = str(error.value)
    assert "TRAIN.START dimp/super_dimp" in text and "super_dimp.pth.tar from https://" in text and "\n" not in text
    file = paths.pretrained / "super_dimp.pth.tar"
    file.parent.mkdir()
    file.write_bytes(b"")
    assert inputs.previous_stage(None, "baseline", paths, "dimp/super_dimp") == file
    assert inputs.previous_stage("None", "baseline", paths, "dimp/super_dimp") is None
    with pytest.raises(UserError, match="no configuration 'nothing' of dimp"):
        inputs.previous_stage(None, "baseline", paths, "dimp/nothing")


def test_a_released_checkpoint_tracks_with_its_student(tmp_path):
    made = settings("faithful", "TEST.FIRST_ITERATIONS=1")
    network = registry.network("mkdnet", made)
    state = {f"{name.partition('.')[0]}{suffix}.{name.partition('.')[2]}": value for suffix in ("", "_t")
             for name, value in network.state_dict().items()}  # fmt: skip
    state |= {f"feat_D{number}.model.0.weight": torch.zeros(1, 1) for number in (1, 2)}
    path = tmp_path / "DiMPnet_ep0050.pth.tar"
    release(path, state)
    tracker = registry.tracker("mkdnet")(made, path)
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in tracker.network.state_dict().items())
    frame = clips(1)[0].frames()[0]
    tracker.initialize(frame, (20, 30, 10, 10))
    assert tracker.track(frame).box


if __name__ == "__main__":
    efficientnet_lite.LITE0 = tuple((1, 1, 3, stride, outputs) for stride, outputs in (
        (1, 8), (2, 24), (2, 40), (2, 80), (1, 112)))  # fmt: skip  # as the fixture minute_trunk
    OWN.write_text(json.dumps(own_numbers(), indent=1) + "\n")
