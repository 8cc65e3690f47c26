"""The enhancer inside `lunar`: absent where it is off, nothing done by day, the same in training and tracking."""

import numpy as np
import pytest
import torch

from lib import config
from lib.data.crop import Crop
from lib.data.sequence import Sequence
from lib.errors import UserError
from lib.models.enhancer import build_enhancer, save_enhancer
from lib.models.lunar.build import build_network
from lib.test.tracker.lunar import LunarTracker
from lib.train.actors.lunar import LunarActor
from lib.train.data.lunar import LunarSamples

ON = "MODEL.ENHANCER.ENABLE=true"
BOX = [60.3, 50.7, 9.5, 7.25]


def frames(low, high, count=4):
    rng = np.random.default_rng(0)
    return [rng.integers(low, high, (120, 160, 3), np.uint8) for _ in range(count)]


def dark_clip():
    """Dark noise with a target of 12 px, as a training sequence."""
    images = frames(0, 60)
    return {"made": [Sequence("a", "made", np.tile([40.0, 30.0, 12.0, 12.0], (4, 1)), lambda: images)]}


def network(*overrides, name="tiny_pairs"):
    torch.manual_seed(0)
    return build_network(config.load("lunar", name, overrides))


def tracked(net, images, *overrides, name="tiny_pairs"):
    tracker = LunarTracker(config.load("lunar", name, overrides), network=net)
    tracker.initialize(images[0], BOX)
    return [tracker.track(image)["target_bbox"] for image in images[1:]]


@pytest.mark.parametrize("name", ["tiny_pairs", "tiny"])
def test_off_means_absent_and_day_means_untouched(name):
    plain, enhanced = network(name=name), network(ON, name=name)
    assert not [name for name in plain.state_dict() if name.startswith("enhancer")]
    enhanced.load_state_dict(plain.state_dict(), strict=False)
    day, night = frames(100, 255), frames(0, 40)
    assert tracked(enhanced, day, ON, name=name) == tracked(plain, day, name=name)
    assert tracked(enhanced, night, ON, name=name) != tracked(plain, night, name=name)


@pytest.mark.parametrize(("name", "crops"), [("tiny_pairs", 1 + 3), ("tiny", 1 + 5)])
def test_twice_two_evaluations_and_no_more(name, crops):
    """The template once, then two evaluations of the enhancer's network a frame.

    A query sees the first frame as well, and the correction of sizes its shifted views, as one batch.
    """
    net, calls = network(ON, name=name), []
    net.enhancer.trunk.register_forward_hook(lambda *_: calls.append(1))
    tracked(net, frames(0, 40, 4), ON, name=name)
    assert len(calls) == 2 * crops


def test_frames_are_averaged_over_time_where_the_enhancer_asks_for_it():
    """A still, noisy scene grows quieter about the target, and only there; by day the very frames are used."""
    averaging = "MODEL.ENHANCER.AVERAGE=true"
    rng, net = np.random.default_rng(0), network(ON, averaging)
    night = [np.uint8(np.clip(40 + rng.normal(0, 8, (120, 160, 3)), 0, 255)) for _ in range(12)]
    tracker = LunarTracker(config.load("lunar", "tiny_pairs", [ON, averaging]), network=net)
    state, crop = tracker.start(night[0], BOX), Crop(80, 60, 64, 128)
    for image in night[1:]:
        state, averaged = tracker._averaged(state, image, crop)
    assert averaged[30:90, 50:110].std() < 4 and np.array_equal(averaged[:, :40], image[:, :40])
    assert tracker._averaged(state, image, Crop(80, 60, 600, 128))[1] is image, "shrunk crops are means already"
    averaged, day = tracked(net, night, ON), frames(150, 255)
    by_day = tracked(net, day, ON)
    net.enhancer.average = False
    assert averaged != tracked(net, night, ON) and by_day == tracked(net, day, ON)


def test_weights_come_from_their_own_file_unless_the_networks_has_them(tmp_path):
    file = tmp_path / "enhancer.safetensors"
    save_enhancer(file, build_enhancer("curve"))
    net = network(ON, f"MODEL.ENHANCER.WEIGHTS={file}")
    assert net.enhancer.type == "curve"  # the file says what it is
    plain = tmp_path / "plain.pth"
    torch.save(network().state_dict(), plain)
    LunarTracker(config.load("lunar", "tiny_pairs", [ON, f"MODEL.ENHANCER.WEIGHTS={file}"]), plain)
    with pytest.raises(UserError, match="missing"):
        LunarTracker(config.load("lunar", "tiny_pairs", [ON]), plain)


def test_training_sees_what_tracking_sees():
    cfg = config.load("lunar", "tiny_pairs", [ON, "TRAIN.PRECISION=fp32"])
    net = network(ON)
    actor = LunarActor(net, cfg)
    samples = LunarSamples(dark_clip(), cfg, seed=0)
    batch = {name: value[None] for name, value in samples[1, 0].items()}
    with torch.no_grad():
        net.eval()
        trained = actor.maps(batch)
        template = net.encode_template(net.enhance(batch["template_images"]), batch["template_masks"])
        single = net.track(template, net.enhance(batch["search_images"][:, 0]))
    assert all(one.equal(two) for one, two in zip(trained, single, strict=True))


@pytest.mark.parametrize("name", ["tiny_pairs", "tiny"])
def test_the_gradient_reaches_the_enhancer_through_a_frozen_tracker(name):
    cfg = config.load("lunar", name, [ON, "TRAIN.PRECISION=fp32"])
    net = network(ON, name=name)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(name.startswith("enhancer"))
    samples = LunarSamples(dark_clip(), cfg, seed=0)
    loss, _ = LunarActor(net, cfg).batch_loss({name: value[None] for name, value in samples[1, 0].items()})
    loss.backward()
    assert net.enhancer.trunk.maps.bias.grad.abs().max() > 0


def test_the_clean_crop_is_that_of_the_same_place_and_its_features_are_the_goal():
    """By day there is no distance; by night there is one, and it moves the enhancer of a frozen tracker."""
    overrides = [ON, "TRAIN.FEATURE_WEIGHT=1", "TRAIN.PRECISION=fp32", "DATA.AUGMENT.TINY=0", "DATA.AUGMENT.BLUR=0"]
    overrides += [f"DATA.AUGMENT.{name}=0" for name in ("JPEG", "BRIGHTNESS", "DISTRACTORS")]
    settings = {
        night: config.load("lunar", "tiny_pairs", [*overrides, f"DATA.AUGMENT.NIGHT={night}"]) for night in (0, 1)
    }
    clip = {"made": [Sequence("a", "made", np.tile([40.0, 30.0, 12.0, 12.0], (4, 1)), lambda: frames(150, 255))]}
    batches = {}
    for night, setting in settings.items():
        sample = LunarSamples(clip, setting, seed=0)[0, 0]
        batches[night] = {name: value[None] for name, value in sample.items() if torch.is_tensor(value)}
        assert sample["search_clean"].equal(sample["search_images"]) == (not night)
    assert batches[0]["template_clean"].equal(batches[1]["template_clean"]), "the same draws, whatever the light"
    net = network(ON).requires_grad_(False)
    net.enhancer.requires_grad_(True)
    actor = LunarActor(net, settings[1])
    assert actor.batch_loss(batches[0])[1]["Loss/feature"] == 0, "bright crops pass the gate as they are"
    loss, stats = actor.batch_loss(batches[1])
    assert stats["Loss/feature"] > 0 and stats["Loss/total"] == loss
    loss.backward()
    assert any(value.grad.abs().max() > 0 for value in net.enhancer.parameters() if value.grad is not None)
    assert "search_clean" not in LunarSamples(clip, settings[1], seed=0, training=False)[0, 0]
