"""The best pairing of two small sets: the Hungarian method, N^2 M steps, in plain Python for a dozen at most."""

import math

import numpy as np


def pairs(gain):
    """Rows (K,) and columns (K,) int64 whose pairs together gain most, each in one pair at most.

    gain: (N, M) float, nowhere below 0; pairs of gain 0 are left out.
    """
    rows, columns = np.flatnonzero(gain.any(axis=1)), np.flatnonzero(gain.any(axis=0))
    if len(rows) > len(columns):
        return pairs(gain.T)[::-1]
    cost = (-gain[np.ix_(rows, columns)]).tolist()
    many = len(columns)
    # Column `many` is no column: the row that looks for one starts from there.
    owner, height, fall = [None] * (many + 1), [0.0] * len(rows), [0.0] * (many + 1)
    for row in range(len(rows)):
        owner[many], column, free = row, many, list(range(many))
        least, origin = [math.inf] * many, [many] * many
        while owner[column] is not None:
            mine = owner[column]
            for j in free:
                reduced = cost[mine][j] - height[mine] - fall[j]
                if reduced < least[j]:
                    least[j], origin[j] = reduced, column
            nearest = min(free, key=least.__getitem__)
            step = least[nearest]
            for j in range(many + 1):
                if j in free:
                    least[j] -= step
                elif owner[j] is not None:
                    height[owner[j]] += step
                    fall[j] -= step
            free.remove(nearest)
            column = nearest
        while column != many:
            owner[column] = owner[origin[column]]
            column = origin[column]
    found = [(rows[owner[j]], columns[j]) for j in range(many) if owner[j] is not None]
    found = [pair for pair in found if gain[pair] > 0]
    return tuple(np.array(found, np.int64).reshape(-1, 2).T)
