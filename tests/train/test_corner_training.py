"""Training of STARK and STTrack: samples, losses, both stages of STARK-ST, and a short run that resumes nothing."""

import dataclasses

import numpy as np
import pytest
import torch

from lib import config, registry
from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.models.parts.weights import load_state
from lib.models.stark import Stark
from lib.models.sttrack import STTrack
from lib.train import run_training
from lib.train.actors.corner import padding
from lib.train.trainers import optim
from tests.models.test_stark import SMALL, Trunk
from tests.train.tiny_run import OVERRIDES, broken_off, clips


def settings(script, name, *overrides):
    return config.load(script, name, [*OVERRIDES, "DATA.ABSENT=0", "DATA.SEARCH.MIN_SIDE=24", *overrides])


def network(settings):
    """A minute network in the place of the family's."""
    torch.manual_seed(0)
    if "HISTORY" in settings.MODEL:
        return STTrack(Trunk(), **SMALL, history=settings.MODEL.HISTORY)
    return Stark(Trunk(), **SMALL, classify=settings.MODEL.CLASSIFY)


def batch_of(script, settings, count=4, **options):
    samples = registry.samples(script, {"synthetic": clips()}, settings, seed=0, **options)
    return {name: torch.stack([samples[1, i][name] for i in range(count)]) for name in samples[1, 0]}


@pytest.fixture
def minute(monkeypatch):
    """Put the minute network in the place of a family's own: minute(script)."""

    def put(script):
        family = dataclasses.replace(registry.FAMILIES[script], network=f"{__name__}:network")
        monkeypatch.setitem(registry.FAMILIES, script, family)

    return put


def test_padding_is_what_is_black():
    frames = [np.full((48, 64, 3), 255, np.uint8)] * 4
    video = Sequence("white", "synthetic", np.array([[50.0, 34, 12, 12]] * 4), lambda: frames)
    made = settings("sttrack", "baseline", "DATA.SEARCH.NUMBER=3", "DATA.AUGMENT.TINY=0", "DATA.AUGMENT.STRETCH=0")
    samples = registry.samples("sttrack", {"synthetic": [video]}, made, seed=0, training=False)
    sample = {name: value[None] for name, value in samples[1, 0].items()}
    for crop in ("template", "search"):
        black = (sample[f"{crop}_images"] < 128).all(dim=2)
        assert torch.equal(padding(sample, crop), black), crop
    assert padding(sample, "search").any()


@pytest.mark.parametrize("script, name, overrides", [
    ("stark", "baseline_s50", ()), ("stark", "baseline_boxes", ()), ("sttrack", "baseline", ("DATA.SEARCH.NUMBER=3",)),
])  # fmt: skip
def test_a_few_steps_on_one_batch_lower_its_loss(script, name, overrides):
    made = settings(script, name, *overrides)
    actor = registry.actor(script, network(made).train(), made)
    batch, losses = batch_of(script, made), []
    (optimiser,) = actor.optimisers().values()
    rates = sorted({group["lr"] for group in optimiser.param_groups})
    assert rates == pytest.approx([1e-4, 1e-3]), "the backbone's is a tenth"
    for _ in range(12):
        (phase,) = actor.phases(batch)
        which, loss, stats = phase
        assert which == "network" and stats["Loss/total"] == loss
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert min(losses[6:]) < 0.85 * losses[0]
    actor.network.eval()
    total, count = actor.validate(batch)
    assert 0 <= total <= count == batch["search_visible"].sum()


@pytest.mark.parametrize("script, giou, l1", [("stark", 2, 5), ("sttrack", 5, 2)])
def test_sttracks_released_training_alone_swaps_its_weights(script, giou, l1):
    name = "baseline_s50" if script == "stark" else "baseline"
    made = settings(script, name, "MODEL.FAITHFUL=true", f"DATA.SEARCH.NUMBER={1 if script == 'stark' else 2}")
    ((_, _, stats),) = registry.actor(script, network(made), made).phases(batch_of(script, made, 2))
    expected = giou * stats["Loss/giou"] + l1 * stats["Loss/l1"]
    assert stats["Loss/total"].item() == pytest.approx(expected.item())


def test_the_second_stage_trains_the_score_alone():
    made = settings("stark", "baseline", "DATA.ABSENT=0.5")
    trained = network(made)
    optim.freeze(trained, made.TRAIN.FREEZE)
    actor = registry.actor("stark", trained, made)
    assert actor.scores == ("Accuracy",)
    batch = batch_of("stark", made, 8)
    assert 0 < batch["search_visible"].sum() < 8, "crops with the target and without"
    ((_, loss, stats),) = actor.phases(batch)
    assert loss.item() == pytest.approx(stats["Loss/cls"].item()) == pytest.approx(stats["Loss/total"].item())
    actor.optimisers()
    loss.backward()
    learned = {name for name, parameter in trained.named_parameters() if parameter.grad is not None}
    assert learned == {name for name, _ in trained.named_parameters() if name.startswith("cls_head.")}
    right, count = actor.validate(batch)
    assert 0 <= right <= count == 8


@pytest.mark.parametrize("script", ["stark", "sttrack"])
def test_a_short_training_goes_on_exactly_and_gives_weights_that_track(script, tmp_path, minute, monkeypatch):
    minute(script)
    number = 2 if script == "sttrack" else 1
    few = (f"DATA.SEARCH.NUMBER={number}", "TRAIN.EPOCH=1", "TRAIN.BATCH_SIZE=2", "DATA.TRAIN.SAMPLE_PER_EPOCH=10")
    made, data = settings(script, "baseline", *few), {"synthetic": clips()}

    def train(folder):
        job = run_training.Job(script, "baseline", made, data, data, tmp_path / folder, device="cpu")
        assert run_training.run(job) == 0
        (weights,) = (tmp_path / folder).rglob("*.safetensors")
        return weights

    weights = train("whole")
    state = load_state(weights)[0]
    assert set(state) == set(network(made).state_dict())
    with broken_off(monkeypatch):
        train("broken")
    again = load_state(train("broken"))[0]
    assert all(value.equal(again[name]) for name, value in state.items())
    tracker = registry.tracker(script)(made, weights)
    (video, *_) = clips()
    frames = video.frames()
    tracker.initialize(frames[0], video.boxes_xywh[0])
    for frame in frames[1:4]:
        assert np.isfinite(tracker.track(frame).box).all()


@pytest.mark.parametrize("script, override, message", [
    ("stark", "DATA.TEMPLATE.NUMBER=3", "DATA.TEMPLATE.NUMBER 3: expected 1 or 2"),
    ("stark", "DATA.SEARCH.NUMBER=2", "DATA.SEARCH.NUMBER 2: expected 1"),
    ("stark", "DATA.SEARCH.SIZE=100", "SEARCH.SIZE 100 is not a multiple of 16"),
    ("stark", "TRAIN.CLS_WEIGHT=1", "TRAIN.CLS_WEIGHT needs MODEL.CLASSIFY"),
    ("stark", "MODEL.TRANSFORMER.NHEADS=7", "HIDDEN_DIM 256: expected a multiple of NHEADS 7"),
    ("stark", "TRAIN.GIOU_WEIGHT=0 TRAIN.L1_WEIGHT=0", "there is no loss"),
    ("stark", "DATA.AUGMENT.TURN=0.3", "crops cannot be rotated"),
    ("sttrack", "TEST.BACKEND=onnx MODEL.FAITHFUL=true", "MODEL.FAITHFUL: the history grows"),
    ("sttrack", "DATA.TEMPLATE.NUMBER=2", "DATA.TEMPLATE.NUMBER 2: expected 1"),
    ("sttrack", "MODEL.BACKBONE.TYPE=resnet5", "resnet5"),
])  # fmt: skip
def test_wrong_configurations_are_one_line(script, override, message):
    with pytest.raises(UserError) as error:
        config.load(script, "baseline_s50" if script == "stark" else "baseline", override.split())
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("script, name", [
    ("stark", "baseline_s50"), ("stark", "baseline_boxes"), ("stark", "baseline"),
    ("stark", "baseline_r101_boxes"), ("stark", "baseline_r101"),
    ("sttrack", "baseline"), ("sttrack", "baseline_got10k_only"), ("sttrack", "tiny"),
])  # fmt: skip
@pytest.mark.parametrize("budget", [None, "smoke", "small", "full"])
def test_every_experiment_loads(script, name, budget):
    made = config.load(script, name, budget=budget)
    if script == "sttrack":
        assert made.MODEL.HISTORY == made.DATA.SEARCH.NUMBER - 1, "as many as a clip has before its last frame"
