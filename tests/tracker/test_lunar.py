"""The online tracker's rules: window, motion, lost target, templates, state."""

import dataclasses

import numpy as np
import pytest
import torch

from lib.data import boxes
from lib.data.crop import Crop
from lib.models.lunar.model import TrackerOutput
from lib.test.tracker import lunar_rules, motion
from lib.test.tracker.window import VIEWS, hann

RNG = np.random.default_rng(0)
FRAMES = [RNG.integers(0, 255, (120, 160, 3), np.uint8) for _ in range(12)]
BOX = np.array([60.3, 50.7, 9.5, 7.25])


def maps(cells, scores, size=0.1):
    """A TrackerOutput with given scores {(column, row): value}, centred offsets and one size."""
    score = torch.full((1, 1, cells, cells), 0.001)
    for (column, row), value in scores.items():
        score[0, 0, row, column] = value
    return TrackerOutput(score, torch.full((1, 2, cells, cells), size), torch.full((1, 2, cells, cells), 0.5))


def scripted(tracker, outputs):
    """Replace the network's answers by a list of TrackerOutput."""
    answers = iter(outputs)
    tracker.use({"track": lambda tensors: next(answers)})
    return tracker


def test_hann_in_the_middle_is_ostracks():
    n = np.arange(1, 17)
    line = 0.5 * (1 - np.cos(2 * np.pi * n / 17))
    assert np.allclose(hann(16, np.array([[8.0, 8.0]]))[0, 0], np.outer(line, line), atol=1e-6)
    shifted = hann(16, np.array([[3.5, 10.5]]))[0, 0]
    assert divmod(int(shifted.argmax()), 16) == (10, 3) and shifted.max() == 1


@pytest.mark.parametrize(("window", "found"), [("blend", 12), ("none", 12), ("mult", 8)])
def test_a_fast_tiny_target_beats_a_centred_distractor(small_tracker, window, found):
    """T11: displaced 1.5 sizes with 0.9 against 0.45 in the middle. The inherited product picks the distractor."""
    tracker = small_tracker(
        f"TEST.WINDOW={window}", "TEST.MOTION=none", "MODEL.HEAD.STRIDE=8", "DATA.SEARCH.MIN_SIDE=0"
    )
    state = tracker.start(FRAMES[0], BOX)
    crop = tracker._search_crop(state, FRAMES[0])
    # at factor 4 the target is 4 of 16 cells wide: 1.5 sizes are 6 cells; take 4.5 along both axes
    scripted(tracker, [maps(16, {(12, 12): 0.9, (8, 8): 0.45})])
    _, (result,) = tracker.track_frames([state], [FRAMES[1]])
    x, _, w, _ = result.box
    assert x + w / 2 == pytest.approx(crop.cx + (found + 0.5 - 8) / 16 * crop.side, abs=1e-4)


def test_the_window_follows_the_prediction(small_tracker):
    tracker = small_tracker("MODEL.HEAD.STRIDE=8")
    state = tracker.start(FRAMES[0], BOX)
    crop = Crop(*boxes.xywh_to_cxcywh(BOX)[:2], 64.0, 128)
    moved = dataclasses.replace(state, motion=dataclasses.replace(state.motion, centre=state.motion.centre + [16, -8]))
    _, added = tracker._window([moved], [crop])
    row, column = divmod(int(added.argmax()), 16)
    assert abs(column + 0.5 - (8 + 16 / 64 * 16)) <= 0.5 and abs(row + 0.5 - (8 - 8 / 64 * 16)) <= 0.5


def test_boxes_are_not_rounded_nor_blown_up(small_tracker):
    tracker = small_tracker("MODEL.HEAD.STRIDE=8", "TEST.CONFIDENCE=0", "TEST.SIZE_STEP=1")
    state = tracker.start(FRAMES[0], [60.3, 50.7, 2.0, 2.0])
    scripted(tracker, [maps(16, {(7, 9): 0.9}, size=1.3 / 64)])
    crop = tracker._search_crop(tracker._predict(state, FRAMES[0]), FRAMES[0])
    _, (result,) = tracker.track_frames([state], [FRAMES[1]])
    x, y, w, h = result["target_bbox"]
    assert (w, h) == pytest.approx((1.3, 1.3), abs=1e-5)
    assert x + w / 2 == pytest.approx(crop.cx + (7.5 * 8 - 64) * crop.side / 128, abs=1e-4)


def test_unsure_frames_keep_size_and_lost_ones_widen_the_search(small_tracker, monkeypatch):
    monkeypatch.setattr(lunar_rules, "LOST_FRAMES", 2)
    tracker = small_tracker("MODEL.HEAD.STRIDE=8")
    sure, unsure = maps(16, {(8, 8): 0.9}, size=0.2), maps(16, {(8, 8): 0.2}, size=0.6)
    scripted(tracker, [sure, unsure, unsure, unsure, sure])
    state = tracker.start(FRAMES[0], BOX)
    sides, results, states = [], [], []
    for image in FRAMES[1:6]:
        (state,), (result,) = tracker.track_frames([state], [image])
        sides.append(tracker._search_crop(state, image).side)
        results.append(result)
        states.append(state)
    sizes = [result["target_bbox"][2:] for result in results]
    assert np.allclose(sizes[1:4], sizes[0]), "no size from a doubtful frame"
    assert [result["present"] for result in results] == [True, True, False, False, True]
    assert sides[1] == sides[0] and sides[2] > sides[1] and sides[3] > sides[2]
    assert [state.low_confidence_frames for state in states] == [0, 1, 2, 3, 0]
    assert results[3]["score"] == pytest.approx(0.2)


def test_a_score_below_the_threshold_says_absent(small_tracker):
    tracker = small_tracker("MODEL.HEAD.STRIDE=8", "TEST.PRESENT=0.3", "TEST.CONFIDENCE=0")
    scripted(tracker, [maps(16, {(8, 8): score}, size=0.2) for score in (0.9, 0.29, 0.31)])
    state, present = tracker.start(FRAMES[0], BOX), []
    for image in FRAMES[1:4]:
        (state,), (result,) = tracker.track_frames([state], [image])
        present.append(result["present"])
    assert present == [True, False, True]


def test_sizes_may_be_followed_in_steps(small_tracker):
    box = {}
    for step in (1, 0.5):
        tracker = small_tracker("MODEL.HEAD.STRIDE=8", f"TEST.SIZE_STEP={step}")
        state = tracker.start(FRAMES[0], BOX)
        scripted(tracker, [maps(16, {(8, 8): 0.9}, size=0.2)])
        _, (result,) = tracker.track_frames([state], [FRAMES[1]])
        box[step] = np.array(result["target_bbox"])
    assert box[0.5][2:] == pytest.approx(np.sqrt(BOX[2:] * box[1][2:])), "half way, in the logarithm"
    assert boxes.xywh_to_cxcywh(box[0.5])[:2] == pytest.approx(boxes.xywh_to_cxcywh(box[1])[:2])


def test_the_search_never_leaves_the_image(small_tracker):
    tracker = small_tracker()
    state = tracker.start(FRAMES[0], BOX)
    for _ in range(300):
        (state,), (result,) = tracker.track_frames([state], [FRAMES[1]])
        x, y, w, h = result["target_bbox"]
        assert -1e-6 <= x <= x + w <= 160 + 1e-6 and -1e-6 <= y <= y + h <= 120 + 1e-6 and min(w, h) >= 1 - 1e-9


@pytest.mark.parametrize("attention", ["joint", "one_way"])
def test_lockstep_equals_one_by_one(small_tracker, attention):
    tracker = small_tracker(f"MODEL.BACKBONE.ATTENTION={attention}")
    starts = [tracker.start(FRAMES[0], BOX), tracker.start(FRAMES[5], BOX + [20, 10, 3, 5])]
    together, alone = list(starts), list(starts)
    for first, second in zip(FRAMES[1:5], FRAMES[6:10], strict=True):
        together, found = tracker.track_frames(together, [first, second])
        for index, image in enumerate((first, second)):
            (alone[index],), (result,) = tracker.track_frames([alone[index]], [image])
            assert np.allclose(result["target_bbox"], found[index]["target_bbox"], atol=1e-3)
            assert result["score"] == pytest.approx(found[index]["score"], abs=1e-5)


def test_state_goes_in_and_out_and_initialize_forgets(small_tracker):
    tracker = small_tracker("DATA.TEMPLATE.NUMBER=2")

    def run(images, box):
        tracker.initialize(images[0], box.tolist())
        return [tracker.track(image)["target_bbox"] for image in images[1:]]

    first = run(FRAMES[:6], BOX)
    run(FRAMES[6:], BOX + 5)
    assert run(FRAMES[:6], BOX) == first, "A, B, A: the second A is the first"
    state = tracker.start(FRAMES[0], BOX)
    kept = (state.box_xywh.copy(), state.motion, state.sizes, state.low_confidence_frames)
    tracker.track_frames([state], [FRAMES[1]])
    assert (
        np.array_equal(state.box_xywh, kept[0]) and (state.motion, state.sizes, state.low_confidence_frames) == kept[1:]
    )


def test_templates_are_updated_only_when_it_is_safe(small_tracker, monkeypatch):
    monkeypatch.setattr(lunar_rules, "UPDATE_INTERVAL", 3)
    settings = ["DATA.TEMPLATE.NUMBER=2", "MODEL.HEAD.STRIDE=8", "TEST.MOTION=none"]

    def patches(scores, sizes=None):
        tracker = small_tracker(*settings, "TEST.SIZE_STEP=1")
        answers = [maps(16, {(8, 8): score}, size) for score, size in zip(scores, sizes or [0.1] * 9, strict=False)]
        scripted(tracker, answers)
        state = tracker.start(FRAMES[0], BOX)
        kept = state.patches
        changed = []
        for image in FRAMES[1 : 1 + len(scores)]:
            (state,), _ = tracker.track_frames([state], [image])
            changed.append(state.patches[1] is not kept[1])
            assert state.patches[0] is kept[0], "the first frame's template is never replaced"
        return changed

    assert patches([0.9] * 4) == [False, False, True, True]
    assert patches([0.9, 0.9, 0.5]) == [False] * 3, "not from a middling score"
    assert patches([0.9, 0.1, 0.9]) == [False] * 3, "not soon after a doubtful frame"
    assert patches([0.9] * 3, [0.1, 0.1, 0.35]) == [False] * 3, "not from a box that jumped in size"


def test_kalman_follows_and_restarts():
    state = motion.start([100, 100], 8)
    for frame in range(1, 30):
        state = motion.update(motion.predict(state, 8), [100 + 5 * frame, 100 - 2 * frame], 8, 0.9)
    assert np.allclose(motion.predict(state, 8).centre, [100 + 150, 100 - 60], atol=0.5)
    assert np.allclose(state.velocity, [5, -2], atol=0.1)
    steady = motion.update(motion.predict(state, 8), [100 + 150, 100 - 60], 8, 0.01)
    assert np.allclose(steady.velocity, state.velocity, atol=0.05), "a doubtful measurement moves it little"
    restarted = motion.update(motion.predict(state, 8), [400, 300], 8, 0.9)
    assert np.array_equal(restarted.centre, [400, 300]) and not restarted.velocity.any()
    coasting = state
    for _ in range(50):
        coasting = motion.predict(coasting, 8)
    assert np.linalg.eigvalsh(coasting.covariance).min() > 0


def test_a_thousand_frames_in_constant_memory(small_tracker, monkeypatch):
    resource = pytest.importorskip("resource")
    monkeypatch.setattr(lunar_rules, "UPDATE_INTERVAL", 5)
    tracker = small_tracker("DATA.TEMPLATE.NUMBER=2", "TEST.CONFIDENCE=0")
    answer = maps(16, {(8, 8): 0.9})
    tracker.use({"track": lambda tensors: answer})
    tracker.initialize(FRAMES[0], BOX.tolist())
    for frame in range(1200):
        tracker.track(FRAMES[frame % len(FRAMES)])
        if frame == 400:
            early = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 1.05 * early


def test_a_target_may_be_lost_for_ever(small_tracker, monkeypatch):
    monkeypatch.setattr(lunar_rules, "LOST_MAX_GROWTH", 3)
    tracker = small_tracker("MODEL.HEAD.STRIDE=8")
    lost = dataclasses.replace(tracker.start(FRAMES[0], BOX), low_confidence_frames=100_000)
    assert tracker._search_crop(lost, FRAMES[0]).side == 3 * 64


@pytest.mark.parametrize(("strength", "expected"), [(0.0, 1.25), (1.0, 1.0), (0.5, 1.25**0.5)])
def test_sizes_are_corrected_by_what_the_first_frame_shows(small_tracker, strength, expected):
    """A network that finds the target's place and height, and 1.25 times its width."""
    tracker = small_tracker(
        "MODEL.HEAD.STRIDE=8", "TEST.MOTION=none", "TEST.WINDOW=none", "TEST.SIZE_STEP=1", "TEST.CONFIDENCE=0",
        "DATA.SEARCH.MIN_SIDE=0", f"TEST.SIZE_CORRECTION={strength}",
    )  # fmt: skip

    def too_wide(tensors):
        shifts = VIEWS if len(tensors[0]) > 1 else ((0.0, 0.0),)
        places = (0.5 - torch.tensor(shifts)) * 16 - 8  # of the centre, from the corner of cell (8, 8)
        size = torch.tensor([1.25, 1.0]) / 4  # a window has 4 sizes of the target
        count = len(shifts)
        return [
            maps(16, {(8, 8): 0.9}).score_map.expand(count, -1, -1, -1),
            size[None, :, None, None].expand(count, -1, 16, 16),
            places[:, :, None, None].expand(-1, -1, 16, 16),
        ]

    tracker.use({"track": too_wide})
    tracker.initialize(FRAMES[0], np.array([60.0, 50.0, 10.0, 10.0]))
    found = np.array(tracker.track(FRAMES[1]).box)
    assert found[2:] == pytest.approx([10 * expected, 10], rel=1e-5)
    assert found[:2] + found[2:] / 2 == pytest.approx([65, 55], abs=1e-4), "the centre stays"


def test_a_first_frame_in_which_nothing_is_found_corrects_nothing(small_tracker):
    tracker = small_tracker("MODEL.HEAD.STRIDE=8", "TEST.SIZE_CORRECTION=0.5")
    output = maps(16, {(0, 0): 0.9})
    tracker.use({"track": lambda tensors: [part.expand(len(tensors[0]), -1, -1, -1) for part in output]})
    assert (tracker.start(FRAMES[0], BOX).correction == 1).all()
