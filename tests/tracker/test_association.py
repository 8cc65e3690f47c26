"""Association of candidates: peaks, identities at crossings, and the trackers that use it."""

import numpy as np
import pytest
import torch

from lib.test.tracker import association
from lib.test.tracker import discriminative as rules
from lib.test.tracker.association import associate, peaks
from tests.tracker.test_lunar_query import BOX, FRAMES, build, maps
from tests.tracker.test_online_trackers import BOX as SPOT
from tests.tracker.test_online_trackers import (  # noqa: F401 -- a fixture
    EVERY,
    minute_trunk,  # noqa: F401 -- a fixture
    small,
    video,
)
from tests.tracker.test_online_trackers import FRAMES as SPOTS

SIDE = 100.0  # px, of the search window: objects are told apart by their positions up to 40 px


def test_peaks_of_a_score_map():
    scores = torch.full((9, 9), 0.01)
    scores[1, 2], scores[1, 3], scores[6, 7], scores[8, 0] = 0.5, 0.4, 0.9, 0.04
    assert peaks(scores, (6, 7)) == [(6, 7), (1, 2)], "neighbours of a peak and low peaks are no candidates"
    assert peaks(scores, (4, 4)) == [(6, 7), (1, 2), (4, 4)], "the tracker's own cell always is"
    assert peaks(torch.full((9, 9), 0.05), (4, 4)) == []


def follow(frames, own=0):
    """The position that is chosen in each frame of candidates [(x, y, score)]; `own` in the first one."""
    objects, chosen = None, []
    for candidates in frames:
        positions, scores = np.array([each[:2] for each in candidates]), [each[2] for each in candidates]
        objects, choice = associate(objects, positions, scores, own if objects is None else 0, SIDE)
        chosen.append(None if choice is None else tuple(positions[choice]))
    return chosen, objects


def crossing(velocities, merged=6, frames=41):
    """Candidates of two objects that meet in the middle, one candidate while they are close; their paths (2, N, 2)."""
    times = np.arange(frames) - frames // 2
    paths = np.array(velocities, float)[:, None] * times[:, None]
    found = []
    for t, (first, second) in enumerate(paths.transpose(1, 0, 2)):
        if np.linalg.norm(first - second) < merged:
            found.append([(*(first + second) / 2, 0.6)])
        else:  # now one, now the other looks more like the target
            found.append([(*first, 0.5), (*second, 0.45 + 0.1 * (t % 2))] if t else [(*first, 0.6), (*second, 0.6)])
    return found, paths


@pytest.mark.parametrize("velocities", [((3, 0), (-3, 0)), ((2, 1), (2, -1)), ((3, 0), (0, 3))])
def test_identity_outlasts_a_crossing(velocities, monkeypatch):
    found, paths = crossing(velocities)
    for own, path in enumerate(paths):
        chosen, objects = follow(found, own)
        assert np.abs(np.array(chosen) - path).max() <= 3, "at most half the distance at which the two are one"
        assert set(objects.identities.objects) == {0, 1}
    monkeypatch.setattr(association, "MEMORY", 0)
    errors = [np.abs(np.array(follow(found, own)[0]) - path).max() for own, path in enumerate(paths)]
    assert max(errors) > 30, "without memory of the hidden one, both end with the same object"


def test_a_better_candidate_takes_over():
    """KeepTrack's rule: one that scores higher than the target ever did."""
    frame = [(0, 0, 0.6), (30, 0, 0.5)]
    assert follow([frame, [(0, 0, 0.4), (30, 0, 0.55)]])[0][-1] == (0, 0)
    assert follow([frame, [(0, 0, 0.4), (30, 0, 0.65)]])[0][-1] == (30, 0)


def test_a_target_that_is_gone():
    """Only a score above RULE.reselect is taken for it; then its identity is a new one."""
    start = [[(0, 0, 0.6), (60, 0, 0.2)]] * 2
    assert follow([*start, [(60, 0, 0.2)]])[0][-1] is None
    chosen, objects = follow([*start, [(60, 0, 0.2), (90, 60, 0.5)]])
    assert chosen[-1] == (90, 60) and objects.identities.selected == 2
    chosen, objects = follow([*start, *[[(60, 0, 0.2)]] * association.MEMORY, [(60, 0, 0.2), (0, 0, 0.21)]])
    assert chosen[-1] == (0, 0) and objects.identities.selected == 0, "it is known again where it disappeared"
    chosen, _ = follow([*start, *[[(60, 0, 0.2)]] * (association.MEMORY + 1), [(60, 0, 0.2), (0, 0, 0.21)]])
    assert chosen[-1] is None


def two_peaks(far=0.7, near=0.6):
    """A search crop's maps with the target's peak in the middle and another one."""
    return maps({(4, 4): near, (1, 1): far})


def test_lunar_stays_with_its_target():
    boxes = {}
    for flag in (False, True):
        tracker = build(f"TEST.ASSOCIATE={flag}", "TEST.WINDOW=none", "TEST.MOTION=none", remembers=False)
        answers = iter([maps({(4, 4): 0.8, (1, 1): 0.6}), two_peaks(), two_peaks()])
        tracker.network.locate = lambda *_, answers=answers: next(answers)
        state = tracker.start(FRAMES[0], BOX)
        boxes[flag] = []
        for frame in FRAMES[1:3]:
            (state,), (result,) = tracker.track_frames([state], [frame])
            boxes[flag].append(result.box)
        assert (state.objects is None) == (not flag)
    assert boxes[True][0] == boxes[False][0], "the first frame with candidates is the tracker's own choice"
    moved = {flag: np.linalg.norm(np.subtract(*(box[:2] for box in pair))) for flag, pair in boxes.items()}
    assert moved[True] < 10 < moved[False]


@pytest.mark.parametrize("remembers", [False, True])
def test_one_candidate_changes_nothing(remembers):
    found = []
    for flag in (False, True):
        query = ["MODEL.QUERY.ENABLE=true", "DATA.SEARCH.NUMBER=2", "TEST.WINDOW=expected"] if remembers else []
        tracker = build(*query, f"TEST.ASSOCIATE={flag}", remembers=remembers)
        tracker.network.locate = lambda *_: maps({(3, 5): 0.6})
        tracker.initialize(FRAMES[0], BOX.tolist())
        found.append([tracker.track(frame) for frame in FRAMES[1:6]])
    assert found[0] == found[1]


def test_targets_in_one_batch_are_each_alone():
    tracker = build("TEST.ASSOCIATE=true")
    states = [tracker.start(FRAMES[6 * n], BOX + [9 * n, 5 * n, 2 * n, n]) for n in range(3)]
    for frame in range(1, 5):
        images = [FRAMES[6 * n + frame] for n in range(3)]
        after, found = tracker.track_frames(states, images)
        for n, image in enumerate(images):
            (alone,), (result,) = tracker.track_frames([states[n]], [image])
            assert np.allclose(result.box, found[n].box, atol=1e-3)
            assert alone.objects.identities.objects == after[n].objects.identities.objects
        states = after


def test_engines_that_run_the_network_leave_the_choice_to_torch():
    trackers = [build("TEST.ASSOCIATE=true") for _ in range(2)]
    modules = {stage.name: stage.module for stage in trackers[1].stages()}

    def run(name):
        assert name != "find", "the stage that takes the peak"
        return lambda inputs: modules[name](*inputs)

    trackers[1].use({name: run(name) for name in ("template", "track", "write")})
    results = []
    for tracker in trackers:
        tracker.initialize(FRAMES[0], BOX.tolist())
        results.append([tracker.track(frame) for frame in FRAMES[1:6]])
    assert results[0] == results[1]


def test_a_localisation_of_another_candidate():
    window = rules.Window(0.0, 0.0, 90.0, 90.0, 90)
    scores = torch.full((9, 9), 0.01)
    scores[4, 4], scores[0, 8] = 0.6, 0.3
    found = rules.Localisation((0.0, 0.0), "normal", 0.6, (4, 4))
    same, objects = association.associated(found, None, scores, window, 4.0, 10.0, 0.25)
    assert same is found and objects.positions[0].tolist() == [45, 45]
    scores[0, 8], scores[4, 5], scores[4, 4] = 0.55, 0.5, 0.01
    other = rules.Localisation((-40.0, 40.0), "hard_negative", 0.55, (0, 8))
    moved, objects = association.associated(other, objects, scores, window, 4.0, 10.0, 0.25)
    assert moved == rules.Localisation((0.0, 10.0), "normal", other.score, (4, 5))
    scores[4, 5] = 0.01
    scores[0, 8] = 0.2
    for _ in range(2):
        lost, objects = association.associated(other, objects, scores, window, 4.0, 10.0, 0.25)
    assert lost.flag == "not_found" and lost.cell == (0, 8)


@pytest.mark.usefixtures("minute_trunk")
@pytest.mark.parametrize(("script", "name", "overrides"), EVERY)
def test_online_trackers_with_candidates(script, name, overrides):
    tracker = small(script, name, overrides, "TEST.ASSOCIATE=true", "TEST.NOT_FOUND=0")
    runs = []
    for _ in range(2):
        tracker.initialize(SPOTS[0], SPOT)
        runs.append([tracker.track(frame) for frame in SPOTS[1:]])
    assert runs[0] == runs[1] and all(np.isfinite(result.box).all() for result in runs[0])


@pytest.mark.parametrize("words", ["sttrack tiny", "stark baseline", "opencv mil", "identity baseline", "mmfnet lite"])
def test_trackers_without_a_score_map_refuse(command, capsys, video, words):  # noqa: F811
    assert command("test.py", *words.split(), "--dataset", video, "--associate") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--associate needs a score map" in line


def test_results_say_whether_candidates_were_associated(command, capsys, video, tmp_path):  # noqa: F811
    words = ["test.py", "lunar", "tiny", "--dataset", video, "--save_dir", tmp_path]
    assert command(*words) == 0
    assert command(*words, "--associate") == 2
    assert "TEST.ASSOCIATE False then, True now" in capsys.readouterr().err
    assert command(*words, "--associate", "--runid", 1) == 0
    names = {path.parent.parent.name for path in tmp_path.rglob("spot.txt")}
    assert names == {"tiny", "tiny_001"}
