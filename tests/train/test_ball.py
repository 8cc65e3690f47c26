"""Windows and labels of balls, and that a step of training learns from them."""

import numpy as np
import pytest
import torch

from lib import config, registry
from lib.data.heatmap import gaussian
from lib.data.sequence import Sequence, squares
from lib.errors import UserError
from lib.train.actors.ball import gaussians
from lib.train.data import epoch_batches, make_loader

SMALL = ["DATA.SIZE=[96,64]", "DATA.CROP=[64,32]", "MODEL.WIDTHS=[6,6,8,8,8]", "MODEL.DEPTHS=[1,1,1,1,1]",
         "MODEL.FUSED=6", "DATA.TRAIN.SAMPLE_PER_EPOCH=16", "DATA.VAL.SAMPLE_PER_EPOCH=16", "TRAIN.PRECISION=fp32",
         "TRAIN.LR=5e-3"]  # fmt: skip
FRAMES = 10


def clip(number=0, size=(192, 128)):
    """A bright disc that moves over noise; it is not seen in frame 3."""
    rng = np.random.default_rng(number)
    points = np.array([(40.3 + 9 * k, 50.7 + 3 * k) for k in range(FRAMES)])
    points[3] = np.nan
    images = []
    for point in points:
        image = rng.integers(0, 60, (size[1], size[0], 3)).astype(np.float32)
        images.append(
            (image + 190 * gaussian(point if np.isfinite(point[0]) else None, size, 2.0)[..., None]).astype(np.uint8)
        )
    return Sequence(f"clip{number}", "made", squares(points, 8), lambda: images, task="point")


def samples(*overrides, config_name="baseline", script="mmfnet", training=True, sequences=None):
    settings = config.load(script, config_name, [*SMALL, *overrides])
    data = {"made": sequences or [clip(0), clip(1)]}
    return settings, registry.samples(script, data, settings, seed=3, training=training)


@pytest.mark.parametrize("more", [[], ["DATA.PAN=4", "DATA.STRETCH=1.5", "DATA.COMPRESS=1"]])
def test_the_light_of_a_ball_lies_where_the_sample_says(more):
    _, made = samples("DATA.AROUND=1", "DATA.ZOOM=[0.7,1.6]", "DATA.GAP=2", *more)
    seen = 0
    for index in range(16):
        sample = made[1, index]
        assert sample["frames"].shape == (3, 3, 32, 64) and sample["frames"].dtype == torch.uint8
        for image, point in zip(sample["frames"], sample["points"].numpy(), strict=True):
            inside = (point > 5).all() and (point < (59, 27)).all()
            if inside:
                seen += 1
                light = np.maximum(image.numpy().mean(axis=0) - 80, 0)
                rows, columns = np.indices(light.shape) + 0.5
                middle = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()
                assert middle == pytest.approx(point, abs=0.35)
        ids = sample["frame_ids"].tolist()
        assert ids[1] - ids[0] == ids[2] - ids[1] in (1, 2)
    assert seen > 10


def test_windows_are_drawn_around_balls_that_are_seen():
    rare = clip()
    rare.visible[:8] = False
    _, made = samples("DATA.AROUND=1", sequences=[rare])
    assert {int(made[1, index]["frame_ids"][1]) for index in range(16)} == {8}


def test_a_ball_flies_over_sequences_of_boxes():
    videos = clip()
    videos.task = "box"
    _, made = samples("DATA.AROUND=1", sequences=[videos])
    points = torch.stack([made[1, index]["points"] for index in range(16)])
    assert points.isfinite().any() and not torch.equal(points[0].nan_to_num(-1), points[1].nan_to_num(-1))
    _, made = samples("DATA.AROUND=0", sequences=[videos])
    assert all(made[1, index]["points"].isnan().all() for index in range(16))


def test_a_sample_depends_on_its_number_alone():
    _, one = samples()
    _, two = samples()
    two[1, 9]
    for key in ("frames", "points"):
        assert torch.equal(one[1, 4][key].nan_to_num(-1), two[1, 4][key].nan_to_num(-1))
    assert not torch.equal(one[1, 4]["frames"], one[2, 4]["frames"])
    _, fixed = samples(training=False)
    assert torch.equal(fixed[1, 4]["frames"], fixed[2, 4]["frames"])


def test_an_epoch_draws_from_its_pool():
    sequences = [clip(number) for number in range(5)]
    _, made = samples("DATA.POOL=2", sequences=sequences)
    drawn = [{int(made[epoch, index]["name"]) for index in range(16)} for epoch in (1, 2)]
    assert drawn == [{2, 3}, {4, 0}]


def test_the_background_shows_no_ball():
    _, made = samples("MODEL.BACKGROUND=true")
    sample = made[1, 0]
    assert sample["background"].shape == (3, 32, 64) and sample["background"].max() < 120


def test_sequences_shorter_than_a_window_are_refused():
    short = clip()
    short.boxes_xywh, short.visible = short.boxes_xywh[:2], short.visible[:2]
    with pytest.raises(UserError, match="made: no sequence has 3 frames"):
        samples(sequences=[short])


def test_labels_are_those_of_the_data_room():
    points = torch.tensor([[10.3, 5.8], [np.nan, np.nan]])
    drawn = gaussians(points, (12, 20), 1.7).numpy()
    assert drawn[0] == pytest.approx(gaussian((10.3, 5.8), (20, 12), 1.7), abs=1e-5) and not drawn[1].any()


@pytest.mark.parametrize(
    ("script", "name", "more"),
    [
        ("mmfnet", "lite", ["TRAIN.MIXUP=0.5"]),
        ("mmfnet", "background", []),
        ("wasb", "baseline", ["DATA.CROP=[32,32]", "TRAIN.LR=5e-4"]),
    ],
)
def test_a_network_learns(script, name, more):
    settings, made = samples("MODEL.FOLD=1", *more, config_name=name, script=script)
    torch.manual_seed(0)
    network = registry.network(script, settings)
    actor = registry.actor(script, network, settings)
    (optimiser,) = actor.optimisers().values()
    batches = [next(iter(make_loader(made, epoch_batches(16, 4, epoch=1)[:1], 0)))] * (6 if script == "mmfnet" else 2)
    losses = []
    for batch in batches:
        ((_, loss, stats),) = actor.phases(batch)
        losses.append(float(stats["Loss/total"]))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    assert losses[-1] < losses[0]
    right, count = actor.validate(batches[0])
    assert 0 <= right <= count == 12


def test_validation_counts_what_is_right():
    settings, made = samples("DATA.AROUND=1", training=False)
    actor = registry.actor("mmfnet", registry.network("mmfnet", settings), settings)

    class Bright(torch.nn.Module):
        def forward(self, x):
            return x.unflatten(1, (-1, 3)).mean(dim=2)

    actor.network = Bright()
    batch = next(iter(make_loader(made, epoch_batches(16, 16, epoch=0), 0)))
    right, count = actor.validate(batch)
    assert count == 48 and right > 40
