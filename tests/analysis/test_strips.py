"""Where a tracker is lost: by hand-made overlaps, and by boxes."""

import numpy as np
import pytest

from lib.test.analysis import strips
from lib.test.analysis.strips import Loss


def overlap(text):
    """`1` tracked, `0` missed, `-` not visible."""
    return np.array([{"1": 0.6, "0": 0.05, "-": np.nan}[letter] for letter in text])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1" * 30, []),
        ("1" + "0" * 9 + "1" * 5, []),  # nine are not ten
        ("1" * 5 + "0" * 9, []),  # neither at the end
        ("1" * 5 + "0" * 10 + "1", [Loss(4, 5, 14, 15, 10)]),
        ("1" * 5 + "0" * 12, [Loss(4, 5, 14, 17, 12)]),
        ("111" + "00000-----00000" + "11", [Loss(2, 3, 17, 18, 10)]),  # absent frames neither end nor count
        ("111" + "00000-----0000" + "11", []),
        ("11--" + "0" * 10 + "--1", [Loss(1, 4, 13, 16, 10)]),
        ("1" + "0" * 10 + "1" + "0" * 11, [Loss(0, 1, 10, 11, 10), Loss(11, 12, 21, 23, 11)]),
        ("--" + "0" * 10, [Loss(2, 2, 11, 12, 10)]),  # lost as soon as it is seen
        ("-" * 20, []),
    ],
)
def test_losses(text, expected):
    assert strips.losses(overlap(text)) == expected


def test_the_threshold_itself_is_tracked():
    values = np.full(12, strips.FAILED)
    assert strips.losses(values) == []
    assert strips.losses(values - 1e-9) == [Loss(0, 0, 9, 12, 12)]


def test_the_longest_loss_is_the_worst_and_words_name_all():
    values = overlap("1" + "0" * 10 + "1" + "0" * 11)
    assert strips.worst_loss(values).start == 12
    assert strips.in_words(values) == "lost in frames 1-10 and from frame 12 to the end"
    assert strips.in_words(values[:12]) == "lost in frames 1-10"
    assert strips.worst_loss(values[:1]) is None and strips.in_words(values[:1]) == "never lost"


def test_overlaps_follow_scoring():
    truth = np.tile([10.0, 10, 4, 4], (5, 1))
    truth[3] = np.nan
    answers = truth.copy()
    answers[0] = [90, 90, 4, 4]  # the first box was given, whatever the file says
    answers[1] = [12, 10, 4, 4]
    answers[2] = np.nan  # said absent
    answers[3] = [10, 10, 4, 4]
    visible = np.array([True, True, True, False, True])
    values = strips.overlaps(answers, truth, visible)
    np.testing.assert_allclose(values, [1, 1 / 3, 0, np.nan, 1])


def test_bins_keep_the_mean_and_the_gaps():
    values = np.concatenate([np.full(10, 0.5), np.full(10, np.nan), [0, 1] * 5])
    np.testing.assert_allclose(strips.binned(values, 3), [[5, 0.5], [15, np.nan], [25, 0.5]])
    few = strips.binned(values[:4], 100)
    assert few.shape == (4, 2) and few[:, 0].tolist() == [0.5, 1.5, 2.5, 3.5]


def test_a_real_loss():
    """A target that walks off while the box stays: lost when less than a tenth overlaps."""
    truth = np.array([[float(x), 0, 10, 10] for x in range(40)])
    values = strips.overlaps(np.tile(truth[0], (40, 1)), truth, np.ones(40, bool))
    # overlap (10 - x) / (10 + x) is 1 / 9 at 8 px and 1 / 19 at 9 px
    assert strips.losses(values) == [Loss(8, 9, 18, 40, 31)]
