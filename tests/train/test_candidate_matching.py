"""KeepTrack's training: frames with several candidates are found, and its network learns which are the same object."""

import numpy as np
import pytest
import torch

from lib import config, registry
from lib.data import benchmarks
from lib.data.benchmarks import pack
from lib.data.crop import Crop
from lib.errors import UserError
from lib.models.dimp.build import build_network
from lib.models.parts.weights import save_weights
from lib.train.actors.keep_track import matching_loss
from lib.train.data.keep_track import all_matches
from tests.tracker.test_online_trackers import SMALL, minute_trunk  # noqa: F401 -- a fixture
from tests.train.tiny_run import clips

pytestmark = pytest.mark.usefixtures("minute_trunk")
SIDE, STRIDE = 64, 8
OVERRIDES = (*SMALL[:2], "TEST.SEARCH_SIZE=64", "DATA.TRAIN.SAMPLE_PER_EPOCH=16", "DATA.VAL.SAMPLE_PER_EPOCH=8")


def settings(*more):
    return config.load("keep_track", "lite", [*OVERRIDES, *more])


def mine(frames, first, box):
    """Candidates of a window that stays: the target, and two other places in every frame whose number is even."""
    x, y, w, h = box
    crop = Crop(48.0, 48.0, 64.0, SIDE)
    for number in range(first + 1, len(frames)):
        # The target of clips() moves by 3 and 1 px a frame.
        column, row = (np.array([x + w / 2 + 3 * (number - first), y + h / 2 + number - first]) - 16) / STRIDE
        found = [(round(row), round(column), 0.9, 96, 96), (7, 1, 0.6, 96, 96), (1, 7, 0.5, 96, 96)]
        count = 3 if number % 2 == 0 or number < 4 else 1
        yield crop, crop.extract(frames[number]), np.array(found[:count], float)


@pytest.fixture
def mined(tmp_path):
    """A dataset that pack_candidates wrote."""
    count = pack.pack_candidates(clips(), tmp_path / "mined.lmdb", lambda done, total: None, mine, {"by": "a test"})
    assert count == 3 * 11  # a crop with one candidate is kept after one with three
    return benchmarks.load(tmp_path / "mined.lmdb")


def samples_of(sequences, made, **options):
    return registry.samples("keep_track", {"mined": sequences}, made, seed=0, **options)


def batch_of(samples, count=8, epoch=1):
    drawn = [samples[epoch, index] for index in range(count)]
    return {name: torch.stack([sample[name] for sample in drawn]) for name in drawn[0]}


def test_the_crops_are_a_dataset_that_is_written_once(mined, tmp_path):
    first = mined[0]
    assert first.windows[:, 0].tolist() == list(range(1, 12)) and len(first.candidates) == 3 * 7 + 4
    assert np.allclose(first.boxes_xywh[0], Crop(48.0, 48.0, 64.0, SIDE).to_patch(clips()[0].boxes_xywh[1]))

    def never(frames, first, box):
        raise AssertionError("what is there is not tracked again")
        yield

    place = tmp_path / "mined.lmdb"
    assert pack.pack_candidates(clips(), place, lambda done, total: None, never, {"by": "a test"}) == 33
    with pytest.raises(UserError, match="was made from"):
        pack.pack_candidates(clips(), place, lambda done, total: None, never, {"by": "another"})


def test_interrupted_work_goes_on(tmp_path):
    place, rounds = tmp_path / "mined.lmdb", []

    def stops(frames, first, box):
        rounds.append(len(rounds))
        if len(rounds) == 2:
            raise KeyboardInterrupt
        yield from mine(frames, first, box)

    with pytest.raises(KeyboardInterrupt):
        pack.pack_candidates(clips(), place, lambda done, total: None, stops, {})
    with pytest.raises(UserError, match="unfinished"):
        benchmarks.load(place)
    assert pack.pack_candidates(clips(), place, lambda done, total: None, stops, {}) == 33
    assert len(rounds) == 4, "the first sequence is not tracked again"


def test_a_target_that_appears_late(tmp_path):
    """Tracking starts on the first frame that shows it; a video that never does is left out."""
    late, never = clips(2)
    late.visible[:3], never.visible[:] = False, False
    assert pack.pack_candidates([late, never], tmp_path / "late.lmdb", lambda done, total: None, mine, {}) > 0
    (found,) = benchmarks.load(tmp_path / "late.lmdb")
    assert found.windows[:, 0].tolist() == [4, 5, 6, 7, 8, 9, 10, 11]


def test_a_video_without_similar_objects_is_one_line(tmp_path):
    def alone(frames, first, box):
        for crop, patch, found in mine(frames, first, box):
            yield crop, patch, found[:1]

    with pytest.raises(UserError, match="no frame in which several objects look like the target"):
        pack.pack_candidates(clips(), tmp_path / "none.lmdb", lambda done, total: None, alone, {})


def test_two_views_of_a_crop_match_in_every_candidate_that_both_show(mined):
    samples = samples_of(mined, settings("DATA.SUPERVISED=0", "DATA.DROP=0.5"))
    kept = 0
    for index in range(16):
        sample, again = samples[1, index], samples[1, index]
        assert all(torch.equal(value, again[name]) for name, value in sample.items())
        matches, cells = sample["matches"], sample["cells"]
        assert matches.shape == (6, 6) and sample["images"].shape == (2, 3, SIDE, SIDE)
        assert (matches[:-1].sum(dim=1) == 1).all() and (matches[:, :-1].sum(dim=0) == 1).all()
        for row, column in matches[:-1, :-1].nonzero().tolist():
            assert cells[0, row].tolist() == cells[1, column].tolist()
            kept += 1
        assert cells.min() >= 0 and cells.max() <= SIDE // STRIDE
    assert 16 < kept < 48, "some of the three candidates are shown by one view alone"


def test_of_consecutive_frames_the_target_alone_is_known(mined):
    samples = samples_of(mined, settings("DATA.SUPERVISED=1"))
    for index in range(16):
        sample = samples[1, index]
        first, second = sample["frame_ids"].tolist()
        assert second == first + 1 and sample["matches"].sum() == 1
        ((row, column),) = sample["matches"].nonzero().tolist()
        sequence = mined[int(sample["name"])]
        for view, (frame, candidate) in enumerate(((first, row), (second, column))):
            x, y, w, h = sequence.boxes_xywh[frame]
            near = sample["cells"][view, candidate].flip(0) * STRIDE - torch.tensor([x + w / 2, y + h / 2])
            assert near.abs().max() <= STRIDE


def test_places_are_those_of_the_frame(mined):
    """A crop of 64 px about the middle of a frame of 96 px: its last cell lies at 80 px."""
    sample = samples_of(mined, settings("DATA.SUPERVISED=1"))[1, 0]
    expected = (16 + STRIDE * sample["cells"].float() - 48) / (0.7 * 96)
    assert torch.allclose(sample["centres"], expected, atol=1e-6)


def test_what_is_in_one_view_alone_matches_nothing():
    matches = all_matches(["target", 1, None], [None, "target", 2])
    assert matches.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [1, 0, 1, 0]]


def test_the_loss_is_the_likelihood_of_the_known_matches():
    log = torch.tensor([[[0.7, 0.3], [0.3, 0.7]], [[0.2, 0.8], [0.8, 0.2]]]).log()
    matches = torch.tensor([[[1.0, 0], [0, 0]], [[0, 1.0], [1.0, 0]]])
    assert matching_loss(log, matches).item() == pytest.approx(-(np.log(0.7) + np.log(0.8)) / 2)
    known, wrong = matching_loss(log[:1], matches[:1]), matching_loss(log[:1], 1 - matches[:1])
    assert known < wrong


def test_it_learns(mined):
    torch.manual_seed(0)
    made = settings("DATA.SUPERVISED=0.3", "TRAIN.LR=1e-3")
    network = registry.network("keep_track", made)
    network.feature_extractor.requires_grad_(False)
    actor = registry.actor("keep_track", network, made)
    batch = batch_of(samples_of(mined, made))
    optimiser = actor.optimisers()["network"]
    losses = []
    for _ in range(25):
        ((_, loss, stats),) = actor.phases(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2 and stats["Match"] > 0.9
    right, known = actor.validate(batch)
    assert known == batch["matches"][:, :-1].sum()


def test_a_dataset_without_candidates_is_one_line():
    with pytest.raises(UserError, match="holds no candidates; .*mine_candidates"):
        samples_of(clips(), settings())


def test_as_a_user_would(command, capsys, tmp_path, monkeypatch):
    """Mine with a base tracker, train, and what is trained loads as a tracker's weights."""
    torch.manual_seed(0)
    loaded = config.load
    small = [*SMALL, "MODEL.CLASSIFIER.WIDTH=16", "MODEL.BOX_WIDTH=16", "MODEL.PRETRAIN_FILE=''"]
    base = loaded("dimp", "lite", small)

    def load(script, *rest, **options):
        return base if script == "dimp" else loaded(script, *rest, **options)

    monkeypatch.setattr(config, "load", load)
    save_weights(tmp_path / "base.safetensors", build_network(base).state_dict())
    out = tmp_path / "candidates"
    changes = [word for each in OVERRIDES for word in ("--set", each)]
    words = ["keep_track", "lite", "lunar_demo#car_road", out, "--checkpoint", tmp_path / "base.safetensors", *changes]
    assert command("mine_candidates.py", *words, "--set", "TEST.CANDIDATE=0.001") == 0
    assert "crops" in capsys.readouterr().out
    words = ["--script", "keep_track", "--config", "lite", "--budget", "smoke", "--mode", "single", *changes]
    words += ["--save_dir", tmp_path, "--set", f"DATA.CACHE={out}", "--set", "TRAIN.NUM_WORKER=0"]
    assert command("train.py", *words) == 0
    (weights,) = tmp_path.rglob("*_final.safetensors")
    made = settings()
    tracker = registry.tracker("keep_track")(made, weights, base=build_network(base))
    frames = clips(1)[0].opener()
    tracker.initialize(frames[0], (20, 30, 10, 10))
    assert np.isfinite(tracker.track(frames[1]).box).all()


@pytest.mark.parametrize("script", ["dimp", "opencv"])
def test_another_family_is_one_line(command, capsys, tmp_path, script):
    name = {"dimp": "lite", "opencv": "mil"}[script]
    assert command("mine_candidates.py", script, name, "lunar_demo#car_road", tmp_path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "keep_track" in line
