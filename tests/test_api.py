"""The public API: what a user of the installed package calls, and the wrong input it refuses."""

import numpy as np
import pytest

import lib
from lib.api import LoadedTracker, Track
from lib.contracts import LockstepTracker, Result, Tracker

FRAME = np.zeros((48, 64, 3), np.uint8)
BOX = (10.0, 12.0, 6.0, 5.0)


class Follower(Tracker):
    """Moves its box by the brightness of the frame, px to the right."""

    def initialize(self, frame, box):
        self.box = np.array(box, float)
        return Result(tuple(self.box), 1.0, True)

    def track(self, frame):
        self.box[0] += frame.mean()
        return Result(tuple(self.box), 0.5, True)


class Lockstep(LockstepTracker):
    """The same with its state as a value."""

    calls = 0

    def start(self, frame, box):
        return np.array(box, float)

    def track_frames(self, states, frames):
        self.calls += 1
        states = [state + (frame.mean(), 0, 0, 0) for state, frame in zip(states, frames, strict=True)]
        return states, [Result(tuple(state), 0.5, True) for state in states]


@pytest.fixture(params=[Follower, Lockstep])
def tracker(request):
    return LoadedTracker(request.param)


def test_one_target(tracker):
    first = tracker.initialize(FRAME, BOX)
    assert first.box == BOX and first.score == 1 and first.present
    result = tracker.track(FRAME + 2)
    assert result.box == (12, 12, 6, 5)
    assert result["target_bbox"] == [12, 12, 6, 5] and result["score"] == 0.5 and result["present"] is True


def test_several_targets_answer_as_each_alone(tracker):
    boxes = {"a": BOX, 7: (30, 20, 3, 4)}
    assert {name: each.box for name, each in tracker.initialize(FRAME, boxes).items()} == boxes
    found = tracker.track(FRAME + 3)
    assert found["a"].box == (13, 12, 6, 5) and found[7].box == (33, 20, 3, 4)
    tracker.initialize(FRAME, BOX)
    assert isinstance(tracker.track(FRAME), Result)


def test_several_targets_are_one_batch():
    inner = Lockstep()
    tracker = LoadedTracker(lambda: inner)
    tracker.initialize(FRAME, {1: BOX, 2: BOX, 3: BOX})
    tracker.track(FRAME)
    assert inner.calls == 1


WRONG_FRAMES = {
    "a list": (FRAME.tolist(), "expected a numpy array"),
    "float": (FRAME / 255.0, "expected dtype uint8, found float64"),
    "16 bit": (FRAME.astype(np.uint16), "expected dtype uint8, found uint16"),
    "signed": (FRAME.astype(np.int8), "expected dtype uint8, found int8"),
    "bool": (FRAME > 0, "expected dtype uint8, found bool"),
    "grey": (FRAME[..., 0].copy(), "GRAY2RGB"),
    "one channel": (FRAME[..., :1].copy(), r"expected shape \(H, W, 3\)"),
    "four channels": (np.zeros((48, 64, 4), np.uint8), r"expected shape \(H, W, 3\)"),
    "channels first": (np.zeros((3, 48, 64), np.uint8), r"expected shape \(H, W, 3\)"),
    "a batch": (FRAME[None], r"expected shape \(H, W, 3\)"),
    "no pixels": (np.zeros((0, 64, 3), np.uint8), r"expected shape \(H, W, 3\)"),
    "not contiguous": (FRAME[:, ::-1], "ascontiguousarray"),
}


@pytest.mark.parametrize("name", WRONG_FRAMES)
def test_a_wrong_frame_is_one_clear_value_error(tracker, name):
    frame, words = WRONG_FRAMES[name]
    with pytest.raises(ValueError, match=words) as error:
        tracker.initialize(frame, BOX)
    assert "\n" not in str(error.value)
    tracker.initialize(FRAME, BOX)
    before = tracker.track(FRAME + 1)
    with pytest.raises(ValueError, match=words):
        tracker.track(frame)
    assert tracker.track(FRAME).box == before.box, "a refused frame changes nothing"


def test_a_frame_of_another_size(tracker):
    tracker.initialize(FRAME, BOX)
    with pytest.raises(ValueError, match="the size of the first frame"):
        tracker.track(np.zeros((48, 65, 3), np.uint8))


WRONG_BOXES = {
    "nan": ((np.nan, 1, 2, 3), "finite"),
    "infinite": ((1, 1, np.inf, 3), "finite"),
    "no width": ((1, 1, 0, 3), "above 0"),
    "negative": ((5, 5, -2, 3), "above 0"),
    "right of the frame": ((64, 5, 2, 3), "off the frame of 64 x 48 px"),
    "above the frame": ((5, -9, 2, 3), "off the frame"),
    "three numbers": ((1, 2, 3), "4 numbers"),
    "five numbers": ((1, 2, 3, 4, 5), "4 numbers"),
    "text": ("1 2 3 4", "4 numbers"),
    "nothing": (None, "4 numbers"),
    "no targets": ({}, "at least one target"),
    "one of two": ({"a": BOX, "b": (1, 1, 0, 0)}, "box of 'b'"),
}


@pytest.mark.parametrize("name", WRONG_BOXES)
def test_a_wrong_box_is_one_clear_value_error(tracker, name):
    box, words = WRONG_BOXES[name]
    with pytest.raises(ValueError, match=words):
        tracker.initialize(FRAME, box)


def test_a_box_as_an_array_and_as_the_dict_of_starks_trackers(tracker):
    assert tracker.initialize(FRAME, np.array(BOX, np.float32)).box == BOX
    assert tracker.initialize(FRAME, {"init_bbox": list(BOX)}).box == BOX


def test_track_before_initialize(tracker):
    with pytest.raises(RuntimeError, match="initialize"):
        tracker.track(FRAME)


def test_evaluate_and_score_on_a_dataset():
    sequences = lib.load_dataset("lunar_demo")[:2]
    tracker = lib.load_tracker("identity", "baseline")
    tracks = lib.evaluate(tracker, sequences)
    assert list(tracks) == [sequence.name for sequence in sequences]
    for sequence in sequences:
        track = tracks[sequence.name]
        assert isinstance(track, Track) and track.boxes_xywh.shape == (len(sequence), 4)
        assert (track.boxes_xywh == sequence.first_box).all() and track.present.all() and (track.seconds > 0).all()
    perfect = {sequence.name: sequence.boxes_xywh for sequence in sequences}
    assert lib.score(perfect, sequences)["auc"] == pytest.approx(20 / 21)
    assert 0 < lib.score(tracks, sequences)["auc"] < 0.9
    with pytest.raises(ValueError, match="no track of this sequence"):
        lib.score({}, sequences)
    with pytest.raises(ValueError, match="expected boxes"):
        lib.score({name: boxes[1:] for name, boxes in perfect.items()}, sequences)
    with pytest.raises(ValueError, match="protocol"):
        lib.score(perfect, sequences, "clear")


def test_the_trackers_that_are_listed_load():
    listed = lib.list_trackers()
    assert "tiny" in listed["lunar"] and "mil" in listed["opencv"]
    tracker = lib.load_tracker("opencv", "mil")
    rng = np.random.default_rng(0)
    frame = rng.integers(0, 255, (96, 128, 3), np.uint8)
    tracker.initialize(frame, (40, 30, 20, 20))
    assert np.abs(np.subtract(tracker.track(frame).box, (40, 30, 20, 20))).max() < 8
