"""Training of DiMP, PrDiMP, ATOM and ToMP: samples, losses, and a run that is broken off and goes on."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from lib import config, registry
from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.models.parts.iounet import to_relative
from lib.models.parts.weights import load_weights
from lib.test.evaluation import closed_loop
from lib.train import run_training
from lib.train.actors.online import _relative
from lib.train.data.proposals import density_proposals, overlap_proposals
from lib.train.dcf_losses import overlap_targets
from tests.tracker.test_online_trackers import EVERY, SMALL, minute_trunk  # noqa: F401 -- a fixture
from tests.train.tiny_run import broken_off, clips

OVERRIDES = (
    "MODEL.PRETRAIN_FILE=''",
    "DATA.TRAIN.DATASETS_RATIO=[]",
    "DATA.TRAIN.SAMPLE_PER_EPOCH=4",
    "DATA.VAL.SAMPLE_PER_EPOCH=2",
    "TRAIN.FREEZE=[]",
    "TRAIN.BATCH_SIZE=2",
    "TRAIN.EPOCH=2",
    "TRAIN.NUM_WORKER=0",
    "TRAIN.SAVE_INTERVAL=1",
    "TRAIN.VAL_EPOCH_INTERVAL=2",
    "TRAIN.VAL_FRAMES=3",
)
pytestmark = pytest.mark.usefixtures("minute_trunk")
TRAINED = [each for each in EVERY if each[1] != "dimp18"]


def settings(script, name, overrides, *more):
    few = [] if script == "tomp" else ["TRAIN.PROPOSALS=8", "DATA.SEARCH.NUMBER=2", "DATA.TEMPLATE.NUMBER=2"]
    return config.load(script, name, [*SMALL, *overrides, *OVERRIDES, *few, *more])


def samples_of(script, made, **options):
    return registry.samples(script, {"synthetic": clips()}, made, seed=0, **options)


def batch_of(script, made, count=3):
    samples = [samples_of(script, made)[1, index] for index in range(count)]
    return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


def test_a_sample_shows_its_target_where_its_box_says():
    made = settings(*EVERY[0], "DATA.AUGMENT.FLIP=0.5", "DATA.AUGMENT.BRIGHTNESS=0", "TEST.BORDER=inside_major")
    samples, again = samples_of("dimp", made), samples_of("dimp", made)
    for index in range(6):
        sample = samples[1, index]
        assert all(torch.equal(value, again[1, index][name]) for name, value in sample.items())
        assert [len(sample[f"{kind}_boxes"]) for kind in ("template", "search")] == [2, 2]
        for kind in ("template", "search"):
            for image, box in zip(sample[f"{kind}_images"], sample[f"{kind}_boxes"], strict=True):
                x, y, w, h = box.tolist()
                bright = (image[0] > 170).nonzero().float() + 0.5
                assert bright.mean(dim=0).tolist() == pytest.approx([y + h / 2, x + w / 2], abs=1.5)
        assert sample["proposals"].shape == (2, 8, 4)
        assert (overlap_targets(sample["search_boxes"][:, None], sample["proposals"]) > -0.8).all()


@pytest.mark.parametrize("border", ["replicate", "inside_major"])
def test_a_crop_repeats_the_border_of_its_frame(border):
    frames = [np.full((48, 64, 3), 255, np.uint8)] * 8
    video = Sequence("white", "synthetic", np.array([[50.0, 34, 12, 12]] * 8), lambda: frames)
    made = settings(*EVERY[0], f"TEST.BORDER={border}", "DATA.AUGMENT.FLIP=1")
    samples = registry.samples("dimp", {"synthetic": [video]}, made, seed=0)
    for index in range(4):
        sample = samples[1, index]
        assert min(sample["template_images"].min(), sample["search_images"].min()) > 100, "black is nowhere"


def test_proposals():
    rng, box = np.random.default_rng(0), np.array([10.0, 20.0, 8.0, 4.0])
    near = torch.from_numpy(overlap_proposals(rng, box, 200))
    assert (overlap_targets(torch.from_numpy(box)[None], near) >= -0.8).all()
    drawn = torch.from_numpy(density_proposals(rng, box, 4000))
    target, size = torch.from_numpy(box), torch.tensor([8.0, 4.0])
    offsets = _relative(drawn, target)
    torch.testing.assert_close(offsets, to_relative(drawn, size) - to_relative(target, size))
    # Half of the boxes have a deviation of .05, half of .5.
    assert offsets.std(dim=0).numpy() == pytest.approx(np.sqrt((0.05**2 + 0.5**2) / 2), rel=0.1)


@pytest.mark.parametrize(
    ("script", "name", "overrides"), [TRAINED[0], *TRAINED[2:], ("dimp", "super_dimp", EVERY[0][2])]
)
def test_a_few_steps_on_one_batch_lower_its_loss(script, name, overrides):
    made = settings(script, name, overrides, "TRAIN.LR=1e-3")
    torch.manual_seed(0)
    actor = registry.actor(script, registry.network(script, made).train(), made)
    batch, losses = batch_of(script, made), []
    (optimiser,) = actor.optimisers().values()
    for _ in range(6):
        ((which, loss, stats),) = actor.phases(batch)
        assert which == "network" and stats["Loss/total"] == loss
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert min(losses[3:]) < losses[0]
    actor.network.eval()
    *sums, count = actor.validate(batch)
    assert len(sums) == len(actor.scores) and all(0 <= value <= count for value in sums)


def test_parts_have_their_learning_rates():
    made = settings("dimp", "dimp18", EVERY[0][2], "TRAIN.LR=1")
    network = registry.network("dimp", made)
    (optimiser,) = registry.actor("dimp", network, made).optimisers().values()
    rate = {id(each): group["lr"] for group in optimiser.param_groups for each in group["params"]}
    for prefix, expected in (("feature_extractor.", 0.2), ("classifier.filter_optimizer.", 0.5),
                             ("classifier.filter_initializer.", 0.05), ("bb_regressor.", 1.0)):  # fmt: skip
        found = {rate[id(each)] for name, each in network.named_parameters() if name.startswith(prefix)}
        assert found == {expected}, prefix


@pytest.mark.parametrize(("script", "name", "overrides"), TRAINED[1:])
def test_a_broken_off_training_goes_on_exactly_and_its_weights_track(script, name, overrides, tmp_path, monkeypatch):
    made, data = settings(script, name, overrides), {"synthetic": clips()}

    def train(folder):
        job = run_training.Job(script, name, made, data, data, tmp_path / folder, device="cpu")
        assert run_training.run(job) == 0
        (weights,) = (tmp_path / folder).rglob("*_final.safetensors")
        return weights

    whole = train("whole")
    with broken_off(monkeypatch):
        train("broken")
    weights = train("broken")
    expected = load_file(whole)
    assert all(torch.equal(value, expected[key]) for key, value in load_file(weights).items())
    network = registry.network(script, made)
    assert load_weights(network, weights).complete
    scores = closed_loop.validate(script, network, made, clips(1))
    assert set(scores) == {"AUC", "P@5", "NP"} and all(0 <= value <= 1 for value in scores.values())


@pytest.mark.parametrize(("script", "name", "override", "message"), [
    ("dimp", "dimp50", "DATA.SEARCH.SIZE=100", "DATA.SEARCH.SIZE 100: expected a multiple of 16"),
    ("dimp", "dimp50", "TEST.SEARCH_SIZE=100", "TEST.SEARCH_SIZE 100: expected a multiple of 16"),
    ("dimp", "dimp50", "DATA.AUGMENT.TURN=0.5", "AUGMENT.TURN 0.5: this family does not rotate templates"),
    ("tomp", "tomp50", "DATA.SEARCH.NUMBER=2", "DATA.SEARCH.NUMBER 2: expected 1"),
    ("tomp", "tomp50", "MODEL.TRANSFORMER.NHEADS=7", "HIDDEN_DIM 256: expected a multiple of NHEADS 7"),
    ("atom", "default", "MODEL.BACKBONE.TYPE=resnet5", "resnet5"),
])  # fmt: skip
def test_wrong_configurations_are_one_line(script, name, override, message):
    with pytest.raises(UserError) as error:
        config.load(script, name, [override])
    assert message in str(error.value) and "\n" not in str(error.value)


def test_weights_of_another_network_say_what_they_need():
    changes = ["MODEL.BACKBONE.TYPE=lite0", "MODEL.BACKBONE.WIDTH=16", "DATA.SEARCH.SIZE=96"]
    flags = "--set DATA.SEARCH.SIZE=96 --set 'MODEL.BACKBONE.TYPE=\"lite0\"' --set MODEL.BACKBONE.WIDTH=16"
    assert run_training.network_changes("dimp", "dimp50", config.load("dimp", "dimp50", changes)) == flags
    same = config.load("dimp", "dimp50", changes[2:])
    assert run_training.network_changes("dimp", "dimp50", same) == "", "the weights do not depend on the crop's size"


@pytest.mark.parametrize("script", ["dimp", "atom", "tomp"])
@pytest.mark.parametrize("budget", ["smoke", "small", "full"])
def test_every_budget_loads(script, budget):
    for name in config.names(script):
        config.load(script, name, budget=budget)
