"""How sure a mean over sequences is, and whether two trackers differ: resampling over sequences, numpy only.

Frames of one video are not independent, so that the sequence is the unit of every draw (the cluster bootstrap; Efron
and Tibshirani, An Introduction to the Bootstrap, 1993). The result of a call depends on nothing but its arguments.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

LEVEL = 0.95
DRAWS = 10_000
CHUNK = 2**19  # numbers drawn at a time: 4 MB
NORMAL = NormalDist()


class Comparison(NamedTuple):
    """Of two trackers on the sequences that both have a score of.

    difference: mean of first - second. low, high: its interval. p: chance of a mean at least so far from 0, in either
    direction, if neither were better. sequences: how many. NaN where they are too few to say.
    """

    difference: float
    low: float
    high: float
    p: float
    sequences: int


def interval(values, level=LEVEL, draws=DRAWS, seed=0):
    """Bootstrap interval of the mean over sequences.

    values: (S,) or (S, K) of K scores, NaN where a sequence has none. level: share of such intervals that hold the true
    mean. draws: how often S sequences are drawn, with replacement; the same draws serve all scores.
    Returns (low, high), each a float or (K,) float64; NaN for a score of fewer than two sequences.

    The interval is the expanded percentile interval (Hesterberg, What Teachers Should Know about the Bootstrap, The
    American Statistician 69, 2015): the percentiles are moved out as far as Student's t lies outside the normal. The
    plain one is too narrow for few sequences. Simulated at 95 %, three distributions of scores, it held the mean in 78
    to 85 % for 5 sequences, 90 to 93 % for 16; BCa in 80 to 87 % and 91 to 95 %; this one in 85 to 92 % and 92 to 96 %.
    """
    values = np.asarray(values, np.float64)
    table = values if values.ndim > 1 else values[:, None]
    table = table[~np.isnan(table).all(axis=1)]
    scored = ~np.isnan(table)
    counts = scored.sum(axis=0)
    low, high = (np.full(table.shape[1], np.nan) for _ in range(2))
    if len(table):
        sums, times = np.split(_resampled_sums(np.hstack([np.nan_to_num(table), scored]), draws, seed), 2, axis=1)
        with np.errstate(invalid="ignore"):  # a draw may miss every sequence that has a score
            means = sums / times
        for column in np.flatnonzero(counts > 1):
            tail = _tail(level, counts[column])
            low[column], high[column] = np.nanquantile(means[:, column], (tail, 1 - tail))
    return (low, high) if values.ndim > 1 else (float(low[0]), float(high[0]))


def compare(first, second, level=LEVEL, draws=DRAWS, seed=0):
    """Whether the mean of one tracker's scores is above another's, paired by sequence.

    first, second: (S,) in the same order of sequences; a sequence that either has no score (NaN) of is left out.
    The interval is `interval` of the differences. p is that of the sign-flip permutation test: if neither were better,
    the sign of every difference would be a toss. All 2^n signs of the n differences that are not 0 are gone through
    where they are at most `draws`; else `draws` of them are drawn, and the share of those as far out is taken as
    (b + 1) / (draws + 1) (Phipson and Smyth, Permutation P-values Should Never Be Zero, 2010). Returns Comparison.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"expected two lists of scores of the same sequences, found {first.shape} and {second.shape}")
    differences = first - second
    differences = differences[~np.isnan(differences)]
    count = len(differences)
    if not count:
        return Comparison(np.nan, np.nan, np.nan, np.nan, 0)
    low, high = interval(differences, level, draws, seed)
    return Comparison(float(differences.mean()), low, high, _sign_flip(differences, draws, seed), count)


def _resampled_sums(table, draws, seed):
    """(draws, K) sums over S rows of (S, K) drawn with replacement; the same rows for the same S, draws and seed."""
    generator, rows = np.random.default_rng(seed), len(table)
    sums = []
    for count in _chunks(draws, rows):
        drawn = generator.integers(0, rows, (count, rows)) + rows * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * rows).reshape(count, rows)
        sums.append(times.astype(np.float64) @ table)
    return np.concatenate(sums)


def _sign_flip(differences, draws, seed):
    sizes = np.abs(differences[differences != 0])
    if not len(sizes):
        return 1.0
    reached = abs(differences.sum()) - 1e-9 * sizes.sum()  # sums of the same numbers differ in the last bits
    if 2 ** len(sizes) <= draws:
        flips = (np.arange(2 ** len(sizes))[:, None] >> np.arange(len(sizes))) & 1
        return float((np.abs((1 - 2 * flips) @ sizes) >= reached).mean())
    generator, beyond = np.random.default_rng(seed), 0
    for count in _chunks(draws, len(sizes)):
        flips = generator.integers(0, 2, (count, len(sizes)), np.int8)
        beyond += int((np.abs((1.0 - 2 * flips) @ sizes) >= reached).sum())
    return (beyond + 1) / (draws + 1)


def _chunks(draws, width):
    """How many draws at a time."""
    size = max(1, CHUNK // width)
    return [min(size, draws - begin) for begin in range(0, draws, size)]


def _tail(level, count):
    """Share of the draws below the interval: of `count` values, as normal as Student's t is at (1 - level) / 2."""
    z = NORMAL.inv_cdf((1 + level) / 2)
    freedom = count - 1
    # Student's t from the normal, by powers of 1 / freedom (Fisher and Cornish; Abramowitz and Stegun 26.7.5).
    t = z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
    t += (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    return NORMAL.cdf(-t * np.sqrt(count / freedom))
