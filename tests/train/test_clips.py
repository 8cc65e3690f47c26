"""Clips for a network with a query: what it is told, what happens to it, and that training does what tracking does."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import default_collate

from lib import config
from lib.data import benchmarks
from lib.data.benchmarks.pack import pack_crops
from lib.data.crop import Crop
from lib.data.sequence import Sequence
from lib.test.tracker.lunar import LunarTracker
from lib.train.actors import lunar_clip as clip
from lib.train.actors.lunar import LunarActor
from lib.train.actors.lunar_clip import _corrupt, _show, follow
from lib.train.data import lunar
from lib.train.data.augmentation import Distractor
from lib.train.data.lunar import (
    CHAIN_GT,
    CHAIN_PRED,
    CORRUPTIONS,
    DRAWN_OFF,
    DROPPED,
    INDEPENDENT,
    KEPT,
    POISONED,
    LunarSamples,
)
from tests.networks import make_lunar

SIZES = [
    "DATA.SEARCH.SIZE=64",
    "DATA.SEARCH.MIN_SIDE=40",
    "DATA.SEARCH.NUMBER=3",
    "DATA.TEMPLATE.SIZE=32",
    "DATA.TEMPLATE.MIN_SIDE=20",
    "MODEL.QUERY.ENABLE=true",
    "TRAIN.EPOCH=10",
    "TRAIN.PRECISION=fp32",
]
PLAIN = [
    f"DATA.AUGMENT.{name}=0" for name in ("FLIP", "GRAY", "BRIGHTNESS", "STRETCH", "BLUR", "JPEG", "TINY", "NIGHT")
]
CALM = [f"DATA.CLIP.{name}=0" for name in ("JITTER", "DROP", "POISON", "DRAW_OFF")]
FRAMES, PLACES = 12, 4


@pytest.fixture(autouse=True)
def few_places(monkeypatch):
    """Fewer last places than the network remembers, so that short clips fill them."""
    monkeypatch.setattr(lunar, "TRAJECTORY", PLACES)


def settings(*overrides):
    return config.load("lunar", "baseline_pairs", [*SIZES, *PLAIN, *overrides])


def sequence(number=0, visible=None):
    """A bright square that moves and grows over a smooth ground."""
    x, y = np.meshgrid(np.arange(200), np.arange(160))
    boxes, images = [], []
    for frame in range(FRAMES):
        box = np.array([70 + 2.3 * frame + 9 * number, 60 + 1.7 * frame, 12.4 + 0.2 * frame, 11 + 0.2 * frame + number])
        ground = 90 + 40 * np.sin((x + 9 * number) / 11) + 30 * np.cos(y / 8)
        edge = (np.abs(x + 0.5 - box[0] - box[2] / 2) < box[2] / 2) & (
            np.abs(y + 0.5 - box[1] - box[3] / 2) < box[3] / 2
        )
        images.append(np.stack([np.where(edge, 240, ground), ground, np.where(edge, 60, ground)], 2).astype(np.uint8))
        boxes.append(box)
    return Sequence(f"clip{number}", "made", np.array(boxes), lambda: images, visible)


def samples(sequences, *overrides, **options):
    return LunarSamples({"made": sequences}, settings(*overrides), **{"seed": 0, "ratios": [], **options})


def build(cfg, **query):
    """A small network whose query is heard."""
    torch.manual_seed(0)
    network = make_lunar(
        embed_dim=32,
        depth=2,
        num_heads=2,
        head_channels=16,
        template_size=cfg.DATA.TEMPLATE.SIZE,
        search_size=cfg.DATA.SEARCH.SIZE,
        attention="one_way",
        head_stride=8,
        drop_path=0,
        query={"dim": 24, "heads": 3, "slots": 4, "trajectory": PLACES, "inject": True, **query},
    )
    heard = network.query
    for part in (heard.scale, heard.shift, heard.place[-1].weight, *heard.quality[-1].parameters()):
        torch.nn.init.normal_(part, std=0.3)
    return network


def spied(monkeypatch, network):
    """A list that grows by [state before, search crops, windows, (maps, Readout, state after)] with every frame."""
    steps, readout, write = [], network.readout, network.write

    def reading(template, search, state, windows, *rest):
        found = readout(template, search, state, windows, *rest)
        steps.append([state, search, windows, found])
        return found

    def writing(*arguments):
        after = write(*arguments)
        steps[-1][3] = (*steps[-1][3], after)
        return after

    monkeypatch.setattr(network, "readout", reading)
    monkeypatch.setattr(network, "write", writing)
    return steps


def without_noise(monkeypatch):
    monkeypatch.setattr("lib.train.data.views.ONLINE_JITTER", 0)
    monkeypatch.setattr("lib.train.data.lunar.ONLINE_JITTER", 0)
    monkeypatch.setattr(clip, "NOISE", 0)


def same(first, second, tolerance=1e-5):
    return all(torch.allclose(a, b, rtol=tolerance, atol=tolerance) for a, b in zip(first, second, strict=True))


def batch_of(source, count, epoch=1):
    return default_collate([source[epoch, index] for index in range(count)])


@torch.no_grad()
def test_training_does_what_tracking_does(monkeypatch):
    """Q2: the same crops to the bit, the same maps and, field by field, the same states after every frame."""
    without_noise(monkeypatch)
    count = 9
    monkeypatch.setattr("lib.train.data.lunar.draw_frames", lambda *_: ([0], list(range(1, count + 1))))
    test = ["TEST.WINDOW=none", "TEST.MOTION=none", "TEST.SIZE_STEP=1", "TEST.CONFIDENCE=0"]
    cfg = settings(*CALM, *test, f"DATA.SEARCH.NUMBER={count}")
    network = build(cfg, reset=2).eval()
    network.query.quality[-1].weight.mul_(4)
    sequences = [sequence(number) for number in range(2)]
    batch = default_collate([LunarSamples({"a": [one]}, cfg, seed=0, training=False)[1, 0] for one in sequences])
    steps = spied(monkeypatch, network)
    usual = follow(network, batch, cfg.DATA.SEARCH.FACTOR).quality.sigmoid()
    network.query.thresholds = write, hold = usual.quantile(0.6).item(), usual.quantile(0.3).item()
    steps.clear()
    followed = follow(network, batch, cfg.DATA.SEARCH.FACTOR)
    trained, gates = list(steps), set()
    assert len(trained) == count + 1
    for number, one in enumerate(sequences):
        tracker, images = LunarTracker(cfg, network=network), one.frames()
        conclude = tracker._conclude

        def true_box(state, image, box, score, one=one, conclude=conclude):
            return conclude(state, image, one.boxes_xywh[state.frame + 1], score)

        tracker._conclude = true_box
        steps.clear()
        state = tracker.start(images[0], one.first_box)
        for frame in range(1, count + 1):
            (state,), (result,) = tracker.track_frames([state], [images[frame]])
            logit = followed.quality.view(count, 2)[frame - 1, number]
            assert result["score"] == pytest.approx(logit.sigmoid().item(), abs=1e-5)
            gates.add((result["score"] >= hold) + (result["score"] >= write))
        for (before, search, window, after), (*seen, found) in zip(trained, steps, strict=True):
            assert torch.equal(search[number], seen[1][0])
            assert torch.allclose(window[number], seen[2][0])
            part = slice(number, number + 1)
            for ours, theirs in ((before, seen[0]), (after[2], found[2])):
                assert same(vars(ours.select(part)).values(), vars(theirs).values())
            (maps, look, _), (theirs, their_look, _) = after, found
            ours = (*maps, *look[:3], look.expected)
            assert same([values[part] for values in ours], [*theirs, *their_look[:3], their_look.expected])
    assert gates == {0, 1, 2}, "the states went every way"


@pytest.mark.parametrize(("size", "least"), [(128, 40), (80, 0)])
@pytest.mark.parametrize("training", [True, False])
def test_crops_in_a_cache_are_placed_as_in_whole_frames(tmp_path, size, least, training):
    """Crops with the frame's own pixels, and crops of larger windows that were shrunk."""
    whole = [sequence(number) for number in range(2)]
    pack_crops(whole, tmp_path / "made.lmdb", lambda *_: None, size=size, context=8)
    crops = benchmarks.load("made", cache=tmp_path)
    assert [len(each.windows) for each in crops] == [FRAMES] * 2
    overrides = [f"DATA.SEARCH.MIN_SIDE={least}", "DATA.AUGMENT.FLIP=0.5", "DATA.AUGMENT.STRETCH=0.1"]
    ours, theirs = (samples(each, *overrides, training=training) for each in (whole, crops))
    sample = samples(crops, "DATA.SEARCH.MIN_SIDE=20", training=training)[1, 0]
    side = crops[int(sample["name"])].windows[int(sample["frame_ids"][0]), 3]
    assert sample["least_window"].item() == pytest.approx(20 * side / size, rel=1e-6)
    names = ("search_windows", "search_centre_size", "crop_params", "history", "anchor_window", "anchor_centre_size")
    names += ("times", "chain", "corruption", "least_window", "search_anno", "search_visible", "frame_ids")
    for key in [(1, 0), (1, 1), (1, 2), (6, 3), (10, 4), (10, 5)]:
        first, second = ours[key], theirs[key]
        for name in names:
            assert torch.allclose(first[name].double(), second[name].double(), atol=2e-3), name
        middle = slice(16, 48)  # further out the cached crop may end
        seen, cached = (sample["anchor_image"][:, middle, middle].float() for sample in (first, second))
        assert (seen - cached).abs().mean() < 12


def test_mirrored_and_stretched_clips(monkeypatch):
    """Places and windows are mirrored and stretched with the pixels, and always say where the box in the crop is."""
    without_noise(monkeypatch)
    sequences = [sequence(number) for number in range(2)]
    stretches = set()
    for key in [(1, 0), (1, 1), (7, 2), (7, 3), (10, 4), (10, 5)]:
        kept, mirrored, wide = (
            samples(sequences, *change)[key] for change in ([], ["DATA.AUGMENT.FLIP=1"], ["DATA.AUGMENT.STRETCH=0.2"])
        )
        places = (
            "search_windows",
            "search_centre_size",
            "crop_params",
            "anchor_window",
            "anchor_centre_size",
            "history",
        )
        for name in places:
            assert torch.allclose(mirrored[name][..., 0], -kept[name][..., 0], atol=1e-4)
            assert torch.allclose(mirrored[name][..., 1:], kept[name][..., 1:], atol=1e-4)
        for name in ("search_images", "anchor_image"):
            assert torch.equal(mirrored[name], kept[name].flip(-1))
        stretch = (kept["anchor_centre_size"][0] / wide["anchor_centre_size"][0]).item()
        stretches.add(stretch)
        factors = torch.tensor([stretch, 1 / stretch, 1])
        for name in places:
            assert torch.allclose(wide[name][..., :3] * factors, kept[name][..., :3], atol=1e-3)
    assert len(stretches) == 6 and all(abs(value - 1) > 1e-3 for value in stretches)

    changes = [f"DATA.AUGMENT.{name}" for name in ("FLIP=0.5", "STRETCH=0.1", "TINY=0.5", "CROSSING=0.5")]
    source = samples([*sequences, sequence(2)], *changes, "DATA.AUGMENT.TINY_SIDE=[6,20]")
    for key in [(epoch, index) for epoch in (1, 7, 10) for index in range(6)]:
        sample = source[key]
        seen, anno = sample["search_visible"], sample["search_anno"]
        shown, place = sample["crop_params"], sample["search_centre_size"]
        centre = 0.5 + (place[:, :2] - shown[:, :2]) / shown[:, 2:]
        assert seen.any() and torch.allclose((anno[:, :2] + anno[:, 2:] / 2)[seen], centre[seen], atol=1e-5)
        side = (anno[:, 2] * anno[:, 3]).sqrt()
        assert torch.allclose(side[seen], (place[:, 2] / shown[:, 2])[seen], atol=1e-5)


def test_windows_in_a_roomy_image_are_crops(monkeypatch):
    """The window of CHAIN_PRED, cut from the wider image, is what the tracker would have cut from the frame."""
    one = sequence()
    images = one.frames()
    batch = batch_of(samples([one], *CALM), 4, epoch=10)
    assert batch["search_images"].shape[-1] == 128
    rng = torch.Generator().manual_seed(0)
    for n in range(3):
        first = batch["search_windows"][:, n]
        window = first + first[:, 2:] * torch.rand(4, 3, generator=rng) * torch.tensor([0.4, -0.4, 0.3])
        patches, boxes, visible = _show(batch, n, window, 64)
        for i, (cx, cy, side) in enumerate(window.double().tolist()):
            crop, frame = Crop(cx, cy, side, 64), int(batch["frame_ids"][i, 1 + n])
            wanted = torch.from_numpy(crop.extract(images[frame])).permute(2, 0, 1).float()
            assert (patches[i] * 255 - wanted).abs().mean() < 2
            box = torch.from_numpy(crop.to_patch(one.boxes_xywh[frame]) / 64).float()
            assert visible[i] and torch.allclose(boxes[i], box, atol=1e-3)
        exact, boxes, _ = _show(batch, n, first, 64)
        middle = batch["search_images"][:, n, :, 32:96, 32:96].float() / 255
        assert torch.allclose(exact, middle, atol=1e-3)
        beside = first + torch.tensor([0.8, 0, 0]) * first[:, 2:]
        assert not _show(batch, n, beside, 64)[2].any()


def test_the_schedule_and_its_repetition():
    """First half: about the target or chained; then all chained; at last half of them at the network's own places."""
    sequences = [sequence(number) for number in range(2)]
    when = ("DATA.CLIP.CHAIN_GT=0.5", "DATA.CLIP.CHAIN_PRED=0.8")
    one, again = (samples(sequences, "DATA.SEARCH.NUMBER=2", "DATA.AUGMENT.FLIP=0.5", *when) for _ in range(2))
    chains = {}
    for epoch in (1, 5, 6, 8, 9, 10):
        drawn = [one[epoch, index] for index in range(12)]
        chains[epoch] = {int(sample["chain"]) for sample in drawn}
        sides = {sample["search_images"].shape[-1] for sample in drawn}
        assert sides == {128 if epoch >= 9 else 64}
        other = again[epoch, 7]
        assert all(torch.equal(value, drawn[7][name]) for name, value in other.items())
    assert chains[1] == chains[5] == {INDEPENDENT, CHAIN_GT}
    assert chains[6] == chains[8] == {CHAIN_GT}
    assert chains[9] == chains[10] == {CHAIN_PRED, CHAIN_GT}
    checked = samples(sequences, training=False)
    for index in range(6):
        first, last = checked[1, index], checked[10, index]
        assert first["chain"] == CHAIN_GT and first["search_images"].shape[-1] == 64
        assert all(torch.equal(value, last[name]) for name, value in first.items())


def test_what_a_clip_knows_of_its_past():
    visible = np.ones(FRAMES, bool)
    visible[[4, 8]] = False
    one = sequence(visible=visible)
    image, boxes = one.frames()[6], one.boxes_xywh
    past, _ = samples([one], training=False)._past(np.random.default_rng(0), 0, 2, [6, 8, 10], image, 1)
    assert past.history[:, 4].tolist() == [0, 0, 1, 0], "two before the template, one unseen"
    assert np.array_equal(past.history[2, :4], boxes[2]) and not past.history[[0, 1, 3]].any()
    assert past.times.tolist() == [2, 3, 4]
    assert past.before[0] is None and np.array_equal(past.before[1], boxes[6]) and past.before[2] is None

    source, rng = samples([sequence()]), np.random.default_rng(0)
    drawn = [source._past(rng, 0, 0, [8, 10], image, 1) for _ in range(400)]
    counts = np.bincount([kind for _, kind in drawn], minlength=len(CORRUPTIONS))
    assert 240 < counts[KEPT] < 320 and all(6 <= counts[kind] <= 40 for kind in (DROPPED, POISONED))
    assert 50 < counts[DRAWN_OFF] < 110
    straight = next(past.history for past, kind in drawn if kind == KEPT and past.history[:, 4].all())
    bent = [past.history - straight for past, kind in drawn if kind == DRAWN_OFF and past.history[:, 4].all()]
    for off in bent:  # further and further, in one direction, by less than a target's size
        length = np.hypot(*off[:, :2].T)
        assert not off[:, 2:].any() and (np.diff(length) >= -1e-9).all() and 0 < length[-1] < 12
        assert np.linalg.matrix_rank(off[:, :2], tol=1e-6) == 1
    lengths = np.bincount([int(past.history[:, 4].sum()) for past, _ in drawn], minlength=5)
    assert lengths[0] == 0 and (lengths[1:4] >= 12).all() and 240 < lengths[4] < 360, "some tracks are young"
    assert all(past.history[-1, 4] for past, _ in drawn)
    off = samples([sequence()], *CALM)
    assert {off._past(rng, 0, 0, [8, 10], image, 1)[1] for _ in range(50)} == {KEPT}


def test_chained_windows_lie_where_the_target_was(monkeypatch):
    source = samples([sequence()], *CALM, training=False)
    monkeypatch.setattr("lib.train.data.lunar.draw_frames", lambda *_: ([1], [4, 6, 8]))
    sample, boxes = source[1, 0], sequence().boxes_xywh
    for row, frame in zip(sample["search_windows"], (2, 4, 6), strict=True):
        x, y, w, h = boxes[frame]
        assert np.allclose(row, [x + w / 2, y + h / 2, 4 * math.sqrt(w * h)], atol=1e-4)
    moved = samples([sequence()], *CALM[1:], "DATA.CLIP.JITTER=0.1")[7, 0]
    off = (moved["search_windows"] - sample["search_windows"])[:, :2].abs().amax(1) / 12
    assert (off > 1e-3).all() and (off < 0.6).all()


def test_a_crossing_distractor_meets_the_target():
    image, box = np.full((100, 120, 3), 90, np.uint8), np.array([54.0, 44, 12, 12])
    for seed in range(20):
        distractor = Distractor.crossing(
            np.random.default_rng(seed), sequence().frames()[0], np.array([70.0, 60, 12, 11]), 4
        )
        centres = []
        for step in range(1, 5):
            changed = np.argwhere((distractor.paste(image, box, step) != image).any(axis=2))
            centres.append(changed.mean(axis=0) if len(changed) else np.full(2, 1e3))
        distance = np.linalg.norm(np.array(centres) - 50, axis=1) / 12
        assert distance.min() < 1.5, "it comes this near, in sizes, also between frames"
        assert np.abs(np.linalg.norm(distractor.trajectory[1]) - 0.55) <= 0.35


def actor_and_batch(*overrides, count=3, epoch=1, **query):
    cfg = settings(*overrides)
    return LunarActor(build(cfg, **query), cfg), batch_of(
        samples([sequence(i) for i in range(2)], *overrides), count, epoch
    )


def test_every_part_of_the_query_learns():
    actor, batch = actor_and_batch("DATA.CLIP.DROP=0", write=0.3, hold=0.2)
    loss, stats = actor.batch_loss(batch)
    loss.backward()
    assert loss.isfinite() and all(value.isfinite() for value in stats.values())
    parts = dict(actor.network.query.named_parameters())
    assert [name for name, part in parts.items() if part.grad is None or not part.grad.isfinite().all()] == []
    # `position` and keys' biases too, but a bias of all keys alike changes no softmax.
    assert [name for name, part in parts.items() if part.grad.abs().sum() < 1e-9] == []
    roomy = batch_of(samples([sequence()]), 2, epoch=10)
    assert actor.batch_loss(roomy)[0].isfinite()


def test_the_surprise_at_a_targets_place_by_hand():
    """Each place is off by as many spreads, the same in x and y, and the mean of past errors is no spread."""
    actor, batch = actor_and_batch(*CALM)
    torch.manual_seed(3)
    _, stats = actor.batch_loss(batch)
    torch.manual_seed(3)
    clips, wanted = follow(actor.network, batch, 4.0), []
    assert clips.expected.shape == (9, 4) and (clips.expected[:3, 3] == 0).all() and (clips.expected[3:, 3] > 0).all()
    for (x, y, w, h), (dx, dy, spread, _), visible in zip(*(clips[part].tolist() for part in (4, 3, 5)), strict=True):
        square = ((x + w / 2 - 0.5 - dx) ** 2 + (y + h / 2 - 0.5 - dy) ** 2) / spread**2
        wanted += [1.5 * math.log(1 + square) + 2 * math.log(spread)] * visible
    assert len(wanted) > 3 and stats["Loss/place"].item() == pytest.approx(np.mean(wanted), rel=1e-4)


def test_confidence_of_absent_targets_goes_to_zero(monkeypatch):
    actor, batch = actor_and_batch()
    gone = {**batch, "search_visible": torch.zeros_like(batch["search_visible"])}
    torch.manual_seed(3)
    quality = follow(actor.network, gone, 4.0).quality
    torch.manual_seed(3)
    found = torch.tensor([0.375, 0.375, 0.25, 0.25]).expand(9, 4)  # also not of what stands for an absent box
    monkeypatch.setattr("lib.train.actors.lunar.decode", lambda output: (found, None, None))
    _, stats = actor.batch_loss(gone)
    assert stats["Loss/quality"].item() == pytest.approx(F.softplus(quality).mean().item(), rel=1e-5)
    assert stats["Loss/giou"] == 0 and stats["IoU"] == 0
    nothing = {**gone, "search_anno": torch.full_like(batch["search_anno"], math.nan)}
    assert actor.batch_loss(nothing)[0].isfinite()


@torch.no_grad()
def test_memory_is_corrupted_in_its_own_clip_alone(monkeypatch):
    actor, batch = actor_and_batch(count=3)
    network = actor.network.eval()
    steps, runs = spied(monkeypatch, network), {}
    for kind in CORRUPTIONS:
        steps.clear()
        torch.manual_seed(0)
        followed = follow(network, {**batch, "corruption": torch.tensor([KEPT, kind, KEPT])}, 4.0)
        runs[kind] = steps[1][0], followed.quality.view(3, 3)[0]
    kept, quality = runs[KEPT]
    assert torch.equal(kept.trajectory, batch["history"]) and torch.equal(kept.time, batch["times"][:, 0])
    for kind in (DROPPED, POISONED):
        state, other = runs[kind]
        assert same(vars(state.select([0, 2])).values(), vars(kept.select([0, 2])).values(), 0)
        assert torch.equal(other[[0, 2]], quality[[0, 2]]) and other[1] != quality[1]
        assert torch.equal(state.time, kept.time)
    dropped = vars(runs[DROPPED][0].select([1]))
    assert not any(part.any() for name, part in dropped.items() if name != "time")
    poisoned = runs[POISONED][0]
    assert torch.equal(poisoned.memory[1], kept.memory[0]) and torch.equal(poisoned.prior[1], kept.prior[0])
    assert torch.equal(poisoned.marks, kept.marks) and torch.equal(poisoned.trajectory, kept.trajectory)
    assert _corrupt(kept, torch.full((3,), KEPT)).time.equal(kept.time)


@torch.no_grad()
def test_windows_follow_the_network_until_it_is_astray(monkeypatch):
    actor, batch = actor_and_batch("DATA.SEARCH.NUMBER=4", *CALM, epoch=10)
    batch["chain"] = torch.tensor([CHAIN_PRED, CHAIN_PRED, CHAIN_GT])
    network = actor.network.eval()
    steps = spied(monkeypatch, network)
    monkeypatch.setattr(clip, "ASTRAY", 0.0)
    follow(network, batch, 4.0)
    windows, places = ([step[part] for step in steps[1:]] for part in (2, 3))
    places = [after[2].trajectory[:, -1, :3] for after in places]
    assert torch.equal(windows[0], batch["search_windows"][:, 0]), "the first one is given"
    own = torch.cat([places[0][:, :2], (4 * places[0][:, 2:]).clamp(min=40)], dim=1)
    assert torch.allclose(windows[1][:2], own[:2]) and torch.equal(windows[1][2], batch["search_windows"][2, 1])
    assert torch.equal(windows[2], batch["search_windows"][:, 2]), "two misses in a row, and it is put back"
    monkeypatch.setattr(clip, "ASTRAY", 1e9)
    steps.clear()
    follow(network, batch, 4.0)
    for n in (1, 2, 3):
        place = steps[n][3][2].trajectory[:, -1, :3]
        assert torch.allclose(steps[n + 1][2][:2, :2], place[:2, :2])
        assert (steps[n + 1][2][:2, 2] >= 40).all()
    steps.clear()
    follow(network, {**batch, "least_window": torch.full((3,), 500.0)}, 4.0)
    assert all((step[2][:2, 2] == 500).all() for step in steps[2:]), "no smaller than the smallest window"


def test_a_few_steps_on_one_batch():
    actor, batch = actor_and_batch(*CALM, count=3)
    optimiser, curve = torch.optim.AdamW(actor.network.parameters(), lr=2e-3), []
    for _ in range(25):
        loss, _ = actor.batch_loss(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        curve.append(loss.item())
    assert max(curve[-3:]) < 0.65 * curve[0]
