"""Look-alikes: hills of a map, their pairing from frame to frame, and which of them is taken for the target."""

import itertools

import numpy as np
import pytest

from lib.test.tracker import candidates as c
from lib.test.tracker.assignment import pairs
from lib.test.tracker.candidates import follow, peaks, start

SIZE = 8.0
SPEED = SIZE * np.array([0.4, 0.1])
CROSS = 20.5  # between two frames, where each is at the place of the other just before
FRAMES = 40
MIDDLE = np.array([100.0, 100.0])


def crossing(brighter=1.0, merged=0, seed=0, scale=1.0):
    """Target and distractor on straight lines that cross: [(places, scores)] of each frame, the target first.

    The distractor is `brighter` times the target once it is known. For `merged` frames both are one hill.
    """
    rng = np.random.default_rng(seed)
    frames = []
    for frame in range(1, FRAMES):
        way = frame - CROSS
        target, other = MIDDLE + SPEED * way + [0, 0.15 * SIZE], MIDDLE + SPEED * [-1, 1] * way - [0, 0.15 * SIZE]
        scores = np.array([0.6, 0.6 * brighter if frame > 3 else 0.4])
        places = np.array([target, other])
        if merged and abs(frame - 20) <= merged // 2:
            places, scores = places.mean(axis=0, keepdims=True), scores.max(keepdims=True)
        frames.append((scale * (places + rng.normal(0, 0.3, places.shape)), scores))
    return frames


def first(scale=1.0):
    return start(scale * (MIDDLE - SPEED * CROSS + [0, 0.15 * SIZE]))


def run(frames, state, size=SIZE):
    taken = []
    for places, scores in frames:
        state, index = follow(state, places, scores, int(scores.argmax()) if len(scores) else None, size)
        taken.append(index)
    return state, taken


def settled():
    """A target at (0, 0) and a known distractor at (40, 0), both seen twice."""
    places = np.array([[0.0, 0], [40, 0]])
    return run([(places, np.array([0.6, 0.4]))] * 2, start([0, 0]))[0]


def same(one, other):
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in vars(one))


def test_peaks_are_the_hills_in_falling_order():
    score = np.full((16, 16), 0.01)
    for (column, row), value in {
        (0, 0): 0.3,
        (15, 7): 0.5,
        (8, 8): 0.9,
        (9, 8): 0.8,
        (10, 10): 0.6,
        (4, 12): 0.04,
    }.items():
        score[row, column] = value
    cells, scores = peaks(score)
    assert cells.tolist() == [[8, 8], [15, 7], [0, 0]] and scores.tolist() == [0.9, 0.5, 0.3]
    assert peaks(score, radius=1)[0].tolist() == [[8, 8], [10, 10], [15, 7], [0, 0]]
    assert peaks(score, most=2)[0].tolist() == [[8, 8], [15, 7]]
    assert len(peaks(score, threshold=0.03)[0]) == 4


def test_a_slope_is_one_hill_and_equals_side_by_side_as_well():
    row, column = np.mgrid[:24, :24]
    hill = np.exp(-np.hypot(row - 11, column - 5) / 10)
    assert peaks(hill, threshold=0)[0].tolist() == [[5, 11]]
    flat = np.zeros((8, 8))
    flat[3, 2:4] = 0.7
    assert peaks(flat)[0].tolist() == [[2, 3]]


@pytest.mark.parametrize("level", [0.0, 0.02])
def test_below_the_threshold_the_maximum_remains(level):
    score = np.full((6, 9), level, np.float32)
    assert len(peaks(score)[0]) == 1
    score[4, 7] += 0.01
    cells, scores = peaks(score)
    assert cells.tolist() == [[7, 4]] and scores[0] == score.max()


def test_peaks_are_the_definition():
    score = np.random.default_rng(1).random((13, 13)).round(2)
    cells, scores = peaks(score, most=200)
    for (column, row), value in zip(cells, scores, strict=True):
        assert score[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3].max() == value == score[row, column]
    assert all(np.abs(a - b).max() > 2 for a, b in itertools.combinations(cells, 2))


def test_pairs_gain_most():
    rng = np.random.default_rng(0)
    for _ in range(200):
        gain = np.maximum(rng.normal(0.3, 1, rng.integers(0, 5, 2)), 0)
        rows, columns = pairs(gain)
        assert len(set(rows)) == len(rows) == len(set(columns)) and (gain[rows, columns] > 0).all()
        small, large = sorted(gain.shape)
        wide = gain if gain.shape[0] == small else gain.T
        most = max(wide[range(small), list(choice)].sum() for choice in itertools.permutations(range(large), small))
        assert gain[rows, columns].sum() == pytest.approx(most)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("brighter", [1.0, 1.5])
def test_the_target_is_kept_where_two_cross(brighter, seed):
    """By place and velocity; neither the arg-max nor the candidate nearest to the last place would do."""
    frames = crossing(brighter, seed=seed)
    assert run(frames, first())[1] == [0] * len(frames)
    if brighter > 1:
        assert np.mean([scores.argmax() == 0 for _, scores in frames]) < 0.2
    place = first().places[0]
    for places, _ in frames:
        nearest = int(np.hypot(*(places - place).T).argmin())
        place = places[nearest]
    assert nearest == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("brighter", [1.0, 1.5])
def test_the_target_is_kept_through_a_merge(brighter, seed):
    frames = crossing(brighter, merged=3, seed=seed)
    assert sum(len(scores) == 1 for _, scores in frames) == 3
    assert run(frames, first())[1] == [0] * len(frames)


def test_order_means_nothing():
    rng = np.random.default_rng(3)
    state = shuffled = start([50, 50])
    for _ in range(30):
        number = rng.integers(1, 9)
        places, scores = rng.uniform(30, 70, (number, 2)), rng.choice([0.3, 0.5, 0.6], number)
        order = rng.permutation(number)
        best = int(scores.argmax())
        state, index = follow(state, places, scores, best, SIZE)
        back = int(np.flatnonzero(order == best)[0])
        shuffled, other = follow(shuffled, places[order], scores[order], back, SIZE)
        assert order[other] == index and same(state, shuffled)


def test_order_means_nothing_where_two_are_as_good():
    (one, index), (other, swapped) = (
        follow(start([0, 0]), [[way, 0], [-way, 0]], [0.5, 0.5], best, SIZE) for way, best in [(3, 0), (-3, 1)]
    )
    assert same(one, other) and swapped == 1 - index


def test_one_more_look_alike_changes_nothing():
    frames = crossing(1.5)
    more = [
        (np.vstack([places, [[100.0, 160.0]]]), np.append(scores, 0.5)) if number > 7 else (places, scores)
        for number, (places, scores) in enumerate(frames)
    ]
    (alone, taken), (crowded, again) = run(frames, first()), run(more, first())
    assert taken == again and crowded.target == alone.target
    assert np.array_equal(crowded.places[:2], alone.places) and len(crowded.labels) == 3


def test_lengths_count_in_sizes():
    state, taken = run(crossing(1.5, merged=3), first())
    large, again = run(crossing(1.5, merged=3, scale=2.0), first(2.0), 2 * SIZE)
    assert taken == again and np.allclose(2 * state.places, large.places)
    assert np.array_equal(state.labels, large.labels)


@pytest.mark.parametrize(("score", "taken"), [(0.46, 0), (0.44, 1)])
def test_a_known_distractor_needs_twice_the_score(score, taken):
    state, index = follow(settled(), [[0, 0], [40, 0]], [score, 0.9], 1, SIZE)
    assert index == taken and state.target == 0


def test_a_new_best_becomes_the_target():
    state, index = follow(settled(), [[0, 0], [40, 0], [80, 0]], [0.6, 0.4, 0.7], 2, SIZE)
    assert index == 2 and state.places[state.labels == state.target].tolist() == [[80, 0]]


@pytest.mark.parametrize(("frames", "back"), [(c.MISSED, True), (c.MISSED + 1, False)])
def test_a_distractor_that_outlives_the_target_becomes_it(frames, back):
    """Before that it is taken, as the best, but the target is recognised as soon as it is seen again."""
    state, taken = run([(np.array([[40.0, 0]]), np.array([0.9]))] * frames, settled())
    assert taken == [0] * frames
    state, index = follow(state, [[0, 0], [40, 0]], [0.5, 0.9], 1, SIZE)
    assert index == (0 if back else 1) and (state.target == 0) == back


def test_a_target_unseen_for_long_is_remembered_near_its_last_place():
    moving = [(np.array([[4.0 * frame, 0]]), np.array([0.6])) for frame in range(1, 20)]
    state, _ = run(moving, start([0, 0]))
    nothing = (np.zeros((0, 2)), np.zeros(0))
    state, taken = run([nothing] * 300, state)
    assert taken == [None] * 300 and state.labels.tolist() == [0] and state.missed.tolist() == [300]
    assert 76 < state.places[0, 0] < 76 + 4 * 11 and np.abs(state.velocities).max() < 1e-9
    state, index = follow(state, state.places + 1, [0.3], 0, SIZE)
    assert index == 0 and state.target == 0 and state.missed.tolist() == [0]
    assert np.isfinite(state.places).all()


def test_the_value_that_goes_in_stays_as_it_was():
    state = settled()
    copies = {name: np.copy(value) for name, value in vars(state).items()}
    follow(state, [[3, 1], [90, 0]], [0.6, 0.4], 0, SIZE)
    assert all(np.array_equal(copies[name], value) for name, value in vars(state).items())


def test_what_is_carried_does_not_grow():
    rng = np.random.default_rng(5)
    state, most = start([50, 50]), 0
    for _ in range(10_000):
        number = rng.integers(1, 9)
        scores = rng.uniform(0.05, 1, number)
        state, _ = follow(state, rng.uniform(0, 200, (number, 2)), scores, int(scores.argmax()), SIZE)
        most = max(most, len(state.labels))
        assert (state.labels == state.target).sum() == 1 and (np.diff(state.labels) > 0).all()
    assert most <= 8 * (c.MISSED + 1) + 1 and np.isfinite(state.velocities).all()
